// The faults of `npm run chaos` that no other test here strikes, each once, judged by what publisher and viewers saw:
// order, bytes and counts. What it takes in seconds is for benchmarks to say.
import { beforeAll, expect, test } from 'vitest'
import { missesOf } from '../../bench/chaos/chaos-table.ts'
import type { Fault, FaultRun } from '../../bench/chaos/fault.ts'
import { faults } from '../../bench/chaos/faults.ts'
import { reconnectStorm } from '../../bench/chaos/reconnect-storm.ts'
import { runFault } from '../../bench/chaos/run-fault.ts'

const crowd = 20
/** Most of a strike is waiting for segments: one row waits while another one works. */
const rows: Fault[][] = [
  [short('F13'), short('F3')],
  [short('F21'), { ...reconnectStorm(crowd), goalTimesMs: {} }, short('F23')],
]
const struck = rows.flat()
const runs: FaultRun[] = []

function short(id: string): Fault {
  const fault = faults.find((it) => it.id === id)!
  const stage = { ...fault.stage, size: '640x360' }
  return { ...fault, stage, goalMs: {}, goalTimesMs: {} }
}

beforeAll(async () => {
  await Promise.all(
    rows.map(async (row) => {
      for (const fault of row) runs.push(...(await runFault(fault, 1, () => {})))
    }),
  )
}, 240_000)

test.each(struck.map((fault) => [fault.name, fault] as const))('%s', (_, fault) => {
  const own = runs.filter((run) => run.fault === fault.id)
  expect(missesOf(fault, own), JSON.stringify(own, undefined, 2)).toEqual([])
  expect(own).toHaveLength(1)
})
