// A packager with made-up media: pictures and sound as an encoder times them, in milliseconds or exactly.

import type { PackagingPoint } from '../../common/contract/resume-point.ts'
import type { PackagedSegment } from '../../common/live/live-broadcast.ts'
import type { InitTrack } from '../../media/mp4/init-section.ts'
import type { MediaSample } from '../../media/mp4/track.ts'
import { type CommitLog, MemoryCommitLog } from '../../origin/packager/commit-log.ts'
import { Packager, type PackagerOptions } from '../../origin/packager/packager.ts'
import type { TakePlan } from '../../origin/packager/take-state.ts'
import { broadcast } from './segment-logs.ts'

export interface Delivery {
  rendition: string
  sample: MediaSample
}

export interface PackagerRig {
  packager: Packager
  /** As they were committed. */
  committed: { segment: PackagedSegment; bytes: Buffer }[]
  longGops: { seconds: number; kind: 'first' | 'overdue'; take: string }[]
  faults: string[]
  /** Version after each change. */
  changes: number[]
  /** Of the last take that it made itself. */
  takeNumber: () => number
}

export interface RigOptions {
  config?: Partial<PackagerOptions['config']>
  resume?: PackagingPoint
  commits?: CommitLog
  /** Takes that it makes itself are numbered from here. */
  takeNumber?: number
  /** Do not keep what is committed. */
  isForgetful?: boolean
}

export function packagerRig(options: RigOptions = {}): PackagerRig {
  const { config, resume, isForgetful, commits = new MemoryCommitLog() } = options
  const committed: PackagerRig['committed'] = []
  const longGops: PackagerRig['longGops'] = []
  const faults: string[] = []
  const changes: number[] = []
  // No take of a checkpoint has such a name.
  let takes = options.takeNumber ?? (resume ? 200 : 100)
  const packager = new Packager({
    facts: broadcast,
    config: {
      targetDurationSeconds: 4,
      partSeconds: 0.5,
      segmentSeconds: 2,
      windowSegments: 6,
      ...config,
    },
    commits,
    ...(resume && { resume }),
    nextTake: () => {
      takes++
      return { name: `auto-${takes}`, number: takes }
    },
    onSegment: (segment, bytes) => {
      if (!isForgetful) committed.push({ segment, bytes: Buffer.concat(bytes) })
    },
    onLongGop: (at) => longGops.push(at),
    onFault: (rendition, reason) => faults.push(`${rendition}: ${reason}`),
  })
  if (!isForgetful) packager.onChange(() => changes.push(packager.version))
  return { packager, committed, longGops, faults, changes, takeNumber: () => takes }
}

export interface PictureOptions {
  framesPerSecond: number
  fromSeconds: number
  seconds: number
  /** Whether the frame of this index is a keyframe. */
  isKeyframe: (index: number) => boolean
  /** Round times to milliseconds, as RTMP does. */
  inMilliseconds?: boolean
  /** Frames that a B-frame is put off. */
  reordered?: boolean
  hasDuration?: boolean
}

export const pictureTimescale = 90_000
const payload = Buffer.from([0, 0, 0, 1, 0x65])

export function* pictures(options: PictureOptions): Generator<MediaSample> {
  const { framesPerSecond, fromSeconds, seconds, isKeyframe, inMilliseconds } = options
  const at = (index: number) => {
    const time = fromSeconds + index / framesPerSecond
    return inMilliseconds ? Math.round(time * 1000) * 90 : Math.round(time * pictureTimescale)
  }
  const count = Math.round(seconds * framesPerSecond)
  let sinceKeyframe = 0
  for (let index = 0; index < count; index++) {
    sinceKeyframe = isKeyframe(index) ? 0 : sinceKeyframe + 1
    const dts = at(index)
    const frame = at(index + 1) - dts
    // I P B B P B B: the picture that refers ahead is shown later, those between earlier.
    const cts =
      options.reordered && sinceKeyframe > 0 ? [2, -1, -1][(sinceKeyframe - 1) % 3]! * frame : 0
    yield {
      dts,
      cts,
      duration: options.hasDuration ? frame : 0,
      isKeyframe: sinceKeyframe === 0,
      data: payload,
    }
  }
}

export function* sounds(
  sampleRate: number,
  fromSeconds: number,
  seconds: number,
): Generator<MediaSample> {
  const first = Math.round(fromSeconds * sampleRate)
  const count = Math.floor((seconds * sampleRate) / 1024)
  for (let index = 0; index < count; index++) {
    yield {
      dts: first + index * 1024,
      cts: 0,
      duration: 1024,
      isKeyframe: true,
      data: payload,
    }
  }
}

export function pictureTrack(height: number): InitTrack {
  return {
    kind: 'video',
    trackId: 1,
    timescale: pictureTimescale,
    codec: 'avc1.64001f',
    width: Math.round((height * 16) / 9),
    height,
    sampleRate: 0,
    channels: 0,
    defaults: { durationTicks: 0, sizeBytes: 0, flags: 0 },
  }
}

export function soundTrack(sampleRate: number): InitTrack {
  return {
    kind: 'audio',
    trackId: 1,
    timescale: sampleRate,
    codec: 'mp4a.40.2',
    width: 0,
    height: 0,
    sampleRate,
    channels: 2,
    defaults: { durationTicks: 0, sizeBytes: 0, flags: 0 },
  }
}

export function takePlan(
  changes: Partial<TakePlan> & { names?: readonly string[] } = {},
): TakePlan {
  const { names = ['720p', 'audio'], ...rest } = changes
  return {
    name: 'take-1',
    number: 1,
    epoch: 1,
    renditions: names.map((name, index) => ({
      name,
      kind: name === 'audio' ? ('audio' as const) : ('video' as const),
      isSource: index === 0,
      nominalBitsPerSecond: 0,
    })),
    leader: names[0]!,
    cutting: 'source-keyframes',
    ...rest,
  }
}

/** Starts the take and gives it its init sections. */
export function startTake(
  packager: Packager,
  plan: TakePlan,
  fromSeconds: number,
  sampleRate = 48_000,
): void {
  packager.startTake(plan, fromSeconds)
  for (const { name, kind } of plan.renditions) {
    const track =
      kind === 'audio' ? soundTrack(sampleRate) : pictureTrack(Number.parseInt(name, 10))
    packager.setInit(plan.name, name, Buffer.from(`init of ${name}`), track)
  }
}

export function timescaleOf(rendition: string, sampleRate = 48_000): number {
  return rendition === 'audio' ? sampleRate : pictureTimescale
}

/** Samples of several renditions in the order of their times. */
export function interleave(
  tracks: Readonly<Record<string, Iterable<MediaSample>>>,
  sampleRate = 48_000,
): Delivery[] {
  const all = Object.entries(tracks).flatMap(([rendition, samples]) =>
    [...samples].map((sample) => ({ rendition, sample })),
  )
  const seconds = ({ rendition, sample }: Delivery) =>
    sample.dts / timescaleOf(rendition, sampleRate)
  return all.sort((a, b) => seconds(a) - seconds(b))
}

export function deliver(
  { packager }: PackagerRig,
  take: string,
  deliveries: Iterable<Delivery>,
): void {
  for (const { rendition, sample } of deliveries) packager.push(take, rendition, sample)
}

export const startOf = ({ startTicks, rendition }: PackagedSegment): number =>
  startTicks / rendition.timescale
export const secondsOf = ({ durationTicks, rendition }: PackagedSegment): number =>
  durationTicks / rendition.timescale
