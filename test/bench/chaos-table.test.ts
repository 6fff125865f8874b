// What the chaos table says of runs: quantiles, sums, and what was agreed and missed.
import { expect, test } from 'vitest'
import { chaosTable, missesOf } from '../../bench/chaos/chaos-table.ts'
import type { Fault, FaultRun } from '../../bench/chaos/fault.ts'

const fault: Fault = {
  id: 'F5',
  name: 'transcoder killed',
  stage: {},
  allowedDisconnects: 0,
  goalMs: { median: 4_000, p99: 6_000 },
  mayLose: false,
  strike: () => Promise.reject(new Error('not here')),
}

function run(change: Partial<FaultRun> = {}): FaultRun {
  return {
    fault: 'F5',
    at: '2026-11-20T10:00:00.000Z',
    nextSegmentMs: 3_000,
    silenceMs: 2_500,
    disconnects: 0,
    lost: 0,
    doubled: 0,
    broken: 0,
    skipped: 0,
    gaps: 0,
    discontinuities: 1,
    faults: [],
    traces: [],
    times: {},
    figures: {},
    notes: [],
    ...change,
  }
}

test('what keeps to what was agreed is met', () => {
  expect(missesOf(fault, [run(), run({ nextSegmentMs: 5_000 }), run()])).toEqual([])
})

test.each<[string, Partial<FaultRun>]>([
  ['did not go on', { nextSegmentMs: undefined }],
  ['p99', { nextSegmentMs: 6_001 }],
  ['disconnects', { disconnects: 1 }],
  ['lost', { lost: 1 }],
  ['twice', { doubled: 1 }],
  ['changed', { broken: 1 }],
  ['skipped', { skipped: 1 }],
  ['discontinuities', { discontinuities: 2 }],
  ['listed and not there', { faults: ['1-0/v/4.m4s is listed and answers 404'] }],
])('one run can miss: %s', (name, change) => {
  expect(missesOf(fault, [run(), run(), run(change)])).toContain(name)
})

test('a median above its bound is missed', () => {
  expect(missesOf(fault, [run({ nextSegmentMs: 4_500 }), run({ nextSegmentMs: 4_200 })])).toEqual([
    'median',
  ])
})

test('a further time that is too long, or was never taken, is missed', () => {
  const timed = { ...fault, goalTimesMs: { 'let in': 1_000 } }
  expect(missesOf(timed, [run({ times: { 'let in': 1_000 } })])).toEqual([])
  expect(missesOf(timed, [run({ times: { 'let in': 1_001 } })])).toEqual(['let in'])
  expect(missesOf(timed, [run({ times: { 'let in': 900 } }), run()])).toEqual(['let in'])
})

test('a figure that is too high, or was never counted, is missed', () => {
  const counted = { ...fault, goalFigures: { load: 1.1 } }
  expect(missesOf(counted, [run({ figures: { load: 1.1 } })])).toEqual([])
  expect(missesOf(counted, [run({ figures: { load: 1.2 } })])).toEqual(['load'])
  expect(missesOf(counted, [run({ figures: { load: 0.9 } }), run()])).toEqual(['load'])
})

test('frames may be lost where the publisher lost its connection', () => {
  expect(missesOf({ ...fault, mayLose: true }, [run({ lost: 9 })])).toEqual([])
})

test('a line names the highest of each figure', () => {
  const runs = [run({ figures: { load: 0.9 } }), run({ figures: { load: 1.05 } })]
  expect(chaosTable([fault], runs)).toContain('transcoder killed (load 1.05 at worst)')
})

test('a line has quantiles, sums, further times and the verdict', () => {
  const runs = [
    run({ lost: 2, times: { 'let in': 900 } }),
    run({ nextSegmentMs: 5_000, lost: 1, times: { 'let in': 1_500 } }),
    run({ nextSegmentMs: 1_000 }),
  ]
  const [, , line] = chaosTable([fault, { ...fault, id: 'F4' }], runs).split('\n')
  const cells = line!.split('|').map((cell) => cell.trim())
  expect(cells.slice(1, 7)).toEqual([
    'F5 transcoder killed (let in 1.50 s at worst)',
    '2026-11-20',
    '3',
    '3.00',
    '5.00',
    '5.00',
  ])
  expect(cells.at(-2)).toBe('missed: lost')
  expect(chaosTable([{ ...fault, id: 'F4' }], runs).split('\n')).toHaveLength(2)
})
