import { expect, test } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import { silentLogger } from '../../../common/log.ts'
import { findProcessGuard } from '../../../common/process-guard.ts'
import type { MediaSample } from '../../../media/mp4/track.ts'
import type { EncoderPlan } from '../../../origin/transcoder/encoder-args.ts'
import { type EncoderExit, EncoderSession } from '../../../origin/transcoder/encoder-session.ts'
import { isRunning } from '../../support/processes.ts'
import { decodeErrors, sourceAudio, sourceVideo } from '../../support/source-media.ts'
import { until } from '../../support/until.ts'

const guard = await findProcessGuard()

const twoRungs = [
  { name: '72p', width: 128, height: 72, videoBitsPerSecond: 200_000 },
  { name: '48p', width: 86, height: 48, videoBitsPerSecond: 100_000 },
]

function start(plan: Partial<EncoderPlan> & Pick<EncoderPlan, 'video'>, stallMs = 10_000) {
  const inits = new Map<string, Buffer>()
  const outputs = new Map<string, MediaSample[]>()
  const exits: EncoderExit[] = []
  const session = EncoderSession.start({
    plan: {
      rungs: twoRungs,
      keyframes: { kind: 'source' },
      preset: 'ultrafast',
      audioBitsPerSecond: 96_000,
      ...plan,
    },
    command: 'ffmpeg',
    guard,
    clock: systemClock,
    log: silentLogger,
    stallMs,
    onInit(rendition, bytes) {
      inits.set(rendition, bytes)
      outputs.set(rendition, [])
    },
    onSample: (rendition, sample) => outputs.get(rendition)!.push(sample),
    onExit: (exit) => exits.push(exit),
  })
  return { session, inits, outputs, exits }
}

const times = (samples: MediaSample[]) => samples.map((it) => it.dts + it.cts).sort((a, b) => a - b)
const keyTimes = (samples: MediaSample[]) => times(samples.filter((it) => it.isKeyframe))
/** As they come in: how long a frame lasts is told by the next one. */
const undated = (samples: MediaSample[]) => samples.map((it) => ({ ...it, duration: 0 }))

function expectUnbroken(samples: MediaSample[]) {
  const ends = samples.slice(0, -1).map((it) => it.dts + it.duration)
  expect(samples.slice(1).map((it) => it.dts)).toEqual(ends)
}

for (const [kind, bFrames] of [
  ['', 0],
  [' with B-frames', 2],
] as const) {
  test(`a source${kind}: times and keyframes of all rungs are its own`, async () => {
    const source = await sourceVideo({ seconds: 3, gopFrames: 25, bFrames })
    const { session, inits, outputs, exits } = start({ video: source.track })
    for (const sample of undated(source.samples)) session.push('video', sample)
    session.finish()
    expect(await session.exited).toMatchObject({ kind: 'ended' })
    for (const { name } of twoRungs) {
      const made = outputs.get(name)!
      expect(made.map((it) => it.dts)).toEqual(times(source.samples))
      expect(keyTimes(made)).toEqual(keyTimes(source.samples))
      expect(new Set(made.map((it) => it.cts))).toEqual(new Set([0]))
      expectUnbroken(made)
      expect(made.at(-1)!.duration).toBe(3_000)
      expect(await decodeErrors(inits.get(name)!, made)).toBe('')
      expect(session.outputHeadTicks(name)).toBe(13 * 90_000)
    }
    expect(exits).toHaveLength(1)
    expect(isRunning(session.pid!)).toBe(false)
  })
}

test('each rung begins at its own time, with a keyframe', async () => {
  const source = await sourceVideo({ seconds: 2, gopFrames: 30 })
  const rungs = [
    { ...twoRungs[0]!, fromTicks: 10.5 * 90_000 },
    { ...twoRungs[1]!, fromTicks: 1_008_000 },
  ]
  const { session, inits, outputs } = start({ video: source.track, rungs })
  for (const sample of source.samples) session.push('video', sample)
  session.finish()
  await session.exited
  for (const { name, fromTicks } of rungs) {
    const made = outputs.get(name)!
    expect(made[0]).toMatchObject({ dts: fromTicks, isKeyframe: true })
    expect(made.map((it) => it.dts)).toEqual(times(source.samples).filter((it) => it >= fromTicks))
    expect(await decodeErrors(inits.get(name)!, made)).toBe('')
  }
})

test('the init section is the same in every run', async () => {
  const source = await sourceVideo({ seconds: 1 })
  const made: Map<string, Buffer>[] = []
  for (const from of [0, 13]) {
    const { session, inits } = start({ video: source.track })
    for (const sample of source.samples.slice(from === 0 ? 0 : 30 - from)) {
      session.push('video', { ...sample, dts: sample.dts + from * 90_000 })
    }
    for (const sample of source.samples) {
      session.push('video', { ...sample, dts: sample.dts + (from + 1) * 90_000 })
    }
    session.finish()
    await session.exited
    made.push(inits)
  }
  expect([...made[0]!.keys()].sort()).toEqual(['48p', '72p'])
  expect(made[1]).toEqual(made[0])
})

test('keyframes on a grid of our own do not drift, at a rate that does not fit it', async () => {
  const framesPerSecond = 24_000 / 1_001
  const source = await sourceVideo({ seconds: 20, framesPerSecond: 23.976, gopFrames: 333 })
  // Rounded to milliseconds, as RTMP does.
  const samples = source.samples.map((it, index) => {
    return { ...it, dts: Math.round(10_000 + (index * 1_000) / framesPerSecond) * 90, cts: 0 }
  })
  const firstTicks = samples[0]!.dts
  const { session, outputs } = start({
    video: source.track,
    keyframes: { kind: 'grid', firstTicks, everyTicks: 180_000 },
  })
  for (const sample of undated(samples)) session.push('video', sample)
  session.finish()
  await session.exited
  const wanted = Array.from({ length: 10 }, (_, cell) => {
    return samples.find((it) => it.dts >= firstTicks + cell * 180_000 - 750)!.dts
  })
  for (const { name } of twoRungs) expect(keyTimes(outputs.get(name)!)).toEqual(wanted)
})

test('a rung that begins inside a cell of the grid forces at the next one', async () => {
  const source = await sourceVideo({ seconds: 4, gopFrames: 120 })
  const { session, outputs } = start({
    video: source.track,
    rungs: [
      { ...twoRungs[0]!, fromTicks: 10.5 * 90_000 },
      { ...twoRungs[1]!, fromTicks: 11 * 90_000 },
    ],
    keyframes: { kind: 'grid', firstTicks: 10 * 90_000, everyTicks: 90_000 },
  })
  for (const sample of source.samples) session.push('video', sample)
  session.finish()
  await session.exited
  expect(keyTimes(outputs.get('72p')!).map((it) => it / 90_000)).toEqual([10.5, 11, 12, 13])
  expect(keyTimes(outputs.get('48p')!).map((it) => it / 90_000)).toEqual([11, 12, 13])
})

test('a measured frame rate counts more than what the source claims', async () => {
  // Claims 60 frames per second, and sends 20.
  const source = await sourceVideo({ seconds: 3, framesPerSecond: 60, gopFrames: 300 })
  const samples = source.samples.map((it, index) => ({ ...it, dts: 900_000 + index * 4_500 }))
  const sizes: number[] = []
  for (const framesPerSecond of [undefined, 20]) {
    const rungs = [{ ...twoRungs[0]!, videoBitsPerSecond: 50_000 }]
    const { session, outputs } = start({ video: source.track, rungs, framesPerSecond })
    for (const sample of undated(samples)) session.push('video', sample)
    session.finish()
    await session.exited
    sizes.push(outputs.get('72p')!.reduce((sum, it) => sum + it.data.length, 0))
  }
  expect(sizes[1]! / sizes[0]!).toBeGreaterThan(1.5)
})

test('sound beside pictures is encoded without a gap, at its time', async () => {
  const [source, sound] = await Promise.all([
    sourceVideo({ seconds: 2 }),
    sourceAudio({ seconds: 2, sampleRate: 44_100 }),
  ])
  const { session, inits, outputs } = start({ video: source.track, audio: sound.track })
  const all = [
    ...source.samples.map((sample) => ({
      kind: 'video' as const,
      sample,
      at: sample.dts / 90_000,
    })),
    ...sound.samples.map((sample) => ({ kind: 'audio' as const, sample, at: sample.dts / 44_100 })),
  ].sort((a, b) => a.at - b.at)
  for (const { kind, sample } of all) session.push(kind, sample)
  session.finish()
  expect(await session.exited).toMatchObject({ kind: 'ended' })
  const made = outputs.get('audio')!
  expectUnbroken(made)
  expect(made[0]!.dts).toBe(480_000)
  const end = (sound.samples.at(-1)!.dts + 1_024) / 44_100
  expect(Math.abs((made.at(-1)!.dts + made.at(-1)!.duration) / 48_000 - end)).toBeLessThan(0.022)
  expect(await decodeErrors(inits.get('audio')!, made)).toBe('')
  expect(outputs.get('72p')!.map((it) => it.dts)).toEqual(times(source.samples))
})

test('sound alone is encoded, from a given sample on', async () => {
  const sound = await sourceAudio({ seconds: 2, sampleRate: 32_000 })
  const audioFromTicks = 480_000 + 3 * 1_024 + 1
  const { session, outputs } = start({
    video: undefined,
    audio: sound.track,
    audioFromTicks,
    encodedAudioName: 'sound',
  })
  for (const sample of sound.samples) session.push('audio', sample)
  session.finish()
  await session.exited
  expect([...outputs.keys()]).toEqual(['sound'])
  expect(outputs.get('sound')![0]!.dts).toBe(audioFromTicks)
  expectUnbroken(outputs.get('sound')!)
})

test('lag tells how far the slowest rung is behind; frozen, it grows and nothing blocks', async () => {
  const source = await sourceVideo({ seconds: 6 })
  const { session, outputs } = start({ video: source.track })
  const half = source.samples.length / 2
  for (const sample of source.samples.slice(0, half)) session.push('video', sample)
  await until('all but the last frame is there', () => session.lagSeconds < 0.01)
  expect(session.inputHeadTicks).toBe(source.samples[half - 1]!.dts)
  expect(outputs.get('72p')).toHaveLength(half - 1)
  process.kill(session.pid!, 'SIGSTOP')
  for (const sample of source.samples.slice(half)) session.push('video', sample)
  expect(session.lagSeconds).toBeCloseTo(3, 1)
  session.kill()
  expect(await session.exited).toMatchObject({ kind: 'killed' })
})

test('killed from outside it is a crash; frozen for too long it is a stall', async () => {
  const source = await sourceVideo({ seconds: 1 })
  const crashing = start({ video: source.track })
  const stalling = start({ video: source.track }, 600)
  process.kill(stalling.session.pid!, 'SIGSTOP')
  for (const { session } of [crashing, stalling]) {
    for (const sample of source.samples) session.push('video', sample)
  }
  process.kill(crashing.session.pid!, 'SIGKILL')
  expect(await crashing.session.exited).toMatchObject({ kind: 'crashed' })
  expect(await stalling.session.exited).toMatchObject({ kind: 'stalled' })
  crashing.session.push('video', source.samples[0]!)
})

test('a command that does not exist is a crash', async () => {
  const source = await sourceVideo({ seconds: 1 })
  const session = EncoderSession.start({
    plan: {
      video: source.track,
      rungs: twoRungs,
      keyframes: { kind: 'source' },
      preset: 'ultrafast',
      audioBitsPerSecond: 0,
    },
    command: '/nowhere/ffmpeg',
    guard,
    clock: systemClock,
    log: silentLogger,
    stallMs: 1_000,
    onInit: () => {},
    onSample: () => {},
  })
  for (const sample of source.samples) session.push('video', sample)
  expect(await session.exited).toMatchObject({ kind: 'crashed' })
})
