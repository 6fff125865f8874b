import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  choosePartTarget,
  chooseSegmentSeconds,
  exactFrameSeconds,
  roundedRate,
} from '../../../origin/packager/grid.ts'

describe('the frame', () => {
  test.each([
    [2.002, 60, 1001 / 30_000],
    [2.0, 60, 1 / 30],
    [2.002, 48, 1001 / 24_000],
    [2.0, 48, 1 / 24],
    [1.001, 60, 1001 / 60_000],
    [2.003, 60, 1001 / 30_000],
    [1.999, 50, 1 / 25],
    [2.0, 24, 1 / 12],
  ])('of %d s and %d frames is exact', (seconds, frames, frame) => {
    expect(exactFrameSeconds(seconds, frames)).toBe(frame)
  })

  test('is what the publisher says where milliseconds cannot tell', () => {
    expect(exactFrameSeconds(0.5, 15, 29.97)).toBe(1001 / 30_000)
    expect(exactFrameSeconds(0.5, 15, 30)).toBe(1 / 30)
  })

  test('is not what the publisher says where the measure speaks against it', () => {
    expect(exactFrameSeconds(2, 50, 30)).toBe(1 / 25)
  })

  test('is as measured where no camera has such a rate', () => {
    expect(exactFrameSeconds(2, 34.6)).toBeCloseTo(2 / 34.6, 9)
  })
})

describe('the segment', () => {
  test.each([
    [2, 60, 2],
    [1, 30, 2],
    [0.5, 15, 2],
    [2.5, 75, 2.5],
    [3, 90, 3],
    [1.9, 57, 1.9],
    [1.8, 54, 3.6],
    [4, 120, 4],
  ])('over gops of %d s and %d frames lasts %d s', (gop, frames, seconds) => {
    expect(chooseSegmentSeconds(gop, frames, 1.9)).toBeCloseTo(seconds, 9)
  })

  test('lasts whole frames of 1001/30 ms at 29.97', () => {
    expect(chooseSegmentSeconds(2.002, 60, 1.9)).toBe((1001 / 30_000) * 60)
  })
})

describe('the part target', () => {
  test.each([
    [0.5, 30, 0.502],
    [0.2, 30, 0.202],
    [0.2, 24, 0.211],
  ])('of %d s at %d frames per second is %d s', (partSeconds, rate, target) => {
    expect(choosePartTarget({ partSeconds, frameSeconds: [1 / rate] })).toBe(target)
  })

  test('can be filled to 85 % by every track', () => {
    const rate = fc.integer({ min: 10_000, max: 60_000 }).map((it) => it / 1000)
    const sampleRate = fc.constantFrom(22_050, 24_000, 32_000, 44_100, 48_000)
    fc.assert(
      fc.property(fc.integer({ min: 200, max: 1000 }), rate, sampleRate, (ms, fps, hertz) => {
        const frameSeconds = [1 / fps, 1024 / hertz]
        const target = choosePartTarget({ partSeconds: ms / 1000, frameSeconds })
        expect(target).toBeGreaterThanOrEqual(ms / 1000)
        expect(target).toBeLessThan(ms / 1000 + 0.25)
        for (const frame of frameSeconds) {
          const filled = Math.floor((target - 0.002) / frame + 1e-9) * frame
          expect(filled - 0.001).toBeGreaterThanOrEqual(0.85 * target)
        }
      }),
    )
  })
})

test.each([
  [29.99, 30],
  [29.965, 29.97],
  [23.98, 23.976],
  [17.3333, 17.33],
])('%d frames per second are called %d', (measured, told) => {
  expect(roundedRate(measured)).toBe(told)
})
