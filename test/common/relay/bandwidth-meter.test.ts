import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BandwidthMeter } from '../../../common/relay/bandwidth-meter.ts'
import { FakeClock } from '../../support/fake-clock.ts'

async function measured(...arrivals: [afterMs: number, bytes: number][]) {
  const clock = new FakeClock()
  const meter = new BandwidthMeter(clock)
  for (const [afterMs, bytes] of arrivals) {
    await clock.advance(afterMs)
    if (bytes > 0) meter.count(bytes)
  }
  return meter.end()
}

describe('a bandwidth meter', () => {
  test('tells median and lowest of whole seconds, and leaves the last piece out', async () => {
    // Seconds since the first byte: 2 500 bytes, then 9 001, and the third is not whole.
    const arrivals: [number, number][] = [
      [400, 1_000],
      [400, 500],
      [400, 9_000],
      [450, 1],
    ]
    expect(await measured([700, 1_000], ...arrivals, [360, 0])).toEqual({
      durationMs: 2_010,
      bytes: 11_501,
      medianBitsPerSecond: (8 * (2_500 + 9_001)) / 2,
      lowestBitsPerSecond: 8 * 2_500,
      stalls: 0,
      longestStallMs: 0,
    })
  })

  test('of less than a second has no rate, and of nothing no duration', async () => {
    const nothing = { bytes: 0, durationMs: 0, stalls: 0, longestStallMs: 0 }
    const noRate = { medianBitsPerSecond: null, lowestBitsPerSecond: null }
    expect(await measured([5_000, 0])).toEqual({ ...nothing, ...noRate })
    expect(await measured([0, 100], [400, 100])).toMatchObject({ bytes: 200, ...noRate })
  })

  test('counts silences of half a second, one at the end too, and seconds without a byte', async () => {
    expect(
      await measured([0, 100], [499, 100], [500, 100], [2_500, 100], [100, 100], [900, 0]),
    ).toMatchObject({ stalls: 3, longestStallMs: 2_500, lowestBitsPerSecond: 0 })
  })

  test('never loses a byte, and the lowest second is at most the median', async () => {
    const arrival = fc.tuple(fc.nat({ max: 1_500 }), fc.integer({ min: 1, max: 1e6 }))
    await fc.assert(
      fc.asyncProperty(fc.array(arrival, { maxLength: 40 }), async (arrivals) => {
        const measure = await measured(...arrivals)
        expect(measure.bytes).toBe(arrivals.reduce((sum, [, bytes]) => sum + bytes, 0))
        expect(measure.lowestBitsPerSecond ?? 0).toBeLessThanOrEqual(
          measure.medianBitsPerSecond ?? 0,
        )
      }),
      { numRuns: 50 },
    )
  })
})
