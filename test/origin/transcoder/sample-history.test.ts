import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { MediaSample } from '../../../media/mp4/track.ts'
import { SampleHistory } from '../../../origin/transcoder/sample-history.ts'

const second = 90_000
const wide = { bytes: 1e9, seconds: 1e9 }

function sample(dts: number, isKeyframe: boolean, bytes = 1): MediaSample {
  return { dts, cts: 0, duration: 0, isKeyframe, data: Buffer.alloc(bytes) }
}

/** Ten pictures and forty sounds a second. */
function fill(history: SampleHistory, seconds: number, gopFrames: number): void {
  for (let frame = 0; frame < seconds * 10; frame++) {
    history.push('video', sample((frame * second) / 10, frame % gopFrames === 0), second)
    for (let sound = 0; sound < 4; sound++) {
      history.push('audio', sample(frame * 4 + sound, true), 40)
    }
  }
}

const videoTimes = (samples: ReturnType<SampleHistory['since']>) => {
  return samples?.filter((it) => it.kind === 'video').map((it) => it.ticks / second)
}

test('a resume is fed from the keyframe at or before the picture', () => {
  const history = new SampleHistory(wide)
  fill(history, 3, 10)
  const from = (ticks: number) => {
    return videoTimes(history.since({ videoTicks: ticks, audioSeconds: Infinity }))
  }
  expect(from(2 * second)![0]).toBe(2)
  expect(from(2 * second - 1)![0]).toBe(1)
  expect(from(-Infinity)).toHaveLength(30)
})

test('sound is fed from a little before its time', () => {
  const history = new SampleHistory(wide)
  fill(history, 3, 10)
  const sounds = history
    .since({ videoTicks: 2 * second, audioSeconds: 1.5 })!
    .filter((it) => it.kind === 'audio')
  expect(sounds[0]!.seconds).toBe(1.25)
  expect(sounds.at(-1)!.seconds).toBe(2.975)
})

test('sound alone is forgotten by its own time', () => {
  const history = new SampleHistory(wide)
  for (let time = 0; time < 400; time++) history.push('audio', sample(time, true), 40)
  history.forgetBefore({ videoTicks: Infinity, audioSeconds: 9 })
  expect(history.samples[0]!.seconds).toBe(8.75)
  expect(history.bytes).toBe(50)
})

test('what is forgotten is never needed by a resume from there on', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 25 }),
      fc.tuple(
        fc.double({ min: 0, max: 4, noNaN: true }),
        fc.double({ min: 0, max: 4, noNaN: true }),
      ),
      fc.tuple(
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
      ),
      (gopFrames, [video, audio], [laterVideo, laterAudio]) => {
        const history = new SampleHistory(wide)
        fill(history, 4, gopFrames)
        const point = {
          videoTicks: (video + laterVideo) * second,
          audioSeconds: audio + laterAudio,
        }
        const before = history.since(point)
        history.forgetBefore({ videoTicks: video * second, audioSeconds: audio })
        expect(history.since(point)).toEqual(before)
        expect(history.bytes).toBe(history.samples.length)
      },
    ),
  )
})

test('over its bounds it loses the oldest GOP, and says so', () => {
  const history = new SampleHistory({ bytes: 1e9, seconds: 2.5 })
  const isWhole: boolean[] = []
  for (let frame = 0; frame < 30; frame++) {
    isWhole.push(history.push('video', sample((frame * second) / 10, frame % 10 === 0), second))
  }
  expect(isWhole.indexOf(false)).toBe(26)
  const since = (seconds: number) => {
    return videoTimes(history.since({ videoTicks: seconds * second, audioSeconds: Infinity }))
  }
  expect(since(0.9)).toBeUndefined()
  expect(since(1)![0]).toBe(1)
})

test('a GOP that is too large by itself is given up up to the next keyframe', () => {
  const history = new SampleHistory({ bytes: 100, seconds: 1e9 })
  for (let frame = 0; frame < 12; frame++) {
    history.push('video', sample((frame * second) / 10, frame % 6 === 0, 30), second)
  }
  expect(history.since({ videoTicks: second, audioSeconds: Infinity })).toBeUndefined()
  expect(history.bytes).toBeLessThanOrEqual(100)
  history.push('video', sample(2 * second, true, 30), second)
  expect(videoTimes(history.since({ videoTicks: 3 * second, audioSeconds: Infinity }))).toEqual([2])
})

test('pictures that were left out do not count as held', () => {
  const history = new SampleHistory({ bytes: 1e9, seconds: 2.5 })
  history.push('video', sample(0, true), second)
  expect(history.push('video', sample(20 * second, true), second)).toBe(true)
})
