// A transcoder that dies anywhere in a stream, whatever the clock of its encoder does: the next one makes of the same
// messages what the first would have made.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { encoderOutput } from '../../support/encoder-clock.ts'
import type { Clip } from '../../support/publisher-clips.ts'
import { RelayedStream } from '../../support/relayed-stream.ts'

interface Death {
  deathAtMs: number
  awayMs: number
  progressMs: number
}

async function play(clip: Clip, death?: Death) {
  const { deathAtMs = Infinity, awayMs = 0, progressMs } = death ?? {}
  await using stream = await RelayedStream.publish({ progressMs })
  await stream.send(clip.filter((it) => it.dueMs < deathAtMs))
  const hasPoint = stream.point !== undefined
  if (death) {
    stream.kill()
    await stream.send(clip.filter((it) => it.dueMs >= deathAtMs && it.dueMs < deathAtMs + awayMs))
    await stream.place()
    await stream.send(clip.filter((it) => it.dueMs >= deathAtMs + awayMs))
  }
  await stream.end()
  return { listed: stream.listed(), refused: stream.refused, lost: stream.lost, hasPoint }
}

test('every sample is listed once, at its time, as if nobody had died', async () => {
  const scene = fc.record({
    deathAtMs: fc.integer({ min: 3_500, max: 7_500 }),
    awayMs: fc.integer({ min: 0, max: 1_500 }),
    progressMs: fc.constantFrom(500, 3_000),
    framesPerSecond: fc.constantFrom(30, 25, 30_000 / 1001, 60),
    sampleRate: fc.constantFrom(48_000 as const, 44_100 as const),
    soundLagMs: fc.integer({ min: -120, max: 120 }),
    jitterMs: fc.constantFrom(0, 0, 12),
  })
  await fc.assert(
    fc.asyncProperty(scene, async ({ deathAtMs, awayMs, progressMs, jitterMs, ...encoder }) => {
      const keyframes = Math.round(2 * encoder.framesPerSecond)
      const soundJitterMs = (index: number) => ((index * 7919) % (2 * jitterMs + 1)) - jitterMs
      const clip = encoderOutput({ ...encoder, seconds: 11, keyframes, soundJitterMs })
      const whole = await play(clip)
      const seen = await play(clip, { deathAtMs, awayMs, progressMs })
      expect(seen.hasPoint).toBe(true)
      expect(seen.refused).toEqual([])
      expect(seen.lost).toBe(0)
      expect(seen.listed).toEqual(whole.listed)
    }),
    { numRuns: 20 },
  )
}, 120_000)
