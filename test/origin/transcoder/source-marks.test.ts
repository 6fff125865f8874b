import { expect, test } from 'vitest'
import { SourceMarks } from '../../../origin/transcoder/source-marks.ts'

test('a next transcoder is fed from the newest keyframe that is not after what is open', () => {
  const marks = new SourceMarks()
  expect(marks.at(0)).toBeUndefined()
  for (const second of [10, 12, 14, 16]) marks.add(second, second * 1_000)
  expect([9, 10, 13.9, 14, 15].map((it) => marks.at(it))).toEqual([
    10_000, 10_000, 12_000, 14_000, 14_000,
  ])
})

test('sound can be entered a few times per second, and what is long over is forgotten', () => {
  const marks = new SourceMarks()
  for (let ms = 0; ms < 200_000; ms += 20) marks.add(ms / 1_000, ms)
  expect(marks.at(0)).toBeGreaterThan(100_000)
  expect(marks.at(199.3)).toBe(199_160)
  expect(marks.at(0)).toBe(199_160)
})
