import { expect, test } from 'vitest'
import { CutTracker } from '../../../origin/transcoder/cut-tracker.ts'
import type { InputSample } from '../../../origin/transcoder/input-reader.ts'

const sample = (
  timestampMs: number,
  isKeyframe = false,
  kind: 'audio' | 'video' = 'video',
): InputSample => ({
  kind,
  timestampMs,
  isKeyframe,
  payload: Buffer.alloc(10),
})
const tracker = () => new CutTracker({ segmentSeconds: 2, maxSegmentSeconds: 4.4 })
const keptTimes = (cuts: CutTracker) => cuts.kept.map((it) => it.timestampMs)

test('keeps what came since the keyframe that ended the last segment', () => {
  const cuts = tracker()
  for (const at of [0, 500, 1_000, 1_500]) cuts.add(sample(at, at % 1_000 === 0))
  expect(keptTimes(cuts)).toEqual([0, 500, 1_000, 1_500])
  cuts.add(sample(2_000, true))
  cuts.add(sample(2_010, false, 'audio'))
  expect(keptTimes(cuts)).toEqual([2_000, 2_010])
})

test('cuts at a keyframe that comes a little early', () => {
  const cuts = tracker()
  cuts.add(sample(0, true))
  cuts.add(sample(1_901, true))
  expect(keptTimes(cuts)).toEqual([1_901])
})

test('says when a segment grows past what a playlist can list', () => {
  const cuts = tracker()
  expect(cuts.add(sample(0, true))).toBe('ok')
  expect(cuts.add(sample(4_400))).toBe('ok')
  expect(cuts.add(sample(4_401))).toBe('overdue')
})

test('is bounded, whatever a publisher sends', () => {
  const cuts = tracker()
  for (let i = 0; i < 80; i++) cuts.add({ ...sample(i), payload: Buffer.alloc(1024 * 1024) })
  expect(cuts.kept.length).toBeLessThan(64)
})
