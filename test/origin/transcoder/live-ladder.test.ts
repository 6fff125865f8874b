import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import { createLogger, silentLogger } from '../../../common/log.ts'
import { findProcessGuard } from '../../../common/process-guard.ts'
import type { MediaSample } from '../../../media/mp4/track.ts'
import type { PlannedVideo } from '../../../origin/transcoder/ladder.ts'
import { LiveLadder, type LiveLadderOptions } from '../../../origin/transcoder/live-ladder.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { isRunning } from '../../support/processes.ts'
import {
  decodeErrors,
  type SourceAudio,
  type SourceVideo,
  sourceAudio,
  sourceVideo,
} from '../../support/source-media.ts'
import { until } from '../../support/until.ts'

const guard = await findProcessGuard()
const second = 90_000

const rung = (height: number, width: number): PlannedVideo => ({
  name: `${height}p`,
  width,
  height,
  isCopied: false,
  isSource: false,
  videoBitsPerSecond: 200_000,
})
const tall = rung(72, 128)
const low = rung(48, 86)

interface Told {
  init: Buffer
  samples: MediaSample[]
}

class Rig {
  readonly ladder: LiveLadder
  /** Of each rendition, one entry per init section. */
  readonly told = new Map<string, Told[]>()
  readonly events: string[] = []
  readonly restarts: string[] = []
  readonly pids = new Set<number>()

  constructor(options: Partial<LiveLadderOptions> & Pick<LiveLadderOptions, 'video'>) {
    this.ladder = new LiveLadder({
      planned: [tall, low],
      keyframes: { kind: 'source' },
      preset: 'ultrafast',
      audioBitsPerSecond: 64_000,
      command: 'ffmpeg',
      guard,
      clock: systemClock,
      log: silentLogger,
      stallMs: 1e9,
      onInit: (name, init) => {
        this.told.set(name, [...(this.told.get(name) ?? []), { init, samples: [] }])
      },
      onSample: (name, sample) => this.told.get(name)!.at(-1)!.samples.push(sample),
      onRestart: (reason) => this.restarts.push(reason),
      onDropped: (name) => this.events.push(`dropped ${name}`),
      onWanted: (name) => this.events.push(`wanted ${name}`),
      onFailed: (kind) => this.events.push(`failed ${kind}`),
      onInitChanged: (name) => this.events.push(`changed ${name}`),
      ...options,
    })
    onTestFinished(async () => {
      this.ladder.kill()
      await this.ladder.done
      expect([...this.pids].filter(isRunning)).toEqual([])
    })
  }

  push(samples: readonly MediaSample[], kind: 'video' | 'audio' = 'video'): void {
    // As they come in: how long a frame lasts is told by the next one.
    for (const sample of samples) this.ladder.push(kind, { ...sample, duration: 0 })
    this.#notePid()
  }

  /** What is said of one rendition, from its newest init section on. */
  newest(name: string): Told {
    return this.told.get(name)!.at(-1)!
  }

  all(name: string): MediaSample[] {
    return (this.told.get(name) ?? []).flatMap((it) => it.samples)
  }

  endOf(name: string): number {
    const last = this.all(name).at(-1)
    return last ? last.dts + last.duration : 0
  }

  /** All but the last frame, which waits for the next one, has come out. */
  async caughtUp(ticks: number, names = ['72p', '48p']): Promise<void> {
    await until(`output up to ${ticks}`, () => names.every((name) => this.endOf(name) >= ticks))
  }

  async signal(signal: 'SIGKILL' | 'SIGSTOP'): Promise<void> {
    const { pid } = this.ladder
    process.kill(pid!, signal)
    if (signal === 'SIGKILL') await until('another ffmpeg', () => this.ladder.pid !== pid)
    this.#notePid()
  }

  async finish(): Promise<void> {
    this.ladder.finish()
    await this.ladder.done
  }

  #notePid(): void {
    if (this.ladder.pid !== undefined) this.pids.add(this.ladder.pid)
  }
}

const times = (samples: readonly MediaSample[]) => {
  return samples.map((it) => it.dts + it.cts).sort((a, b) => a - b)
}
const keyTimes = (samples: readonly MediaSample[]) => times(samples.filter((it) => it.isKeyframe))
const endOf = (samples: readonly MediaSample[]) => Math.max(...times(samples))

function expectUnbroken(samples: readonly MediaSample[]) {
  const ends = samples.slice(0, -1).map((it) => it.dts + it.duration)
  expect(samples.slice(1).map((it) => it.dts)).toEqual(ends)
}

async function expectWhole(rig: Rig, name: string, source: SourceVideo) {
  const made = rig.all(name)
  expect(made.map((it) => it.dts)).toEqual(times(source.samples))
  expectUnbroken(made)
  for (const { init, samples } of rig.told.get(name)!) {
    expect(samples[0]!.isKeyframe).toBe(true)
    expect(await decodeErrors(init, samples)).toBe('')
  }
}

function interleave(video: SourceVideo, audio: SourceAudio) {
  return [
    ...video.samples.map((sample) => ({ kind: 'video' as const, sample, at: sample.dts / second })),
    ...audio.samples.map((sample) => {
      return { kind: 'audio' as const, sample, at: sample.dts / audio.track.timescale }
    }),
  ].sort((a, b) => a.at - b.at)
}

for (const [kind, bFrames] of [
  ['', 0],
  [' with B-frames', 2],
] as const) {
  test(`killed in the middle of a GOP${kind}: nothing is lost, nothing comes twice`, async () => {
    const source = await sourceVideo({ seconds: 5, gopFrames: 60, bFrames })
    const rig = new Rig({ video: source.track })
    for (const cut of [40, 95]) {
      const before = source.samples.slice(cut === 40 ? 0 : 40, cut)
      rig.push(before)
      await rig.caughtUp(before[0]!.dts)
      await rig.signal('SIGKILL')
    }
    rig.push(source.samples.slice(95))
    await rig.finish()
    for (const name of ['72p', '48p']) {
      await expectWhole(rig, name, source)
      expect(rig.told.get(name)).toHaveLength(1)
      // Those of the source, and at most one where each new ffmpeg took over.
      const keys = keyTimes(rig.all(name))
      expect(keys).toEqual(expect.arrayContaining(keyTimes(source.samples)))
      expect(keys.length - keyTimes(source.samples).length).toBeLessThanOrEqual(2)
    }
    expect(rig.events).toEqual([])
    expect(rig.restarts).toEqual(['crashed', 'crashed'])
    expect(rig.pids.size).toBe(3)
  })
}

for (const kind of ['source', 'grid'] as const) {
  test(`goes on where another stood, each rung at its own picture: keyframes of the ${kind}`, async () => {
    const source = await sourceVideo({ seconds: 5, gopFrames: 60 })
    const { samples } = source
    const firstTicks = samples[0]!.dts
    const keyframes: LiveLadderOptions['keyframes'] =
      kind === 'source' ? { kind } : { kind, firstTicks, everyTicks: 2 * second }
    const before = new Rig({ video: source.track, keyframes })
    before.push(samples.slice(0, 110))
    await before.caughtUp(samples[100]!.dts)
    before.ladder.kill()
    await before.ladder.done
    const ends = new Map([
      ['72p', samples[97]!.dts],
      ['48p', samples[72]!.dts],
    ])
    const after = new Rig({ video: source.track, keyframes, fromTicks: ends })
    after.push(samples.slice(60))
    await after.finish()
    for (const [name, ticks] of ends) {
      const made = after.all(name)
      const kept = before.all(name).filter((it) => it.dts < ticks)
      expect(made[0]).toMatchObject({ dts: ticks, isKeyframe: true })
      expect([...kept, ...made].map((it) => it.dts)).toEqual(times(samples))
      expectUnbroken([...kept, ...made])
      expect(after.newest(name).init).toEqual(before.newest(name).init)
      expect(await decodeErrors(after.newest(name).init, made)).toBe('')
      // One keyframe more, where it goes on.
      const keys = keyTimes([...kept, ...made]).filter((it) => it !== ticks)
      expect(keys).toEqual(keyTimes(samples))
    }
    expect(after.events).toEqual([])
  })
}

test('killed before anything came out, or while its end is awaited: still all is there', async () => {
  const source = await sourceVideo({ seconds: 2, gopFrames: 30 })
  const rig = new Rig({ video: source.track })
  rig.push(source.samples.slice(0, 20))
  await rig.signal('SIGKILL')
  rig.push(source.samples.slice(20))
  process.kill(rig.ladder.pid!, 'SIGSTOP')
  rig.ladder.finish()
  process.kill(rig.ladder.pid!, 'SIGKILL')
  await rig.ladder.done
  for (const name of ['72p', '48p']) await expectWhole(rig, name, source)
})

test('an ffmpeg that has read much is replaced, and nothing shows', async () => {
  const source = await sourceVideo({ seconds: 4, gopFrames: 30 })
  const rig = new Rig({ video: source.track, renewAfterSamples: 50 })
  rig.push(source.samples.slice(0, 60))
  await rig.caughtUp(source.samples[59]!.dts)
  rig.push(source.samples.slice(60))
  await rig.finish()
  expect(rig.pids.size).toBe(2)
  expect([rig.restarts, rig.events]).toEqual([[], []])
  for (const name of ['72p', '48p']) await expectWhole(rig, name, source)
})

test('three crashes within a minute fail it, two do not', async () => {
  const source = await sourceVideo({ seconds: 2 })
  const clock = new FakeClock()
  const rig = new Rig({ video: source.track, clock })
  rig.push(source.samples.slice(0, 30))
  for (let crash = 1; crash <= 2; crash++) await rig.signal('SIGKILL')
  await clock.advance(61_000)
  for (let crash = 1; crash <= 2; crash++) await rig.signal('SIGKILL')
  expect(rig.events).toEqual([])
  process.kill(rig.ladder.pid!, 'SIGKILL')
  await rig.ladder.done
  expect(rig.events).toEqual(['failed crashed'])
})

test('an ffmpeg that cannot be started fails it', async () => {
  const source = await sourceVideo({ seconds: 1 })
  const rig = new Rig({ video: source.track, command: '/nowhere/ffmpeg' })
  rig.push(source.samples)
  await rig.ladder.done
  expect(rig.events).toEqual(['failed crashed'])
})

test('frozen: the tallest rung is given up, the other goes on without a gap; calm brings it back', async () => {
  const source = await sourceVideo({ seconds: 8, gopFrames: 30 })
  const clock = new FakeClock()
  const rig = new Rig({ video: source.track, clock })
  rig.push(source.samples.slice(0, 45))
  await rig.caughtUp(source.samples[44]!.dts)
  const tallEnd = rig.endOf('72p')
  await clock.advance(5_000)
  await rig.signal('SIGSTOP')
  rig.push(source.samples.slice(45, 100))
  await clock.advance(1_900)
  expect(rig.events).toEqual([])
  await clock.advance(600)
  expect(rig.events).toEqual(['dropped 72p'])
  await rig.caughtUp(source.samples[99]!.dts, ['48p'])
  expect(rig.endOf('72p')).toBe(tallEnd)
  expect(rig.ladder.rungs).toEqual([low])
  expect(rig.restarts).toEqual(['pressure'])

  await clock.advance(59_000)
  expect(rig.events).toEqual(['dropped 72p'])
  await clock.advance(2_000)
  expect(rig.events).toEqual(['dropped 72p', 'wanted 72p'])
  rig.ladder.switchAt(15 * second, [low, tall])
  rig.push(source.samples.slice(100))
  await rig.finish()
  // A new set of rungs begins with its own init sections, at the keyframe that was asked for.
  expect(rig.told.get('48p')).toHaveLength(2)
  await expectWhole(rig, '48p', source)
  expect(rig.newest('72p').samples[0]).toMatchObject({ dts: 15 * second, isKeyframe: true })
  expect(rig.newest('72p').samples.map((it) => it.dts)).toEqual(
    times(source.samples).filter((it) => it >= 15 * second),
  )
  expect(await decodeErrors(rig.newest('72p').init, rig.newest('72p').samples)).toBe('')
})

test('the back-off doubles with each rung that is given up', async () => {
  const source = await sourceVideo({ seconds: 4 })
  const clock = new FakeClock()
  const middle = rung(60, 106)
  const rig = new Rig({ video: source.track, clock, planned: [low, tall, middle] })
  for (const [index, name] of ['72p', '60p'].entries()) {
    rig.push(source.samples.slice(index * 60, index * 60 + 1))
    await clock.advance(5_000)
    await rig.signal('SIGSTOP')
    rig.push(source.samples.slice(index * 60 + 1, index * 60 + 60))
    await clock.advance(2_500)
    expect(rig.events).toEqual(['dropped 72p', 'dropped 60p'].slice(0, index + 1))
    expect(rig.ladder.rungs.map((it) => it.name)).not.toContain(name)
    await rig.caughtUp(source.samples[index * 60 + 59]!.dts, ['48p'])
  }
  await clock.advance(119_000)
  expect(rig.events).toHaveLength(2)
  await clock.advance(2_000)
  expect(rig.events.at(-1)).toBe('wanted 60p')
})

test('the last rung is never given up: it leaves out GOPs, and goes on after them', async () => {
  const source = await sourceVideo({ seconds: 20, gopFrames: 30 })
  const clock = new FakeClock()
  const rig = new Rig({ video: source.track, clock, planned: [low] })
  rig.push(source.samples.slice(0, 30))
  await rig.caughtUp(source.samples[29]!.dts, ['48p'])
  await clock.advance(6_000)
  const { pid } = rig.ladder
  await rig.signal('SIGSTOP')
  rig.push(source.samples.slice(30, 400))
  await clock.advance(10_000)
  expect(rig.events).toEqual([])
  expect(rig.ladder.skippedGops).toBe(2)
  process.kill(pid!, 'SIGCONT')
  await until('it has caught up', () => rig.ladder.lagSeconds < 1)
  rig.push(source.samples.slice(400))
  await rig.finish()
  const made = rig.all('48p')
  const wanted = times(source.samples).filter((it) => it < 22 * second || it >= 24 * second)
  expect(made.map((it) => it.dts)).toEqual(wanted)
  expect(new Set(made.map((it) => it.duration))).toEqual(new Set([3_000]))
  expect(made.find((it) => it.dts === 24 * second)?.isKeyframe).toBe(true)
})

test('the last rung frozen for too long: another ffmpeg goes on without a gap', async () => {
  const source = await sourceVideo({ seconds: 15, gopFrames: 120 })
  const clock = new FakeClock()
  const rig = new Rig({ video: source.track, clock, planned: [low], stallMs: 10_000 })
  rig.push(source.samples.slice(0, 110))
  await rig.caughtUp(endOf(source.samples.slice(0, 110)), ['48p'])
  const { pid } = rig.ladder
  await rig.signal('SIGSTOP')
  for (let frame = 110; frame < 410; frame += 15) {
    rig.push(source.samples.slice(frame, frame + 15))
    await clock.advance(500)
  }
  await clock.advance(1_000)
  await until('another ffmpeg', () => rig.ladder.pid !== pid)
  rig.push(source.samples.slice(410))
  await rig.finish()
  expect([rig.restarts, rig.events]).toEqual([['stalled'], []])
  await expectWhole(rig, '48p', source)
})

test('what cannot be kept for a resume is left out, and rungs go on behind it', async () => {
  const source = await sourceVideo({ seconds: 6, gopFrames: 30 })
  const rig = new Rig({ video: source.track, historyLimits: { bytes: 1e9, seconds: 2 } })
  rig.push(source.samples.slice(0, 10))
  await rig.caughtUp(source.samples[8]!.dts)
  const { pid } = rig.ladder
  process.kill(pid!, 'SIGSTOP')
  rig.push(source.samples.slice(10, 175))
  process.kill(pid!, 'SIGKILL')
  await until('another ffmpeg', () => rig.ladder.pid !== pid)
  rig.push(source.samples.slice(175))
  await rig.finish()
  expect([rig.restarts, rig.events]).toEqual([['crashed'], []])
  for (const name of ['72p', '48p']) {
    const made = rig.all(name)
    const hole = made.findIndex((it, at) => at > 0 && it.dts - made[at - 1]!.dts > 3_000)
    expect(hole).toBeLessThanOrEqual(10)
    expectUnbroken(made.slice(0, hole))
    expect(made[hole]).toMatchObject({ dts: 14 * second, isKeyframe: true })
    expect(made.slice(hole).map((it) => it.dts)).toEqual(
      times(source.samples).filter((it) => it >= 14 * second),
    )
  }
})

test('a rung is given up where what the others would resume from is lost', async () => {
  const source = await sourceVideo({ seconds: 12, gopFrames: 30 })
  const clock = new FakeClock()
  const historyLimits = { bytes: 1e9, seconds: 2 }
  const rig = new Rig({ video: source.track, clock, historyLimits })
  rig.push(source.samples.slice(0, 10))
  await rig.caughtUp(source.samples[8]!.dts)
  await clock.advance(5_000)
  await rig.signal('SIGSTOP')
  rig.push(source.samples.slice(10, 300))
  await clock.advance(2_500)
  rig.push(source.samples.slice(300))
  await rig.finish()
  expect(rig.events).toEqual(['dropped 72p'])
  expect(rig.endOf('48p')).toBe(endOf(source.samples) + 3_000)
})

test('a GOP that has come out is not held until the next keyframe', async () => {
  const source = await sourceVideo({ seconds: 8, gopFrames: 120 })
  const lines: string[] = []
  const log = createLogger({ name: 'test', destination: { write: (line) => lines.push(line) } })
  // More than a GOP, less than two.
  const rig = new Rig({ video: source.track, log, historyLimits: { bytes: 1e9, seconds: 6 } })
  for (let from = 0; from < source.samples.length; from += 30) {
    rig.push(source.samples.slice(from, from + 30))
    await rig.caughtUp(source.samples[from + 20]!.dts)
  }
  await rig.finish()
  expect(lines).toEqual([])
  await expectWhole(rig, '72p', source)
})

test('another set of rungs goes on at a keyframe of the source, in order and without a gap', async () => {
  const source = await sourceVideo({ seconds: 4, gopFrames: 30 })
  const rig = new Rig({ video: source.track })
  rig.push(source.samples.slice(0, 50))
  rig.ladder.switchAt(12 * second, [low])
  rig.push(source.samples.slice(50, 90))
  // At a keyframe that is in already, but of which nothing came out.
  rig.ladder.switchAt(13 * second, [tall, low])
  rig.push(source.samples.slice(90))
  await rig.finish()
  await expectWhole(rig, '48p', source)
  expect(rig.told.get('48p')!.map((it) => it.samples[0]!.dts / second)).toEqual([10, 12, 13])
  expect(rig.told.get('72p')!.map((it) => it.samples[0]!.dts / second)).toEqual([10, 13])
  expect(rig.told.get('72p')![0]!.samples.at(-1)).toMatchObject({ duration: 3_000 })
  expect(rig.told.get('72p')![0]!.samples).toHaveLength(60)
})

test('a set that is leaving may crash: the next one waits for the rest of it', async () => {
  const source = await sourceVideo({ seconds: 4, gopFrames: 30 })
  const rig = new Rig({ video: source.track })
  rig.push(source.samples.slice(0, 50))
  const leaving = rig.ladder.pid!
  process.kill(leaving, 'SIGSTOP')
  rig.ladder.switchAt(12 * second, [low])
  rig.push(source.samples.slice(50))
  await until('the next set is fed', () => rig.ladder.pid !== leaving)
  process.kill(leaving, 'SIGKILL')
  await rig.finish()
  await expectWhole(rig, '48p', source)
  expect(rig.told.get('48p')!.map((it) => it.samples[0]!.dts / second)).toEqual([10, 12])
  expect(rig.all('72p')).toHaveLength(60)
})

test('on a grid of our own: a set begins and ends between the keyframes of the source', async () => {
  const source = await sourceVideo({ seconds: 6, gopFrames: 250, bFrames: 2 })
  const rig = new Rig({
    video: source.track,
    keyframes: { kind: 'grid', firstTicks: 10.5 * second, everyTicks: second },
    fromTicks: 10.5 * second,
  })
  rig.push(source.samples.slice(0, 50))
  rig.ladder.switchAt(12.5 * second, [low])
  rig.push(source.samples.slice(50, 110))
  await rig.caughtUp(13 * second, ['48p'])
  await rig.signal('SIGKILL')
  rig.push(source.samples.slice(110))
  await rig.finish()
  const wanted = times(source.samples).filter((it) => it >= 10.5 * second)
  const made = rig.all('48p')
  expect(made.map((it) => it.dts)).toEqual(wanted)
  expectUnbroken(made)
  const [, resumed] = rig.told.get('48p')!
  expect(resumed!.samples[0]!.dts).toBe(12.5 * second)
  const grid = [10.5, 11.5, 12.5, 13.5, 14.5, 15.5].map((it) => it * second)
  const keys = keyTimes(made)
  expect(keys).toEqual(expect.arrayContaining(grid))
  expect(keys.length).toBeLessThanOrEqual(grid.length + 1)
  for (const { init, samples } of rig.told.get('48p')!) {
    expect(await decodeErrors(init, samples)).toBe('')
  }
})

test('what is shown after the end that was asked for is not told', async () => {
  const source = await sourceVideo({ seconds: 3, gopFrames: 90, bFrames: 2 })
  const rig = new Rig({ video: source.track })
  rig.push(source.samples)
  rig.ladder.finish(11.5 * second)
  await rig.ladder.done
  for (const name of ['72p', '48p']) {
    const made = rig.all(name)
    expect(made.map((it) => it.dts)).toEqual(
      times(source.samples).filter((it) => it < 11.5 * second),
    )
    expect(rig.endOf(name)).toBe(11.5 * second)
  }
})

test('encoded sound goes on over a crash and a switch, frame by frame', async () => {
  const [video, audio] = await Promise.all([
    sourceVideo({ seconds: 5, gopFrames: 30 }),
    sourceAudio({ seconds: 5 }),
  ])
  const rig = new Rig({ video: video.track, audio: audio.track })
  const all = interleave(video, audio)
  for (const [index, { kind, sample }] of all.entries()) {
    rig.push([sample], kind)
    if (index === 100) rig.ladder.switchAt(13 * second, [low])
    if (index === 130) {
      await rig.caughtUp(11 * second)
      await rig.signal('SIGKILL')
    }
  }
  await rig.finish()
  await expectWhole(rig, '48p', video)
  const made = rig.all('audio')
  expectUnbroken(made)
  expect(made[0]!.dts).toBe(480_000)
  expect(new Set(made.slice(0, -1).map((it) => it.duration))).toEqual(new Set([1_024]))
  expect(Math.abs(rig.endOf('audio') / 48_000 - 15)).toBeLessThan(0.05)
  expect(rig.told.get('audio')).toHaveLength(2)
  expect(await decodeErrors(rig.newest('audio').init, made)).toBe('')
})

test('sound alone goes on over a crash', async () => {
  const audio = await sourceAudio({ seconds: 4, sampleRate: 48_000 })
  const rig = new Rig({ video: undefined, planned: [], audio: audio.track })
  rig.push(audio.samples.slice(0, 80), 'audio')
  await until('sound', () => rig.all('audio').length > 40)
  await rig.signal('SIGKILL')
  rig.push(audio.samples.slice(80), 'audio')
  await rig.finish()
  expectUnbroken(rig.all('audio'))
  expect(Math.abs(rig.endOf('audio') / 48_000 - 14)).toBeLessThan(0.05)
})

test('sound alone goes on where another stood', async () => {
  const audio = await sourceAudio({ seconds: 4, sampleRate: 48_000 })
  const before = new Rig({ video: undefined, planned: [], audio: audio.track })
  before.push(audio.samples.slice(0, 80), 'audio')
  await until('sound', () => before.all('audio').length > 40)
  before.ladder.kill()
  const kept = before.all('audio').slice(0, 31)
  const ticks = kept.at(-1)!.dts + kept.at(-1)!.duration
  const after = new Rig({
    ...{ video: undefined, planned: [], audio: audio.track },
    fromTicks: new Map([['audio', ticks]]),
  })
  after.push(audio.samples.slice(15), 'audio')
  await after.finish()
  expectUnbroken([...kept, ...after.all('audio')])
  expect(Math.abs(after.endOf('audio') / 48_000 - 14)).toBeLessThan(0.05)
})

test('another init section after a crash is told before what follows it', async () => {
  const source = await sourceVideo({ seconds: 2 })
  const planned = [{ ...low }]
  const rig = new Rig({ video: source.track, planned })
  rig.push(source.samples.slice(0, 30))
  await rig.caughtUp(endOf(source.samples.slice(0, 30)), ['48p'])
  // As another ffmpeg on the machine would.
  planned[0]!.width = 64
  Object.assign(rig.ladder.rungs[0]!, { width: 64 })
  await rig.signal('SIGKILL')
  rig.push(source.samples.slice(30))
  await rig.finish()
  expect(rig.events).toEqual(['changed 48p'])
  await expectWhole(rig, '48p', source)
  expect(rig.told.get('48p')).toHaveLength(2)
})

test('killed on purpose, it says nothing more and leaves nothing behind', async () => {
  const source = await sourceVideo({ seconds: 1 })
  const rig = new Rig({ video: source.track })
  rig.push(source.samples)
  rig.ladder.kill()
  const before = rig.all('48p').length
  await rig.ladder.done
  expect(rig.all('48p')).toHaveLength(before)
  rig.push(source.samples)
  rig.ladder.switchAt(0, [low])
  expect(rig.ladder.pid).toBeUndefined()
})
