import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { MediaSample } from '../../../media/mp4/track.ts'
import { type InputSample, runLeadMs } from '../../../origin/transcoder/input-reader.ts'
import {
  audioConfigOf,
  SampleClock,
  videoConfigOf,
} from '../../../origin/transcoder/sample-clock.ts'
import { trackParsers } from '../../../origin/transcoder/track-parsers.ts'

const avc360 = Buffer.from(
  '014d401effe10018674d401eeca05017fcb80880000003008000001e078b16cb01000568ebe3cb20',
  'hex',
)
function trackOf<Kind extends 'video' | 'audio'>(kind: Kind, config: Buffer) {
  const read = trackParsers[kind](config) as ReturnType<(typeof trackParsers)[Kind]>
  if ('fault' in read) throw new Error(read.fault)
  return read.value as Exclude<typeof read, { fault: string }>['value']
}
const video = trackOf('video', avc360)
const aac = (hex: string) => trackOf('audio', Buffer.from(hex, 'hex'))
const aac48 = aac('1190')

/** AAC-LC of one channel at each rate that has an index (ISO/IEC 14496-3 table 1.18). */
const rates = [
  96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
]
const aacAt = (rate: number) => {
  const bits = (2 << 11) | (rates.indexOf(rate) << 7) | (1 << 3)
  return aac(bits.toString(16).padStart(4, '0'))
}

const clockOf = (originSeconds = 10, audio = aac48) =>
  new SampleClock({ tracks: { video, audio }, originSeconds })

const picture = (ms: number, cts = 0, isKeyframe = false): InputSample => {
  const payload = Buffer.from([isKeyframe ? 0x17 : 0x27, 1, 0, 0, 0, 0xde, 0xad])
  payload.writeIntBE(cts, 2, 3)
  return { kind: 'video', timestampMs: runLeadMs + ms, publisherMs: ms, isKeyframe, payload }
}
const soundBody = Buffer.from([0xaf, 1, 9, 9])
const sound = (ms: number): InputSample => ({
  kind: 'audio',
  timestampMs: runLeadMs + ms,
  publisherMs: ms,
  isKeyframe: true,
  payload: soundBody,
})

function timed(clock: SampleClock, inputs: readonly InputSample[]): MediaSample[] {
  return inputs.flatMap((input) => clock.toSample(input)?.sample ?? [])
}

describe('a picture', () => {
  test('lies where the run begins, and is the tag without its header', () => {
    expect(clockOf(12.5).toSample(picture(0, 0, true))).toEqual({
      kind: 'video',
      sample: {
        dts: 12.5 * 90_000,
        cts: 0,
        duration: 0,
        isKeyframe: true,
        data: Buffer.from([0xde, 0xad]),
      },
    })
  })

  test('that is the first is presented where the run begins; a keyframe is decoded when it is presented', () => {
    const samples = timed(clockOf(10), [
      picture(0, 80, true),
      picture(40, 160),
      picture(80, 0),
      picture(120, 80, true),
    ])
    const zero = 10 * 90_000
    expect(samples.map(({ dts, cts }) => [dts - zero, cts])).toEqual([
      [0, 0],
      [40 * 90, 80 * 90],
      [80 * 90, -80 * 90],
      [120 * 90, 0],
    ])
  })

  test('that is put off takes the sound of its millisecond along', () => {
    const [shown, heard] = timed(clockOf(10), [picture(0, 80, true), sound(80)])
    expect([shown!.dts, heard!.dts]).toEqual([900_000, 480_000])
  })

  test('of the same millisecond as the last one is decoded after it and presented when it should be', () => {
    const samples = timed(clockOf(0), [picture(0, 0, true), picture(0), picture(0), picture(1)])
    expect(samples.map(({ dts, cts }) => [dts, dts + cts])).toEqual([
      [0, 0],
      [1, 0],
      [2, 0],
      [90, 90],
    ])
  })
})

describe('sound', () => {
  test('is counted in samples, not in milliseconds', () => {
    const samples = timed(clockOf(10), [0, 21, 43, 64, 85, 107].map(sound))
    expect(samples.map(({ dts }) => dts)).toEqual([0, 1, 2, 3, 4, 5].map((i) => 480_000 + 1024 * i))
    expect(samples[0]).toEqual({
      dts: 480_000,
      cts: 0,
      duration: 1024,
      isKeyframe: true,
      data: Buffer.from([9, 9]),
    })
  })

  test('lies beside the picture of the same millisecond, also before the run begins', () => {
    expect(timed(clockOf(10), [sound(-10)])[0]!.dts).toBe(480_000 - 480)
  })

  test('follows the publisher over a hole, and counts on from there', () => {
    const samples = timed(clockOf(0), [0, 21, 143, 164].map(sound))
    expect(samples.map(({ dts }) => dts)).toEqual([0, 1024, 143 * 48, 143 * 48 + 1024])
  })

  test('that comes a frame early or late is no hole', () => {
    const samples = timed(clockOf(0), [0, 43, 43, 64, 64, 107, 128].map(sound))
    expect(samples.map(({ dts }) => dts)).toEqual([0, 1, 2, 3, 4, 5, 6].map((i) => 1024 * i))
  })

  test('that overlaps what was there by more than a frame and a half is left out', () => {
    const samples = timed(clockOf(0), [0, 21, 43, 43, 43, 43, 64, 85, 107].map(sound))
    expect(samples.map(({ dts }) => dts)).toEqual([0, 1, 2, 3, 4, 5, 6].map((i) => 1024 * i))
  })

  test.each([
    ['AAC-LC', '1190', 48_000, 1_024],
    ['AAC-LC with short frames', '1194', 48_000, 960],
    ['HE-AAC that says so', '2b118800', 48_000, 2_048],
    ['HE-AAC that does not', '1310', 24_000, 1_024],
  ])('has frames as long as its configuration says: %s', (_, hex, rate, duration) => {
    const track = aac(hex)
    expect(audioConfigOf(track).timescale).toBe(rate)
    const [sample] = timed(clockOf(0, track), [sound(0)])
    expect(sample!.duration).toBe(duration)
  })

  test('with a broken tag is left out', () => {
    expect(clockOf().toSample({ ...sound(0), payload: Buffer.from([0xaf]) })).toBeUndefined()
    expect(clockOf().toSample({ ...picture(0), payload: Buffer.from([0x17]) })).toBeUndefined()
  })

  test('of a track that the run does not have is left out', () => {
    const clock = new SampleClock({ tracks: { video, audio: undefined }, originSeconds: 0 })
    expect(clock.toSample(sound(0))).toBeUndefined()
  })
})

test('tells what tracks are in the words of MP4', () => {
  expect(videoConfigOf(video)).toEqual({
    kind: 'video',
    timescale: 90_000,
    codec: 'avc1.4d401e',
    width: 640,
    height: 360,
    config: avc360,
  })
  expect(audioConfigOf(aac48)).toEqual({
    kind: 'audio',
    timescale: 48_000,
    codec: 'mp4a.40.2',
    sampleRate: 48_000,
    channels: 2,
    config: Buffer.from('1190', 'hex'),
  })
})

const rounding = fc.constantFrom(Math.floor, Math.round, Math.ceil)
const sixHoursMs = 6 * 3_600_000

test('pictures of any rate go on, within 1.5 ms of their true time, for six hours', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 12, max: 60, noNaN: true }),
      rounding,
      fc.integer({ min: 0, max: 30 * 86_400 }),
      (framesPerSecond, round, originSeconds) => {
        const clock = clockOf(originSeconds)
        let worstMs = 0
        let last = -1
        let stepsBack = 0
        // A minute from each hour: a picture's time does not depend on those before.
        for (let hour = 0; hour < 6; hour++) {
          for (let i = 0; i < 60 * framesPerSecond; i++) {
            const trueMs = hour * 3_600_000 + (i * 1000) / framesPerSecond
            const { dts } = clock.toSample(picture(round(trueMs), 0, i === 0))!.sample
            if (dts <= last) stepsBack++
            last = dts
            worstMs = Math.max(worstMs, Math.abs(dts / 90 - originSeconds * 1000 - trueMs))
          }
        }
        expect(stepsBack).toBe(0)
        expect(worstMs).toBeLessThanOrEqual(1.5)
      },
    ),
    { numRuns: 10 },
  )
})

/** Counts what must not be: a hole, an overlap, a frame left out; and how far the count strays from the truth. */
function listen(rate: number, round: (ms: number) => number, drift: number, lengthMs: number) {
  const clock = clockOf(10, aacAt(rate))
  const seen = { breaks: 0, missing: 0, worstFrames: 0, worstSlip: 0 }
  let next = 10 * rate
  const frameMs = ((1024 * 1000) / rate) * (1 + drift)
  for (let ms = 0; ms < lengthMs; ms += frameMs) {
    const sample = clock.toSample(sound(round(ms)))?.sample
    if (!sample) {
      seen.missing++
      continue
    }
    if (sample.dts !== next) seen.breaks++
    next = sample.dts + sample.duration
    const strayed = Math.abs(sample.dts - 10 * rate - (ms * rate) / 1000) / 1024
    seen.worstFrames = Math.max(seen.worstFrames, strayed)
    seen.worstSlip = Math.max(seen.worstSlip, Math.abs(sample.duration - 1024))
  }
  return seen
}

test('sound of any rate is unbroken and exact, however its times are rounded', () => {
  fc.assert(
    fc.property(fc.constantFrom(...rates), rounding, (rate, round) => {
      const seen = listen(rate, round, 0, 120_000)
      expect(seen).toMatchObject({ breaks: 0, missing: 0, worstSlip: 0 })
      expect((seen.worstFrames * 1024 * 1000) / rate).toBeLessThanOrEqual(1)
    }),
    { numRuns: 20 },
  )
})

test.each([
  [44_100, 0],
  [44_100, 0.000_2],
  [48_000, -0.000_3],
  [8_000, -0.000_3],
])('sound at %i Hz whose clock is off by %f stays within a frame for six hours', (rate, drift) => {
  const seen = listen(rate, Math.floor, drift, sixHoursMs)
  expect(seen).toMatchObject({ breaks: 0, missing: 0 })
  expect(seen.worstFrames).toBeLessThanOrEqual(1)
  expect(seen.worstSlip).toBeLessThanOrEqual(drift === 0 ? 0 : 1)
})

test('whatever times come, nothing goes back and no sound overlaps', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.boolean(), fc.integer({ min: -500, max: 3_000 })), { maxLength: 80 }),
      (steps) => {
        const clock = clockOf(10)
        const end = { video: 0, audio: 0 }
        const at = { video: 0, audio: 0 }
        for (const [isVideo, step] of steps) {
          const kind = isVideo ? 'video' : 'audio'
          at[kind] += step
          const sample = clock.toSample(isVideo ? picture(at.video) : sound(at.audio))?.sample
          if (!sample) continue
          if (end[kind] > 0) expect(sample.dts).toBeGreaterThanOrEqual(end[kind])
          end[kind] = sample.dts + Math.max(1, sample.duration)
        }
      },
    ),
  )
})

test('another clock goes on from the state of one, and times are the same', () => {
  const inputs = Array.from({ length: 400 }, (_, index) => {
    const ms = Math.round((index * 1000) / 30)
    return [picture(ms, 80 + (index % 3) * 33, index % 30 === 0), sound(Math.round(index * 21.4))]
  }).flat()
  const one = clockOf(10)
  const whole = timed(one, inputs)
  for (const at of [0, 1, 2, 121, 402]) {
    const first = clockOf(10)
    const samples = timed(first, inputs.slice(0, at))
    const next = new SampleClock({
      tracks: { video, audio: aac48 },
      originSeconds: 0,
      resume: first.stateBefore(0),
    })
    expect([...samples, ...timed(next, inputs.slice(at))]).toEqual(whole)
  }
})

test('another clock goes on before the last sounds of one, and their times are the same', () => {
  const sounds = Array.from({ length: 90 }, (_, index) => sound(Math.round(index * 21.4)))
  const one = clockOf(10)
  const whole = timed(one, sounds)
  for (const again of [0, 1, 3, 90]) {
    const options = { tracks: { video, audio: aac48 }, originSeconds: 10 }
    const next = new SampleClock({ ...options, resume: one.stateBefore(again) })
    expect(timed(next, sounds.slice(90 - again))).toEqual(whole.slice(90 - again))
  }
})
