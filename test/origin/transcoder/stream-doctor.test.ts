// What the doctor says of streams of real encoders, and of samples bent one way at a time.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { findingSchema } from '../../../common/contract/placement.ts'
import { transcoderConfigSchema } from '../../../config/schema.ts'
import { InputReader, runLeadMs } from '../../../origin/transcoder/input-reader.ts'
import { RateWindows } from '../../../origin/transcoder/rate-windows.ts'
import {
  type DoctorRun,
  type DoctorSample,
  StreamDoctor,
} from '../../../origin/transcoder/stream-doctor.ts'
import { trackParsers } from '../../../origin/transcoder/track-parsers.ts'
import { type Clip, clip } from '../../support/publisher-clips.ts'

const limits = transcoderConfigSchema.shape.input.parse({})

function examine(messages: Clip): StreamDoctor {
  const reader = new InputReader(limits, trackParsers, 0)
  const doctor = new StreamDoctor()
  for (const message of messages) {
    for (const step of reader.push(message, message.dueMs)) {
      if (step.kind === 'run') doctor.beginRun(step)
      if (step.kind === 'sample') doctor.add(step.sample)
    }
  }
  return doctor
}

const found = (doctor: StreamDoctor) =>
  Object.fromEntries(doctor.findings.map(({ code, value }) => [code, value]))

/** A picture that is busy for three seconds, then nearly still for three. */
const scenes = "noise=alls=80:allf=t:enable='lt(mod(t,6),3)'"

describe('streams of x264', () => {
  const kinds = [
    ['CBR', ['-b:v', '400k', '-minrate', '400k', '-maxrate', '400k', '-bufsize', '400k']],
    ['VBR', ['-b:v', '400k', '-maxrate', '800k', '-bufsize', '800k']],
    ['ABR', ['-b:v', '400k']],
    ['CRF', ['-crf', '28']],
  ] as const

  test.each(kinds)('%s is told by what the encoder says', async (kind, rateControl) => {
    const messages = await clip({ seconds: 4, framesPerSecond: 15, rateControl, audio: false })
    const findings = examine(messages).findings
    expect(findings).toContainEqual({
      code: 'rate-control',
      value: kind,
      isWarning: kind === 'CRF',
      sentence: expect.stringMatching(/^The encoder says /),
    })
  })

  /** Its settings made unreadable, as if another encoder had made it. */
  const silenced = (messages: Clip): Clip =>
    messages.map((message) => {
      const at = message.payload.indexOf('x264 - core')
      if (at < 0) return message
      const payload = Buffer.from(message.payload)
      payload.fill(0x78, at - 16, at)
      return { ...message, payload }
    })

  test('a constant bitrate is also seen in what arrives', async () => {
    const rateControl = [...kinds[0][1], '-x264-params', 'nal-hrd=cbr']
    const messages = await clip({
      ...{ seconds: 30, framesPerSecond: 15, keyframes: 15, audio: false },
      ...{ videoFilter: scenes, rateControl },
    })
    const doctor = examine(silenced(messages))
    expect(doctor.findings).toEqual([
      {
        code: 'rate-control',
        value: 'CBR',
        isWarning: false,
        sentence: 'The bitrate is as steady as with CBR.',
      },
    ])
  })

  test.each(kinds.slice(1))('%s shows as a bitrate that varies', async (_kind, rateControl) => {
    const messages = await clip({
      ...{ seconds: 30, framesPerSecond: 15, keyframes: 15, audio: false },
      ...{ videoFilter: scenes, rateControl },
    })
    const doctor = examine(silenced(messages))
    expect(found(doctor)).toMatchObject({ 'rate-control': 'VBR' })
    expect(Number(found(doctor)['bitrate-jitter'])).toBeGreaterThan(1.6)
  })

  test('a good stream has nothing to be said about but its rate control', async () => {
    const messages = await clip({ seconds: 8, framesPerSecond: 25, keyframes: 50 })
    expect(Object.keys(found(examine(messages)))).toEqual(['rate-control'])
  })

  test('keyframes six seconds apart are told, with what to set', async () => {
    const messages = await clip({ seconds: 13, framesPerSecond: 10, keyframes: 60, audio: false })
    expect(examine(messages).findings).toContainEqual({
      code: 'keyframes-far',
      value: 6,
      isWarning: true,
      sentence: 'Keyframes are 6 s apart. Set the keyframe interval to 2 s.',
    })
  })

  test('B-frames are told, with how long they hold the picture back', async () => {
    const messages = await clip({ seconds: 4, framesPerSecond: 25, bFrames: 2, audio: false })
    const seen = found(examine(messages))
    expect(seen['b-frames']).toBeGreaterThanOrEqual(40)
    expect(seen['b-frames']).toBeLessThanOrEqual(200)
  })
})

const tracks: DoctorRun['tracks'] = {
  video: {
    config: Buffer.from('014d401effe1', 'hex'),
    codec: 'avc1.4d401e',
    width: 640,
    height: 360,
    framesPerSecond: 25,
    isWidelyPlayable: true,
  },
  audio: {
    config: Buffer.from([0x11, 0x90]),
    codec: 'mp4a.40.2',
    objectType: 2,
    sampleRate: 48_000,
    channels: 2,
  },
}

interface Bend {
  keyframeMs?: number
  /** What sound's clock gains on the picture's, in ms a minute. */
  driftPerMinuteMs?: number
  /** From here on all is so much later. */
  gap?: { atMs: number; lengthMs: number }
  sizeAt?: (atMs: number) => number
}

const frameMs = 40
const audioFrameMs = 1024 / 48

function picture(timestampMs: number, isKeyframe: boolean, sizeBytes = 500): DoctorSample {
  const payload = Buffer.alloc(Math.max(6, sizeBytes))
  payload[0] = isKeyframe ? 0x17 : 0x27
  payload[1] = 1
  return { kind: 'video', timestampMs: timestampMs + runLeadMs, isKeyframe, payload }
}

function sound(timestampMs: number): DoctorSample {
  const payload = Buffer.from([0xaf, 1, 9, 9])
  const ms = Math.round(timestampMs + runLeadMs)
  return { kind: 'audio', timestampMs: ms, isKeyframe: false, payload }
}

function scripted(seconds: number, bend: Bend = {}): StreamDoctor {
  const doctor = new StreamDoctor()
  doctor.beginRun({ tracks, reason: 'first', sinceLastMs: undefined })
  const { keyframeMs = 2_000, driftPerMinuteMs = 0, gap, sizeAt } = bend
  const shifted = (ms: number) => ms + (gap && ms >= gap.atMs ? gap.lengthMs : 0)
  let audioFrames = 0
  for (let ms = 0; ms < seconds * 1_000; ms += frameMs) {
    doctor.add(picture(shifted(ms), ms % keyframeMs === 0, sizeAt?.(ms)))
    for (; audioFrames * audioFrameMs <= ms; audioFrames++) {
      const played = audioFrames * audioFrameMs
      doctor.add(sound(shifted(played) + (played / 60_000) * driftPerMinuteMs))
    }
  }
  return doctor
}

describe('scripted samples', () => {
  test('a steady stream looks like CBR and has no other finding', () => {
    expect(found(scripted(60))).toEqual({ 'rate-control': 'CBR' })
  })

  test.each([300, -300])('sound that runs apart by %d ms a minute is told', (driftPerMinuteMs) => {
    const seen = found(scripted(60, { driftPerMinuteMs }))
    expect(Number(seen['av-drift'])).toBeGreaterThan(Math.abs(driftPerMinuteMs) * -1.2)
    expect(Math.abs(Number(seen['av-drift']))).toBeCloseTo(300, -2)
    expect(Math.sign(Number(seen['av-drift']))).toBe(Math.sign(driftPerMinuteMs))
  })

  test('as much as any crystal is not', () => {
    expect(found(scripted(60, { driftPerMinuteMs: 6 }))).not.toHaveProperty('av-drift')
  })

  test('a clock that jumps within a run is told, once for both tracks, and is no drift', () => {
    const seen = found(scripted(60, { gap: { atMs: 30_000, lengthMs: 1_500 } }))
    expect(seen).toMatchObject({ 'clock-gap': 1 })
    expect(seen).not.toHaveProperty('av-drift')
  })

  test('it is forgotten after a minute', () => {
    expect(found(scripted(100, { gap: { atMs: 30_000, lengthMs: 1_500 } }))).not.toHaveProperty(
      'clock-gap',
    )
  })

  test('a run that ended with a jump is a gap; new headers are not', () => {
    const doctor = scripted(10)
    doctor.beginRun({ tracks, reason: 'headers', sinceLastMs: 10_000 })
    doctor.add(picture(0, true))
    expect(found(doctor)).not.toHaveProperty('clock-gap')
    doctor.beginRun({ tracks, reason: 'jump', sinceLastMs: undefined })
    doctor.add(picture(0, true))
    expect(found(doctor)).toMatchObject({ 'clock-gap': 1 })
  })

  test('a keyframe that does not come is told before the next one', () => {
    expect(found(scripted(7, { keyframeMs: 1_000_000 }))).toMatchObject({ 'keyframes-far': 7 })
    expect(found(scripted(60, { keyframeMs: 4_000 }))).not.toHaveProperty('keyframes-far')
  })

  test('a burst makes jitter, and it passes', () => {
    const sizeAt = (ms: number) => (ms >= 20_000 && ms < 24_000 ? 2_000 : 500)
    expect(found(scripted(40, { sizeAt }))).toHaveProperty('bitrate-jitter')
    expect(found(scripted(120, { sizeAt }))).not.toHaveProperty('bitrate-jitter')
  })
})

describe('rate control by what arrives', () => {
  function windowsOf(rates: readonly number[]): RateWindows {
    const windows = new RateWindows()
    // The first one does not count; the last one is not over.
    for (const [i, rate] of [1, ...rates, 1].entries()) windows.add(i * 2_000, rate, true)
    return windows
  }

  test.each([
    ['CBR', [100, 102, 99, 101, 100, 98]],
    ['CBR', [100, 150, 80, 70, 140, 90]],
    ['VBR', [200, 40, 198, 41, 197, 40, 200, 42, 199, 39]],
    [undefined, [100, 100]],
  ])('%s', (kind, rates) => {
    expect(windowsOf(rates).rateControl).toBe(kind)
  })
})

test('whatever comes, findings are in the form of the contract and each code comes once', () => {
  const sample = fc.record({
    kind: fc.constantFrom('audio' as const, 'video' as const),
    timestampMs: fc.nat(200_000),
    isKeyframe: fc.boolean(),
    payload: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  })
  const run = fc.record({
    reason: fc.constantFrom('first' as const, 'jump' as const, 'silent' as const),
    sinceLastMs: fc.option(fc.nat(100_000), { nil: undefined }),
  })
  fc.assert(
    fc.property(fc.array(fc.oneof(sample, run), { maxLength: 200 }), (steps) => {
      const doctor = new StreamDoctor()
      for (const step of steps) {
        if ('kind' in step) doctor.add(step)
        else doctor.beginRun({ ...step, tracks })
      }
      const { findings } = doctor
      for (const finding of findings) expect(findingSchema.safeParse(finding).success).toBe(true)
      expect(new Set(findings.map(({ code }) => code)).size).toBe(findings.length)
    }),
  )
})
