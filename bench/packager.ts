// Scenario `packager`: what packaging costs, without viewers and with one per playlist; how soon a finished part is
// in the playlist's text; what it adds to the ffmpeg that encodes; how many streams a core carries.
//
// Samples are real: ffmpeg's, read by our own readers. They go through as fast as they can; CPU time per second of
// media is the share of a core that a stream takes.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../common/clock.ts'
import { liveMpd } from '../common/live/dash-live.ts'
import { liveMediaPlaylist } from '../common/live/hls-live.ts'
import { silentLogger } from '../common/log.ts'
import { findProcessGuard } from '../common/process-guard.ts'
import { FragmentReader } from '../media/mp4/fragment-reader.ts'
import { writeFragment } from '../media/mp4/fragment-writer.ts'
import type { InitTrack } from '../media/mp4/init-section.ts'
import { writeInitSection } from '../media/mp4/init-writer.ts'
import type { MediaSample, TrackConfig } from '../media/mp4/track.ts'
import { type EncoderPlan, encodedNames, encoderArgs } from '../origin/transcoder/encoder-args.ts'
import { EncoderSession } from '../origin/transcoder/encoder-session.ts'
import { type PackagerRig, packagerRig } from '../test/support/packager-rig.ts'
import { sourceAudio, sourceVideo } from '../test/support/source-media.ts'
import { until } from '../test/support/until.ts'
import type { Scenario, ScenarioResult } from './support/scenario.ts'
import { median, quantile, rounded, table } from './support/statistics.ts'

const sourceSeconds = 20
/** The source is repeated so often where only packaging is measured, and where it is encoded. */
const repeats = 15
const encodedRepeats = 3
const encodedSeconds = sourceSeconds * encodedRepeats
const longestLagSeconds = 2
const aims = { packagingShare: 0.05, overheadShare: 0.03 }
const source = { seconds: sourceSeconds, size: '1280x720', framesPerSecond: 30, gopFrames: 60 }
const small = { ...source, size: '854x480' }

const ladders: { name: string; rungs: EncoderPlan['rungs'] }[] = [
  {
    name: '480p',
    rungs: [{ name: '480p', width: 854, height: 480, videoBitsPerSecond: 1_200_000 }],
  },
  {
    name: '480p and 360p',
    rungs: [
      { name: '480p', width: 854, height: 480, videoBitsPerSecond: 1_200_000 },
      { name: '360p', width: 640, height: 360, videoBitsPerSecond: 700_000 },
    ],
  },
]

interface Track {
  name: string
  config: TrackConfig
  samples: MediaSample[]
}

interface Round {
  /** CPU seconds per second of media. */
  alone: number
  withTexts: number
  listedMs: number[]
  ladders: { name: string; ffmpegAlone: number; ours: number; ffmpegInOurs: number }[]
}

export const packager: Scenario = {
  name: 'packager',
  missing: () =>
    process.platform === 'linux' ? undefined : 'The packager scenario needs Linux: it reads /proc.',
  async run({ rounds: count, progress }) {
    progress('packager: making media')
    const [video, rung, audio] = await Promise.all([
      sourceVideo(source),
      sourceVideo(small),
      sourceAudio({ seconds: sourceSeconds, sampleRate: 48_000 }),
    ])
    const tracks: Track[] = [
      { name: '720p', config: video.track, samples: video.samples },
      { name: '480p', config: rung.track, samples: rung.samples },
      { name: 'audio', config: audio.track, samples: audio.samples },
    ]
    const rounds: Round[] = []
    for (let i = 0; i < count; i++) {
      progress(`packager: round ${i + 1}/${count}`)
      const alone = packagingOf(tracks, false)
      const withTexts = packagingOf(tracks, true)
      const round: Round = {
        alone: alone.cpuShare,
        withTexts: withTexts.cpuShare,
        listedMs: withTexts.listedMs,
        ladders: [],
      }
      for (const { name, rungs } of ladders) {
        const plan = planOf(video.track, rungs)
        const ffmpegAlone = await encodedAlone(plan, tracks)
        const ours = await encodedAndPackaged(plan, tracks)
        round.ladders.push({ name, ffmpegAlone, ...ours })
      }
      rounds.push(round)
    }
    return report(rounds)
  },
}

function planOf(video: EncoderPlan['video'], rungs: EncoderPlan['rungs']): EncoderPlan {
  return {
    video,
    rungs,
    keyframes: { kind: 'source' },
    preset: 'superfast',
    audioBitsPerSecond: 128_000,
  }
}

/** A take with these renditions, the source first: it leads. */
function startTake(rig: PackagerRig, names: readonly string[]): void {
  rig.packager.startTake(
    {
      name: 'bench-1',
      number: 1,
      epoch: 1,
      renditions: names.map((name, index) => ({
        name,
        kind: name === 'audio' ? 'audio' : 'video',
        isSource: index === 0,
        nominalBitsPerSecond: 1_000_000,
      })),
      leader: names[0]!,
      cutting: 'source-keyframes',
      framesPerSecond: source.framesPerSecond,
    },
    10,
  )
}

function setInit(rig: PackagerRig, name: string, config: TrackConfig): void {
  const init = writeInitSection([config])
  const [event] = events(init)
  if (event?.kind === 'init') rig.packager.setInit('bench-1', name, event.bytes, event.track)
}

function events(bytes: Buffer) {
  const read = new FragmentReader().push(bytes)
  if ('fault' in read) throw new Error(read.fault)
  return read.value
}

/** All samples in the order in which they would arrive, the whole repeated. */
function* arriving(
  tracks: readonly Track[],
  times: number,
): Generator<{ track: Track; sample: MediaSample }> {
  const at = (track: Track, sample: MediaSample) => sample.dts / track.config.timescale
  const once = tracks
    .flatMap((track) => track.samples.map((sample) => ({ track, sample })))
    .sort((a, b) => at(a.track, a.sample) - at(b.track, b.sample))
  for (let i = 0; i < times; i++) {
    for (const { track, sample } of once) {
      const later = i * sourceSeconds * track.config.timescale
      yield { track, sample: { ...sample, dts: sample.dts + later } }
    }
  }
}

function packagingOf(
  tracks: readonly Track[],
  hasViewers: boolean,
): { cpuShare: number; listedMs: number[] } {
  const arrivals = [...arriving(tracks, repeats)]
  const rig = packagerRig({ isForgetful: true })
  const listedMs: number[] = []
  let calledAt = 0
  startTake(
    rig,
    tracks.map(({ name }) => name),
  )
  for (const { name, config } of tracks) setInit(rig, name, config)
  if (hasViewers) {
    rig.packager.onChange(() => {
      for (const { name } of tracks) liveMediaPlaylist(rig.packager, name)
      listedMs.push(performance.now() - calledAt)
      for (const addressing of ['number', 'timeline'] as const) {
        liveMpd(rig.packager, { addressing, nowMs: 0 })
      }
    })
  }
  const before = process.cpuUsage()
  for (const { track, sample } of arrivals) {
    calledAt = performance.now()
    rig.packager.push('bench-1', track.name, sample)
  }
  const { user, system } = process.cpuUsage(before)
  if (rig.faults.length > 0) throw new Error(rig.faults.join('\n'))
  const made = rig.packager.nextNumber
  if (made < (repeats * sourceSeconds) / 2 - 4) throw new Error(`only ${made} segments were made`)
  return { cpuShare: (user + system) / 1e6 / (repeats * sourceSeconds), listedMs }
}

/** The same ffmpeg with the same arguments, from a file into nothing. */
async function encodedAlone(plan: EncoderPlan, tracks: readonly Track[]): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'nearcast-bench-packager-'))
  const file = join(folder, 'source.mp4')
  // As EncoderSession writes it: with room for reordered pictures in front of their decode time.
  const lead = 90_000
  const pictures = [...arriving(tracks.slice(0, 1), encodedRepeats)]
  const fragments = pictures.map(({ sample }, index) => {
    const early = { ...sample, dts: sample.dts - lead, cts: sample.cts + lead }
    return writeFragment({ sequenceNumber: index + 1, trackId: 1, samples: [early] }).bytes
  })
  writeFileSync(file, Buffer.concat([writeInitSection([plan.video!]), ...fragments]))
  const input = openSync(file, 'r')
  const nowhere = openSync('/dev/null', 'w')
  try {
    const before = childrenCpuSeconds()
    const child = spawn('ffmpeg', encoderArgs(plan), {
      stdio: [input, 'ignore', 'inherit', ...encodedNames(plan).map(() => nowhere)],
    })
    const [code] = await once(child, 'exit')
    if (code !== 0) throw new Error(`ffmpeg ended with ${code}`)
    return (childrenCpuSeconds() - before) / encodedSeconds
  } finally {
    closeSync(input)
    closeSync(nowhere)
    rmSync(folder, { recursive: true })
  }
}

async function encodedAndPackaged(
  plan: EncoderPlan,
  tracks: readonly Track[],
): Promise<{ ours: number; ffmpegInOurs: number }> {
  const guard = await findProcessGuard()
  const rig = packagerRig({ isForgetful: true })
  const copied = tracks.filter(({ name }) => name !== '480p')
  const names = ['720p', ...plan.rungs.map(({ name }) => name), 'audio']
  const arrivals = [...arriving(copied, encodedRepeats)]
  const own = process.cpuUsage()
  const before = childrenCpuSeconds()
  startTake(rig, names)
  for (const { name, config } of copied) setInit(rig, name, config)
  const session = EncoderSession.start({
    plan,
    command: 'ffmpeg',
    guard,
    clock: systemClock,
    log: silentLogger,
    stallMs: 30_000,
    onInit: (name, bytes, track: InitTrack) => rig.packager.setInit('bench-1', name, bytes, track),
    onSample: (name, sample) => rig.packager.push('bench-1', name, sample),
  })
  for (const [index, { track, sample }] of arrivals.entries()) {
    if (track.name === '720p') session.push('video', sample)
    rig.packager.push('bench-1', track.name, sample)
    // What comes out is taken while more goes in, as it is live.
    if (index % 20 === 0)
      await until('ffmpeg to follow', () => session.lagSeconds < longestLagSeconds)
  }
  session.finish()
  const exit = await session.exited
  if (exit.kind !== 'ended') throw new Error(`${exit.kind}: ${exit.detail}`)
  if (rig.faults.length > 0) throw new Error(rig.faults.join('\n'))
  const { user, system } = process.cpuUsage(own)
  const ffmpeg = (childrenCpuSeconds() - before) / encodedSeconds
  return { ours: ffmpeg + (user + system) / 1e6 / encodedSeconds, ffmpegInOurs: ffmpeg }
}

/** Of children that have ended. */
function childrenCpuSeconds(): number {
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[13]) + Number(fields[14])) / 100
}

function report(rounds: Round[]): ScenarioResult {
  const over = (pick: (round: Round) => number) => median(rounds.map(pick))
  const percent = (share: number) => `${rounded(share * 100)} %`
  const verdict = (value: number, aim: number) =>
    `≤ ${aim * 100} %: ${value <= aim ? 'met' : 'missed'}`
  const alone = over((it) => it.alone)
  const listed = rounds.flatMap((it) => it.listedMs)
  const lines = [
    ['what', 'median', 'aim'],
    [
      'packaging three tracks, share of a core, no viewer',
      percent(alone),
      verdict(alone, aims.packagingShare),
    ],
    [
      '… with every playlist and MPD written at each change',
      percent(over((it) => it.withTexts)),
      '',
    ],
    ['part complete to listed in all playlists, ms', rounded(median(listed)), ''],
    ['… of 99 in 100', rounded(quantile(listed, 0.99)), ''],
    ...ladders.flatMap(({ name }, index) => {
      const of = (round: Round) => round.ladders[index]!
      const overhead = over((it) => of(it).ours / of(it).ffmpegAlone - 1)
      const ours = over((it) => of(it).ours)
      return [
        [
          `${name}: the same ffmpeg alone, share of a core`,
          percent(over((it) => of(it).ffmpegAlone)),
          '',
        ],
        [`${name}: ours on top of it`, percent(overhead), verdict(overhead, aims.overheadShare)],
        [`${name}: streams per core`, rounded(1 / ours), ''],
      ]
    }),
  ]
  return {
    setting:
      `720p30 with a keyframe each 2 s and AAC at 48 kHz, ${sourceSeconds} s of test picture, repeated ${repeats} ` +
      `times where only packaging is measured and ${encodedRepeats} times where it is encoded; x264 superfast; parts ` +
      `of 0.5 s; ${rounds.length} rounds. User and system time of our process and of ffmpeg, fed as fast as they ` +
      `take it: a live stream costs our process more, because it wakes for every frame.`,
    table: table(lines),
    data: rounds,
  }
}
