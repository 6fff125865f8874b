import { expect, test } from 'vitest'
import { DiskTurns } from '../../../origin/archive/disk-turns.ts'
import { settle } from '../../support/fake-clock.ts'

test('no more than the limit run at once, the others in their order, also after a failure', async () => {
  const turns = new DiskTurns(2)
  const started: number[] = []
  const gates = Array.from({ length: 5 }, () => Promise.withResolvers<void>())
  const done = gates.map(({ promise }, index) =>
    turns.run(async () => {
      started.push(index)
      await promise
    }),
  )
  await settle()
  expect(started).toEqual([0, 1])
  const failed = expect(done[1]).rejects.toThrow('dead')
  gates[1]!.reject(new Error('dead'))
  await failed
  await settle()
  expect(started).toEqual([0, 1, 2])
  for (const { resolve } of gates) resolve()
  await Promise.allSettled(done)
  expect(started).toEqual([0, 1, 2, 3, 4])
  await turns.run(async () => {
    started.push(5)
  })
  expect(started.at(-1)).toBe(5)
})
