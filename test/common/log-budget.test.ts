import { expect, test } from 'vitest'
import { LogBudget } from '../../common/log-budget.ts'
import { FakeClock } from '../support/fake-clock.ts'

test('lines beyond the budget are left out, counted, and told in the next window', async () => {
  const clock = new FakeClock()
  const told: object[] = []
  const log = { warn: (facts: object) => told.push(facts) }
  const budget = new LogBudget({ clock, log: log as never, lines: 2, perMs: 1_000 })
  expect([budget.take(), budget.take(), budget.take(), budget.take()]).toEqual([
    true,
    true,
    false,
    false,
  ])
  expect(told).toEqual([])
  await clock.advance(1_000)
  expect(budget.take()).toBe(true)
  expect(told).toEqual([{ leftOut: 2 }])
})
