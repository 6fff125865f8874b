import { expect, test } from 'vitest'
import { type SourceMark, SourceMarks } from '../../../origin/transcoder/source-marks.ts'

function markAt(seconds: number, timestampMs: number): SourceMark {
  const entry = { timestampMs, baseMs: 0, lastMs: {} }
  return { seconds, entry, clock: { originSeconds: 0 } }
}

test('a next transcoder is fed from the newest keyframe that is not after what is open', () => {
  const marks = new SourceMarks()
  expect(marks.at(0)).toBeUndefined()
  for (const second of [10, 12, 14, 16]) marks.add(markAt(second, second * 1_000))
  expect([9, 10, 13.9, 14, 15].map((it) => marks.at(it)?.entry.timestampMs)).toEqual([
    10_000, 10_000, 12_000, 14_000, 14_000,
  ])
})

test('sound can be entered a few times per second, and what is long over is forgotten', () => {
  const marks = new SourceMarks()
  for (let ms = 0; ms < 200_000; ms += 20) marks.add(markAt(ms / 1_000, ms))
  expect(marks.at(0)?.entry.timestampMs).toBeGreaterThan(100_000)
  expect(marks.at(199.3)?.entry.timestampMs).toBe(199_160)
  expect(marks.at(0)?.entry.timestampMs).toBe(199_160)
})
