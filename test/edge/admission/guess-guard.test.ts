// Who tries keys is slowed, then banned for a time.
import fc from 'fast-check'
import { beforeEach, expect, test } from 'vitest'
import { GuessGuard } from '../../../edge/admission/guess-guard.ts'
import { FakeClock } from '../../support/fake-clock.ts'

let clock: FakeClock
let guard: GuessGuard

beforeEach(() => {
  clock = new FakeClock()
  guard = new GuessGuard(clock, { failuresPerMinute: 10, banMs: 600_000 })
})

test('answers come later with each failure from half of them on, and the tenth is the ban', () => {
  const outcomes = Array.from({ length: 10 }, () => guard.failed('a'))
  expect(outcomes.map(({ delayMs }) => delayMs)).toEqual([
    0, 0, 0, 0, 0, 1_000, 2_000, 3_000, 4_000, 5_000,
  ])
  expect(outcomes.map(({ isBan }) => isBan)).toEqual([...Array(9).fill(false), true])
  expect(guard.isBanned('a')).toBe(true)
  expect(guard.isBanned('b')).toBe(false)
  expect(guard.banned).toBe(1)
})

test('a ban ends after its time, and the count begins anew', async () => {
  for (let i = 0; i < 10; i++) guard.failed('a')
  await clock.advance(599_999)
  expect(guard.isBanned('a')).toBe(true)
  await clock.advance(1)
  expect(guard.isBanned('a')).toBe(false)
  expect(guard.banned).toBe(0)
  expect(guard.failed('a')).toEqual({ delayMs: 0, isBan: false })
})

test('failures of more than a minute ago do not count', async () => {
  for (let i = 0; i < 9; i++) guard.failed('a')
  await clock.advance(60_000)
  expect(guard.failed('a')).toEqual({ delayMs: 0, isBan: false })
})

test('a flood of other addresses ends no ban', () => {
  for (let i = 0; i < 10; i++) guard.failed('a')
  for (let i = 0; i < 20_000; i++) guard.failed(`other-${i}`)
  expect(guard.isBanned('a')).toBe(true)
})

test('an address is banned exactly when ten failures lie within a minute', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(15_000), { maxLength: 40 }), async (gapsMs) => {
      const time = new FakeClock()
      const one = new GuessGuard(time, { failuresPerMinute: 10, banMs: 1 })
      let recent: number[] = []
      for (const gapMs of gapsMs) {
        await time.advance(gapMs + 1)
        const now = time.monotonic()
        recent = [...recent.filter((at) => at > now - 60_000), now]
        const isBan = recent.length === 10
        expect(one.failed('a').isBan).toBe(isBan)
        if (isBan) recent = []
      }
    }),
    { numRuns: 30 },
  )
})
