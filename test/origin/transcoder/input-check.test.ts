import { describe, expect, test } from 'vitest'
import { transcoderConfigSchema } from '../../../config/schema.ts'
import { checkTracks, InputMeter } from '../../../origin/transcoder/input-check.ts'

const limits = transcoderConfigSchema.shape.input.parse({})
const video = {
  config: Buffer.alloc(0),
  codec: 'avc1.64001f',
  width: 1280,
  height: 720,
  framesPerSecond: null,
  isWidelyPlayable: true,
}
const audio = {
  config: Buffer.alloc(0),
  codec: 'mp4a.40.2',
  objectType: 2,
  sampleRate: 48_000,
  channels: 2,
}

describe('headers', () => {
  test.each([
    ['a usual stream', {}, {}, undefined],
    ['4K', { width: 3840, height: 2160 }, {}, undefined],
    ['4K upright', { width: 2160, height: 3840 }, {}, undefined],
    ['wider than 4K', { width: 4096, height: 2160 }, {}, 'resolution-too-large'],
    ['a square larger than 4K is high', { width: 2400, height: 2400 }, {}, 'resolution-too-large'],
    ['a picture of a few pixels', { width: 64, height: 8 }, {}, 'input-broken'],
    ['8 kHz mono', {}, { sampleRate: 8_000, channels: 1 }, undefined],
    ['7.35 kHz', {}, { sampleRate: 7_350 }, 'audio-format-unsupported'],
    ['192 kHz', {}, { sampleRate: 192_000 }, 'audio-format-unsupported'],
    ['7.1', {}, { channels: 8 }, undefined],
    ['more than 7.1', {}, { channels: 9 }, 'audio-format-unsupported'],
  ])('of %s', (_, picture, sound, code) => {
    const tracks = { video: { ...video, ...picture }, audio: { ...audio, ...sound } }
    expect(checkTracks(tracks, limits)?.code).toBe(code)
  })
})

interface Load {
  seconds: number
  framesPerSecond?: number
  bytesPerFrame?: number
  keyframeEvery?: number
}

function play({ seconds, framesPerSecond = 30, bytesPerFrame = 10_000, keyframeEvery = 60 }: Load) {
  const meter = new InputMeter(limits)
  for (let frame = 0; frame <= seconds * framesPerSecond; frame++) {
    const refused = meter.add({
      kind: 'video',
      timestampMs: (frame * 1000) / framesPerSecond,
      sizeBytes: bytesPerFrame,
      isKeyframe: frame % keyframeEvery === 0,
    })
    if (refused) return { refused, meter }
  }
  return { refused: undefined, meter }
}

describe('measured', () => {
  test.each([
    ['a usual stream', { seconds: 30 }, undefined],
    ['120 frames per second', { seconds: 30, framesPerSecond: 120, keyframeEvery: 240 }, undefined],
    [
      '144 frames per second',
      { seconds: 30, framesPerSecond: 144, keyframeEvery: 240 },
      'frame-rate-too-high',
    ],
    ['50 Mb/s', { seconds: 30, bytesPerFrame: 208_333 }, undefined],
    ['60 Mb/s', { seconds: 30, bytesPerFrame: 250_000 }, 'bitrate-too-high'],
    ['a keyframe every 10 s', { seconds: 40, keyframeEvery: 300 }, undefined],
    ['a keyframe every 12 s', { seconds: 40, keyframeEvery: 360 }, 'keyframe-interval-too-long'],
  ])('%s', (_, load, code) => {
    expect(play(load).refused?.code).toBe(code)
  })

  test('a burst is judged over ten seconds', () => {
    const meter = new InputMeter(limits)
    const sample = { kind: 'video' as const, isKeyframe: true }
    expect(meter.add({ ...sample, timestampMs: 0, sizeBytes: 20_000_000 })).toBeUndefined()
    expect(meter.add({ ...sample, timestampMs: 5_000, sizeBytes: 10 })).toBeUndefined()
    expect(meter.add({ ...sample, timestampMs: 10_001, sizeBytes: 10 })).toBeUndefined()
  })

  test('the facts are told after a second', () => {
    expect(play({ seconds: 0.5 }).meter.videoFacts(video)).toMatchObject({
      framesPerSecond: null,
      bitsPerSecond: 0,
      keyframeIntervalSeconds: null,
    })
    const facts = play({ seconds: 5 }).meter.videoFacts(video)
    expect(facts.framesPerSecond).toBeCloseTo(30, 0)
    expect(facts.bitsPerSecond / 1e6).toBeCloseTo(2.4, 1)
    expect(facts.keyframeIntervalSeconds).toBe(2)
  })
})
