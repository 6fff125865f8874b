import { expect, test } from 'vitest'
import { type SourceMark, SourceMarks } from '../../../origin/transcoder/source-marks.ts'

function markAt(seconds: number, timestampMs: number, soundSeconds?: number): SourceMark {
  const entry = { timestampMs, baseMs: 0, lastMs: {} }
  return { seconds, soundSeconds, entry, clock: { originSeconds: 0 } }
}

test('a next transcoder is fed from the newest keyframe that is not after what is open', () => {
  const marks = new SourceMarks()
  expect(marks.at({ seconds: 0 })).toBeUndefined()
  for (const second of [10, 12, 14, 16]) marks.add(markAt(second, second * 1_000))
  expect([9, 10, 13.9, 14, 15].map((seconds) => marks.at({ seconds })?.entry.timestampMs)).toEqual([
    10_000, 10_000, 12_000, 14_000, 14_000,
  ])
})

test('sound can be entered a few times per second, and what is long over is forgotten', () => {
  const marks = new SourceMarks()
  for (let ms = 0; ms < 200_000; ms += 20) marks.add(markAt(ms / 1_000, ms))
  expect(marks.at({ seconds: 0 })?.entry.timestampMs).toBeGreaterThan(100_000)
  expect(marks.at({ seconds: 199.3 })?.entry.timestampMs).toBe(199_160)
  expect(marks.at({ seconds: 0 })?.entry.timestampMs).toBe(199_160)
})

test('sound that comes before a keyframe and is needed is fed from the keyframe before that', () => {
  const marks = new SourceMarks()
  for (const second of [10, 12, 14]) marks.add(markAt(second, second * 1_000, second + 0.01))
  const at = (soundSeconds: number) => marks.at({ seconds: 12, soundSeconds })?.seconds
  expect([12.009, 12.01, 12.5].map(at)).toEqual([10, 12, 12])
})
