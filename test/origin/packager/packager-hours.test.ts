// Six hours of samples, fast-forwarded: no clock drifts, and memory stays flat.
import { expect, test } from 'vitest'
import {
  packagerRig,
  pictures,
  secondsOf,
  sounds,
  startOf,
  startTake,
  takePlan,
} from '../../support/packager-rig.ts'

const hours = 6
const fromSeconds = 10
const maxDriftSeconds = 0.05

test.each([
  ['23.976', 24_000 / 1001, 48, 48_000],
  ['29.97', 30_000 / 1001, 60, 44_100],
  ['30', 30, 60, 48_000],
])(
  'after six hours at %s frames per second, numbers still tell the time',
  (_, framesPerSecond, gop, sampleRate) => {
    const rig = packagerRig({ isForgetful: true })
    const { packager } = rig
    startTake(packager, takePlan(), fromSeconds, sampleRate)
    const seconds = hours * 3600
    const picture = pictures({
      framesPerSecond,
      fromSeconds,
      seconds,
      isKeyframe: (index) => index % gop === 0,
      inMilliseconds: true,
    })
    const sound = sounds(sampleRate, fromSeconds, seconds)
    let mostKept = 0
    let mostParts = 0
    let nextSound = sound.next()
    let frame = 0
    for (const sample of picture) {
      packager.push('take-1', '720p', sample)
      const time = sample.dts / 90_000
      while (!nextSound.done && nextSound.value.dts / sampleRate <= time) {
        packager.push('take-1', 'audio', nextSound.value)
        nextSound = sound.next()
      }
      if (frame++ % 100_000 !== 0 || !packager.settings) continue
      const kept = packager.playlistNames.flatMap((name) => packager.playlist(name)!.segments)
      mostKept = Math.max(mostKept, kept.length)
      mostParts = Math.max(mostParts, ...kept.map((it) => it.parts.length))
    }
    packager.endTake('take-1')

    const { segmentSeconds } = packager.settings!
    expect(rig.faults).toEqual([])
    expect(packager.takes).toHaveLength(1)
    expect(packager.takes[0]!.isRegular).toBe(true)
    for (const name of ['720p', 'audio']) {
      const last = packager.playlist(name)!.segments.at(-2)!
      // What $Number$ tells, and what the samples say the time is.
      const grid = fromSeconds + (last.number - 1) * segmentSeconds
      const wallClock = fromSeconds + ((last.number - 1) * gop) / framesPerSecond
      expect(last.number).toBeGreaterThan((hours * 3600) / segmentSeconds - 3)
      expect(Math.abs(startOf(last) - grid)).toBeLessThan(maxDriftSeconds)
      expect(Math.abs(startOf(last) - wallClock)).toBeLessThan(maxDriftSeconds)
      expect(secondsOf(last)).toBeCloseTo(segmentSeconds, 1)
    }
    expect(mostKept).toBeLessThanOrEqual(2 * 16)
    expect(mostParts).toBeLessThanOrEqual(5)
  },
)
