import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ResumePoint } from '../../../common/contract/resume-point.ts'
import { transcoderConfigSchema } from '../../../config/schema.ts'
import type { MediaMessage } from '../../../media/rtmp/message.ts'
import type { InputLimits } from '../../../origin/transcoder/input-check.ts'
import { InputReader, type InputStep, runLeadMs } from '../../../origin/transcoder/input-reader.ts'
import { trackParsers } from '../../../origin/transcoder/track-parsers.ts'

const limits: InputLimits = transcoderConfigSchema.shape.input.parse({})

/** 640×360 and 480×270 by x264, main profile. */
const avc360 = Buffer.from(
  '014d401effe10018674d401eeca05017fcb80880000003008000001e078b16cb01000568ebe3cb20',
  'hex',
)
const avc270 = Buffer.from(
  '014d4015ffe10019674d4015eca0f047f58088000003000800000301e078b16cb001000568ebe3cb20',
  'hex',
)
/** AAC-LC 48 kHz stereo and 44.1 kHz mono. */
const aac48 = Buffer.from([0x11, 0x90])
const aac44 = Buffer.from([0x12, 0x08])

const videoHeader = (config = avc360): MediaMessage => ({
  kind: 'video',
  timestampMs: 0,
  payload: Buffer.concat([Buffer.from([0x17, 0, 0, 0, 0]), config]),
})
const audioHeader = (config = aac48): MediaMessage => ({
  kind: 'audio',
  timestampMs: 0,
  payload: Buffer.concat([Buffer.from([0xaf, 0]), config]),
})
const key = (timestampMs: number): MediaMessage => ({
  kind: 'video',
  timestampMs,
  payload: Buffer.from([0x17, 1, 0, 0, 0, 1, 2, 3]),
})
const inter = (timestampMs: number): MediaMessage => ({
  kind: 'video',
  timestampMs,
  payload: Buffer.from([0x27, 1, 0, 0, 0, 1, 2, 3]),
})
const sound = (timestampMs: number): MediaMessage => ({
  kind: 'audio',
  timestampMs,
  payload: Buffer.from([0xaf, 1, 9, 9]),
})

/** `R` a run with its tracks, `v`/`a` a sample and its time after the lead, `!` a refusal. */
function told(steps: readonly InputStep[]): string {
  return steps
    .map((step) => {
      if (step.kind === 'refused') return `!${step.refusal.code}`
      if (step.kind === 'run') {
        return `R${step.tracks.video ? 'v' : ''}${step.tracks.audio ? 'a' : ''}`
      }
      const { kind, isKeyframe, timestampMs } = step.sample
      return `${kind === 'audio' ? 'a' : isKeyframe ? 'V' : 'v'}${timestampMs - runLeadMs}`
    })
    .join(' ')
}

function read(...messages: MediaMessage[]): string {
  const reader = new InputReader(limits, trackParsers, 0)
  return told(messages.flatMap((message) => reader.push(message, 0)))
}

describe('a run', () => {
  test('begins with both headers at a keyframe and counts its time from there', () => {
    expect(read(videoHeader(), audioHeader(), key(5_000), sound(4_990), inter(5_040))).toBe(
      'Rva V0 a-10 v40',
    )
  })

  test('leaves out what comes before the first keyframe', () => {
    expect(read(videoHeader(), audioHeader(), sound(0), inter(0), key(40), sound(41))).toBe(
      'Rva V0 a1',
    )
  })

  test('begins with one track when the other stays silent for the wait', () => {
    const reader = new InputReader(limits, trackParsers, 0)
    const steps = [videoHeader(), key(0), inter(40)].flatMap((it) => reader.push(it, 100))
    expect(told(steps)).toBe('')
    expect(told(reader.tick(1_599))).toBe('')
    expect(told(reader.tick(1_600))).toBe('Rv V0 v40')
  })

  test('of sound alone begins at once after the wait', () => {
    const reader = new InputReader(limits, trackParsers, 0)
    reader.push(audioHeader(), 0)
    expect(told(reader.push(sound(7_000), 2_000))).toBe('Ra a0')
  })

  test('goes on when a header is repeated', () => {
    expect(
      read(videoHeader(), audioHeader(), key(0), videoHeader(), audioHeader(), inter(40)),
    ).toBe('Rva V0 v40')
  })

  test('steps back by no more than a muxer can bear', () => {
    expect(read(videoHeader(), audioHeader(), key(0), inter(40), inter(35), inter(80))).toBe(
      'Rva V0 v40 v40 v80',
    )
  })
})

describe('a new run begins at the next keyframe', () => {
  const start = [videoHeader(), audioHeader(), key(0), inter(40)]
  test.each<[string, MediaMessage[], string]>([
    ['when the picture changes', [videoHeader(avc270), inter(80), key(120)], 'Rva V0'],
    ['when the sound changes', [audioHeader(aac44), sound(60), key(120)], 'Rva V0'],
    ['when time jumps forward', [inter(5_000), sound(5_000), key(5_040)], 'Rva V0'],
    ['when time starts again', [inter(40_000), key(0), inter(40)], 'Rva V0 v40'],
  ])('%s', (_, messages, expected) => {
    expect(read(...start, ...messages)).toBe(`Rva V0 v40 ${expected}`)
  })

  test('when sound joins a picture that has begun without it', () => {
    const reader = new InputReader(limits, trackParsers, 0)
    const steps = [videoHeader(), key(0)].flatMap((it) => reader.push(it, 0))
    steps.push(...reader.tick(2_000))
    for (const it of [audioHeader(), sound(1_900), key(2_000), sound(2_010)]) {
      steps.push(...reader.push(it, 2_000))
    }
    expect(told(steps)).toBe('Rv V0 Rva V0 a10')
  })

  test('also where the 32 bits of a timestamp wrap', () => {
    expect(read(videoHeader(), audioHeader(), key(2 ** 32 - 20), key(20), inter(60))).toBe(
      'Rva V0 Rva V0 v40',
    )
  })
})

/** Media of a track in steps of 40 ms, a keyframe each second; each arrives when it says it was taken. */
function stretch(
  kind: 'picture' | 'sound',
  fromMs: number,
  toMs: number,
): [MediaMessage, number][] {
  const out: [MediaMessage, number][] = []
  for (let ms = fromMs; ms < toMs; ms += 40) {
    const message = kind === 'sound' ? sound(ms) : ms % 1_000 === 0 ? key(ms) : inter(ms)
    out.push([message, ms])
  }
  return out
}
/** The same some time later: by the publisher's clock, and by ours. */
const shifted = (media: [MediaMessage, number][], byMs: number, arriveMs = byMs) =>
  media.map(([message, nowMs]): [MediaMessage, number] => [
    { ...message, timestampMs: message.timestampMs + byMs },
    nowMs + arriveMs,
  ])
/** Held up on the way: all of it comes at once, in the order of its time. */
const heldUntil = (nowMs: number, media: [MediaMessage, number][]) =>
  media.toSorted((a, b) => a[1] - b[1]).map(([message]): [MediaMessage, number] => [message, nowMs])
const both = (fromMs: number, toMs: number) => [
  ...stretch('picture', fromMs, toMs),
  ...stretch('sound', fromMs, toMs),
]

/** Each run with its reason and tracks; those after the first with the publisher's time of their beginning. */
function runs(media: [MediaMessage, number][]): string[] {
  const inOrder = media.toSorted((a, b) => a[1] - b[1])
  const reader = new InputReader(limits, trackParsers, 0)
  const steps = inOrder.flatMap(([message, nowMs]) =>
    reader.push(message, nowMs).map((step) => ({ step, ms: message.timestampMs })),
  )
  return steps.flatMap(({ step, ms }) => {
    if (step.kind === 'refused') return [`!${step.refusal.code}`]
    if (step.kind === 'sample') return []
    const { video, audio } = step.tracks
    const name = `${step.reason} ${video ? 'v' : ''}${audio ? 'a' : ''}`
    return [step.reason === 'first' ? name : `${name} ${ms}`]
  })
}

describe('of what a publisher may do to time and tracks', () => {
  const headers: [MediaMessage, number][] = [
    [videoHeader(), 0],
    [audioHeader(), 0],
  ]
  const at = (nowMs: number, message: MediaMessage): [MediaMessage, number] => [message, nowMs]
  const until4 = both(0, 4_000)
  const from4 = both(4_000, 9_000)

  test.each<[string, [MediaMessage, number][], string[]]>([
    ['nothing is one run', [...until4, ...from4], []],
    [
      'a leap of 30 s forward ends the run',
      [...until4, ...shifted(from4, 30_000, 0)],
      ['jump va 34000'],
    ],
    [
      'an encoder that starts again, 60 s back, ends the run',
      [...shifted(until4, 60_000, 0), ...shifted(both(0, 2_000), 0, 4_000)],
      ['jump va 0'],
    ],
    ['a leap of 1.2 s ends the run', [...until4, ...shifted(from4, 1_200, 0)], ['jump va 5200']],
    ['a leap of 0.9 s is a hole', [...until4, ...shifted(from4, 900, 0)], []],
    ['a pause of 1.9 s by all clocks is a hole', [...until4, ...shifted(from4, 1_900)], []],
    [
      'a pause of 5 s by all clocks ends the run: no hole is so long',
      [...until4, ...shifted(from4, 5_000)],
      ['silent va 9000'],
    ],
    ['a step back of 30 ms does no harm', [...until4, ...shifted(from4, -30, 0)], []],
    [
      'media that was held up and comes all at once is one run',
      [...until4, ...heldUntil(9_000, from4)],
      [],
    ],
    [
      'pictures dropped for 1.6 s while sound went on are a hole, also when it all comes late',
      [...until4, ...heldUntil(7_000, [...stretch('sound', 4_000, 5_600), ...both(5_600, 7_000)])],
      [],
    ],
    [
      'pictures that are gone for 5 s while sound goes on end the run until a keyframe',
      [...until4, ...stretch('sound', 4_000, 12_000), ...stretch('picture', 9_040, 12_000)],
      ['silent va 10000'],
    ],
    [
      'sound that is gone ends the run; the next does without',
      [...until4, ...stretch('picture', 4_000, 12_000)],
      ['silent v 6000'],
    ],
    [
      'sound that comes back for good has a run of its own',
      [...until4, ...stretch('picture', 4_000, 12_000), ...stretch('sound', 7_800, 12_000)],
      ['silent v 6000', 'sound-back va 9000'],
    ],
    [
      'sound that comes back for a moment now and then changes nothing',
      [
        ...until4,
        ...stretch('picture', 4_000, 20_000),
        ...[8_000, 11_000, 14_000, 17_000].flatMap((ms) => stretch('sound', ms, ms + 900)),
      ],
      ['silent v 6000'],
    ],
    [
      'sound that leaps away alone is left out; the picture goes on without',
      [
        ...until4,
        ...stretch('picture', 4_000, 12_000),
        ...shifted(stretch('sound', 4_000, 12_000), 30_000, 0),
      ],
      ['jump va 5000', 'silent v 8000'],
    ],
    [
      'a picture of another size ends the run',
      [...until4, at(4_000, videoHeader(avc270)), ...from4],
      ['headers va 4000'],
    ],
    [
      'sound of another rate ends the run',
      [...until4, at(4_000, audioHeader(aac44)), ...from4],
      ['headers va 4000'],
    ],
    ['headers that are repeated change nothing', [...until4, ...headers, ...from4], []],
  ])('%s', (_, media, expected) => {
    const [first, ...others] = runs([...headers, ...media])
    expect(first).toBe('first va')
    expect(others).toEqual(expected)
  })

  test('a sound header that comes at 6 s begins a run with sound', () => {
    const media = [
      at(0, videoHeader()),
      ...stretch('picture', 0, 9_000),
      at(5_990, audioHeader()),
      ...stretch('sound', 6_000, 9_000),
    ]
    expect(runs(media)).toEqual(['first v', 'headers va 6000'])
  })

  test.each<[string, [MediaMessage, number][], string[]]>([
    [
      'pictures alone are one run',
      [at(0, videoHeader()), ...stretch('picture', 0, 9_000)],
      ['first v'],
    ],
    ['sound alone is one run', [at(0, audioHeader()), ...stretch('sound', 0, 9_000)], ['first a']],
    [
      'pictures whose sound has but a header are given up waiting for it',
      [...headers, ...stretch('picture', 0, 9_000)],
      ['first va', 'silent v 3000'],
    ],
  ])('%s', (_, media, expected) => {
    expect(runs(media)).toEqual(expected)
  })

  test.each<[string, [MediaMessage, number][], (number | undefined)[]]>([
    [
      'of the same clock, how far it is from the last',
      [...until4, at(4_000, videoHeader(avc270)), ...from4],
      [undefined, 4_000],
    ],
    [
      'of another clock, nothing of it',
      [...until4, ...shifted(from4, 30_000, 0)],
      [undefined, undefined],
    ],
  ])('a run tells, %s', (_, media, expected) => {
    const reader = new InputReader(limits, trackParsers, 0)
    const steps = [...headers, ...media]
      .toSorted((a, b) => a[1] - b[1])
      .flatMap(([it, nowMs]) => reader.push(it, nowMs))
    expect(steps.flatMap((it) => (it.kind === 'run' ? [it.sinceLastMs] : []))).toEqual(expected)
  })

  test('silence of four seconds ends a run, and the next one begins at a keyframe', () => {
    const reader = new InputReader(limits, trackParsers, 0)
    reader.push(videoHeader(), 0)
    reader.push(audioHeader(), 0)
    expect(told(reader.push(key(0), 0))).toBe('Rva V0')
    reader.push(sound(10), 10)
    reader.tick(4_000)
    expect(reader.isRunning).toBe(true)
    reader.tick(4_010)
    expect(reader.isRunning).toBe(false)
    expect(told(reader.push(inter(40), 4_020))).toBe('')
    expect(told(reader.push(key(80), 4_020))).toBe('Rva V0')
  })

  test('between two runs it says so', () => {
    const reader = new InputReader(limits, trackParsers, 0)
    const push = (message: MediaMessage) => {
      reader.push(message, 0)
      return reader.isRunning
    }
    const messages = [videoHeader(), audioHeader(), key(0), inter(40), inter(9_000), key(9_040)]
    expect(messages.map(push)).toEqual([false, false, true, true, false, true])
  })
})

describe('is refused', () => {
  const payload = (...bytes: number[]) => Buffer.from([...bytes, 0, 0, 0, 0, 0])
  test.each<[string, MediaMessage, RegExp]>([
    [
      'HEVC by the old codec id',
      { kind: 'video', timestampMs: 0, payload: payload(0x1c, 0) },
      /HEVC/,
    ],
    [
      'HEVC by Enhanced RTMP',
      { kind: 'video', timestampMs: 0, payload: Buffer.from('\x90hvc1xxx', 'latin1') },
      /HEVC/,
    ],
    [
      'AV1',
      { kind: 'video', timestampMs: 0, payload: Buffer.from('\x90av01xxx', 'latin1') },
      /AV1/,
    ],
    [
      'Sorenson',
      { kind: 'video', timestampMs: 0, payload: payload(0x12, 0) },
      /video codec is unknown/,
    ],
    ['MP3', { kind: 'audio', timestampMs: 0, payload: payload(0x2f) }, /MP3/],
    [
      'Opus',
      { kind: 'audio', timestampMs: 0, payload: Buffer.from('\x90Opusxxx', 'latin1') },
      /Opus/,
    ],
  ])('%s', (_, message, sentence) => {
    const reader = new InputReader(limits, trackParsers, 0)
    const [step] = reader.push(message, 0)
    expect(step).toMatchObject({ kind: 'refused', refusal: { code: 'codec-unsupported' } })
    expect(step!.kind === 'refused' && step!.refusal.message).toMatch(sentence)
    expect(reader.push(videoHeader(), 0)).toEqual([])
  })

  test('a header that cannot be read', () => {
    expect(read(videoHeader(Buffer.from([1, 2, 3, 4, 5, 6, 7, 8])))).toBe('!input-broken')
  })

  test('a picture that is larger than allowed, before any frame', () => {
    const reader = new InputReader({ ...limits, maxHeight: 200, maxWidth: 300 }, trackParsers, 0)
    expect(told(reader.push(videoHeader(), 0))).toBe('!resolution-too-large')
  })

  test('a connection that sends nothing but metadata', () => {
    const reader = new InputReader(limits, trackParsers, 1_000)
    reader.push({ kind: 'data', timestampMs: 0, payload: Buffer.from('meta') }, 1_000)
    expect(told(reader.tick(10_999))).toBe('')
    expect(told(reader.tick(11_000))).toBe('!no-media')
  })

  test('pictures without a keyframe for longer than keyframes may lie apart', () => {
    const reader = new InputReader(limits, trackParsers, 0)
    const media = [
      videoHeader(),
      audioHeader(),
      ...Array.from({ length: 240 }, (_, i) => inter(i * 40)),
    ]
    for (const message of media) reader.push(message, message.timestampMs)
    expect(told(reader.tick(10_499))).toBe('')
    expect(told(reader.tick(10_500))).toBe('!keyframe-interval-too-long')
  })

  test('a header of pictures that never come', () => {
    const reader = new InputReader(limits, trackParsers, 0)
    const media = [
      videoHeader(),
      audioHeader(),
      ...Array.from({ length: 400 }, (_, i) => sound(i * 21)),
    ]
    for (const message of media) reader.push(message, message.timestampMs)
    expect(told(reader.tick(10_500))).toBe('!no-media')
  })

  test('media that never shows a header', () => {
    const flood = Array.from({ length: 2_000 }, (_, i) => inter(i * 40))
    expect(read(...flood)).toBe('!input-broken')
  })

  test('sound that lives on another clock than the picture', () => {
    const flood = Array.from({ length: 501 }, (_, i) => sound(3_600_000 + i * 21))
    expect(read(videoHeader(), audioHeader(), key(0), ...flood)).toBe('Rva V0 !input-broken')
  })
})

test('whatever comes, samples follow a run, in order, and a run of pictures opens with a keyframe', () => {
  const message = fc.oneof(
    fc.constantFrom(videoHeader(), audioHeader(), audioHeader(aac44)),
    fc.tuple(fc.constantFrom(key, inter, sound), fc.nat(20_000)).map(([make, at]) => make(at)),
    fc.record({
      kind: fc.constantFrom('audio' as const, 'video' as const, 'data' as const),
      timestampMs: fc.nat(2 ** 32 - 1),
      payload: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    }),
  )
  fc.assert(
    fc.property(fc.array(message, { maxLength: 60 }), (messages) => {
      const reader = new InputReader(limits, trackParsers, 0)
      const last = { audio: 0, video: 0 }
      let previous: InputStep | undefined
      for (const [index, it] of messages.entries()) {
        for (const step of reader.push(it, index * 100)) {
          if (step.kind === 'run') Object.assign(last, { audio: 0, video: 0 })
          if (step.kind === 'sample') {
            expect(previous).toBeDefined()
            expect(step.sample.timestampMs).toBeGreaterThanOrEqual(last[step.sample.kind])
            const hole = step.sample.timestampMs - last[step.sample.kind]
            if (last[step.sample.kind] > 0) expect(hole).toBeLessThanOrEqual(2_000)
            last[step.sample.kind] = step.sample.timestampMs
            if (previous?.kind === 'run' && previous.tracks.video) {
              expect(step.sample.isKeyframe).toBe(true)
            }
          }
          expect(previous?.kind).not.toBe('refused')
          previous = step
        }
      }
    }),
  )
})

describe('a replay that comes faster than real time', () => {
  test('is compared with when its media reached the relay', () => {
    const reader = new InputReader(limits, trackParsers, 0)
    const start = [videoHeader(), audioHeader(), key(0), sound(0)]
    const steps = start.flatMap((it) => reader.push(it, 9_000, 1_000))
    // A pause of the publisher, which comes in an instant.
    steps.push(...reader.push(inter(1_900), 9_001, 2_900))
    steps.push(...reader.push(sound(1_900), 9_001, 2_900))
    expect(told(steps)).toBe('Rva V0 a0 v1900 a1900')
  })

  test('is not silent while it lasts, however long ago that was', () => {
    const reader = new InputReader(limits, trackParsers, 0)
    const start = [videoHeader(), audioHeader(), key(0), sound(0)]
    for (const it of start) reader.push(it, 9_000, 1_000)
    reader.tick(9_010)
    expect(reader.isRunning).toBe(true)
    reader.tick(13_000)
    expect(reader.isRunning).toBe(false)
  })
})

describe('a run that another reader was in', () => {
  const base64 = (config: Buffer) => config.toString('base64')
  const headers = [videoHeader(), audioHeader()]
  const before = [key(5_000), sound(4_990), inter(5_040), sound(5_011), inter(5_035)]
  const after = [key(5_080), sound(5_079), inter(5_120), sound(5_100)]

  function entryOf(): ResumePoint['input'] {
    const reader = new InputReader(limits, trackParsers, 0)
    const steps = [...headers, ...before, ...after].flatMap((it) => reader.push(it, 0))
    const samples = steps.flatMap((it) => (it.kind === 'sample' ? it.sample : []))
    const [run] = steps.flatMap((it) => (it.kind === 'run' ? it.tracks : []))
    const { entry } = samples.find((it) => it.publisherMs === 5_080)!
    const video = base64(run!.video!.config)
    return { video, audio: base64(run!.audio!.config), entry: entry! }
  }

  function resumed(input: ResumePoint['input'], laterMs = 0): string {
    const reader = new InputReader(limits, trackParsers, 0)
    const steps = headers.flatMap((it) => reader.push(it, 0))
    const step = reader.resume(input, laterMs, 0)
    const rest = after.map((it) => ({ ...it, timestampMs: it.timestampMs + laterMs }))
    return told([...steps, ...(step ? [step] : []), ...rest.flatMap((it) => reader.push(it, 0))])
  }

  test('goes on with the same times', () => {
    expect(read(...headers, ...before, ...after)).toBe('Rva V0 a-10 v40 a11 v40 V80 a79 v120 a100')
    expect(resumed(entryOf())).toBe('Rva V80 a79 v120 a100')
    expect(resumed(entryOf(), 2 ** 32)).toBe('Rva V80 a79 v120 a100')
  })

  test('has the sounds that come again behind the keyframe, but for those that it had not before', () => {
    const [early, own] = [sound(5_003), sound(5_085)]
    const inputs = [...headers, early, key(5_000), sound(5_024), own, key(5_080)]
    const reader = new InputReader(limits, trackParsers, 0)
    const steps = inputs.flatMap((it) => reader.push(it, 0))
    const entries = steps.flatMap((it) =>
      it.kind === 'sample' && it.sample.entry ? [it.sample] : [],
    )
    expect(entries.map(({ entry, soundsAgain }) => [entry!.otherSounds, soundsAgain])).toEqual([
      [1, 0],
      [0, 1],
    ])
    const [first, second] = entries.map(({ entry }) => ({ ...entryOf(), entry: entry! }))
    const again = (input: ResumePoint['input'], ...replay: MediaMessage[]) => {
      const next = new InputReader(limits, trackParsers, 0)
      for (const it of headers) next.push(it, 0)
      const run = next.resume(input, 0, 0)!
      return told([run, ...replay.flatMap((it) => next.push(it, 0))])
    }
    expect(again(first!, key(5_000), early, sound(5_024))).toBe('Rva V0 a24')
    const third = new InputReader(limits, trackParsers, 0)
    for (const it of headers) third.push(it, 0)
    third.resume(first!, 0, 0)
    const [entered] = third.push(key(5_000), 0)
    expect(entered).toMatchObject({ sample: { entry: { otherSounds: 1 } } })
    expect(again(second!, key(5_080), own, sound(5_080))).toBe('Rva V80 a85 a85')
  })

  test('does not go on with other headers', () => {
    expect(resumed({ ...entryOf(), video: 'AAAA' })).toBe('Rva V0 a-1 v40 a20')
    const { video, entry } = entryOf()
    expect(resumed({ video: video!, entry })).toBe('Rva V0 a-1 v40 a20')
  })
})
