// The media of one broadcast on this transcoder: runs of the input, one after the other, into one packager, and from
// there into the archive.
//
// At most one run is open; a run that is over may still deliver its tail while the next one is open, and comes before
// it. While no run is open the time that passes becomes gap segments, so that every player keeps its place.
import type { Clock } from '../../common/clock.ts'
import { newestTake, type ResumePoint } from '../../common/contract/resume-point.ts'
import type { PackagedSegment } from '../../common/live/live-broadcast.ts'
import { timelineZeroMs } from '../../common/live/segment-log.ts'
import type { Logger } from '../../common/log.ts'
import type { ProcessGuard } from '../../common/process-guard.ts'
import type { Ladder } from '../../config/ladder.ts'
import type { ResolvedTranscoderConfig } from '../../config/load.ts'
import type { BroadcastFolder } from '../archive/broadcast-folder.ts'
import { SegmentArchive } from '../archive/segment-archive.ts'
import { MemoryCommitLog } from '../packager/commit-log.ts'
import { Packager } from '../packager/packager.ts'
import type { DatedStep } from './first-run.ts'
import { InputMeter, type InputTracks } from './input-check.ts'
import type { InputSample } from './input-reader.ts'
import { MediaRun } from './media-run.ts'
import type { PublisherConnection } from './publisher-connection.ts'
import type { TranscoderMetrics } from './transcoder-metrics.ts'

export interface BroadcastMediaOptions {
  folder: BroadcastFolder
  /** Where another transcoder has left the broadcast. */
  left: ResumePoint | undefined
  /** Takes of the broadcast so far. */
  takes: number
  epoch: () => number
  config: ResolvedTranscoderConfig
  ladder: Ladder
  guard: ProcessGuard
  clock: Clock
  log: Logger
  metrics: TranscoderMetrics
  /** False for a moment after a standstill. */
  mayPublish: () => boolean
  /** A run has begun, or its first segment is there. */
  onNews: () => void
  /** The open run ended ffmpeg time and again. */
  onFailed: () => void
}

/**
 * How long nothing new is listed before a gap is. As long as may be, since an absence that is over by then gets its
 * gaps together with media behind them: Shaka Player gives up at a gap that has nothing behind it. RFC 8216bis
 * §6.2.1 allows 1.5, and media is a little younger than its arrival.
 */
const targetDurationsOfSilence = 1.25

export class BroadcastMedia {
  readonly packager: Packager
  readonly #options: BroadcastMediaOptions
  readonly #archive: SegmentArchive
  #takeNumber: number
  #tracks: InputTracks | undefined
  #meter: InputMeter | undefined
  #run: MediaRun | undefined
  /** Runs that still deliver their tail. */
  readonly #leavingRuns = new Map<MediaRun, Promise<void>>()
  /** Nothing of ours counts any more. */
  #isFenced = false
  /** Keyframes came too far apart: the source is encoded for the rest of the broadcast, as its encoder comes back the same. */
  #hasLongGop = false
  #hasSettings = false
  /** Until the first segment of the run. */
  #runStartedMs: number | undefined

  constructor(options: BroadcastMediaOptions) {
    this.#options = options
    const { folder, left, takes, config, clock, log, metrics } = options
    const resume = left?.packaging ?? folder.resumePoint(clock.now())
    this.#takeNumber = Math.max(takes, newestTake(resume))
    this.#archive = new SegmentArchive({
      ...{ folder, clock, log },
      onDropped: (reason) => metrics.unrecorded(reason),
    })
    this.packager = new Packager({
      ...{ facts: folder.log.broadcast, config, resume },
      commits: new MemoryCommitLog(),
      nextTake: () => this.#nextTake(),
      onSegment: (segment, bytes) => this.#onSegment(segment, bytes),
      onLongGop: (at) => this.#run?.onLongGop(at),
      onFault: (rendition, reason) => {
        metrics.faulted()
        log.error({ rendition, reason }, 'media was not published')
      },
    })
  }

  get isFenced(): boolean {
    return this.#isFenced
  }

  /** Number of the newest take. */
  get takes(): number {
    return this.#takeNumber
  }

  /** Of the newest run. */
  get tracks(): InputTracks | undefined {
    return this.#tracks
  }

  get hasRun(): boolean {
    return this.#run !== undefined
  }

  get hasLeavingRuns(): boolean {
    return this.#leavingRuns.size > 0
  }

  /** How far the slowest rung is behind the source. */
  get lagSeconds(): number | undefined {
    return this.#run?.lagSeconds
  }

  get pid(): number | undefined {
    return this.#run?.pid
  }

  /** Width × height × frames per second over what is being made. */
  get cost(): number {
    const video = this.#tracks?.video
    const rate = (video && this.#meter?.videoFacts(video).framesPerSecond) ?? 30
    return (this.#run?.video ?? []).reduce((sum, it) => sum + it.width * it.height * rate, 0)
  }

  /** Takes of the broadcast that were made elsewhere. */
  countTakes(takes: number): void {
    this.#takeNumber = Math.max(this.#takeNumber, takes)
  }

  /** Ends the run that is open, and begins one of that connection; with `left` in the take that another transcoder has left. */
  begin(
    step: DatedStep & { kind: 'run' },
    connection: PublisherConnection,
    left: ResumePoint | undefined,
  ): void {
    const { tracks, claimedVideoBitsPerSecond, reason } = step
    this.endRun()
    this.#tracks = tracks
    const { config, ladder, guard, clock, log, metrics, epoch, mayPublish } = this.#options
    this.#meter = connection.meter = new InputMeter(config.input)
    connection.doctor.beginRun(step)
    connection.placeRun(step, this.#nowSeconds(), this.packager.endSeconds)
    log.info({ reason }, 'media begins')
    this.#runStartedMs = clock.monotonic()
    const run = new MediaRun({
      ...{ packager: this.packager, tracks, ladder, guard, clock, log, mayPublish },
      ...{ segmentSeconds: config.segmentSeconds, stallMs: config.stallMs, ffmpeg: config.ffmpeg },
      hasLongGop: this.#hasLongGop,
      resume: left && { point: left, epoch: epoch() },
      sourceBitsPerSecond: claimedVideoBitsPerSecond,
      framesPerSecond: tracks.video?.framesPerSecond ?? undefined,
      originSeconds: connection.originSeconds,
      nextTake: () => ({ ...this.#nextTake(), epoch: epoch() }),
      onEntry: (mark) => connection.marks.add(mark),
      onRestart: (cause) => metrics.restarted(cause),
      onLongGop: () => {
        this.#hasLongGop = true
      },
      onFailed: (detail) => {
        log.error({ detail }, 'the input is quarantined')
        if (run === this.#run) this.#options.onFailed()
      },
    })
    this.#run = run
    this.#options.onNews()
  }

  push(sample: InputSample): void {
    this.#run?.push(sample)
  }

  endRun(): void {
    const run = this.#run
    if (!run) return
    this.#run = undefined
    this.#runStartedMs = undefined
    this.#leavingRuns.set(
      run,
      run.finish().finally(() => this.#leavingRuns.delete(run)),
    )
  }

  /** Call it a few times per second. */
  fillGaps(): void {
    const { settings } = this.packager
    if (!settings || this.hasLeavingRuns) return
    const silence = targetDurationsOfSilence * settings.targetDurationSeconds
    this.packager.fillGaps(this.#nowSeconds() - silence + settings.segmentSeconds)
  }

  /** What waited for `mayPublish`. */
  release(): void {
    for (const run of this.#leavingRuns.keys()) run.release()
    this.#run?.release()
  }

  /** Nothing more is made of what is here. */
  fence(): void {
    this.#isFenced = true
    this.#run?.abort()
    for (const run of this.#leavingRuns.keys()) run.abort()
  }

  /** Resolves when runs that are over have delivered their tail. */
  async tails(): Promise<void> {
    await Promise.all(this.#leavingRuns.values())
  }

  /** Resolves when all is written. */
  async closeArchive(): Promise<void> {
    await this.#archive.close()
  }

  /** On the timeline of the broadcast. */
  #nowSeconds(): number {
    return (this.#options.clock.now() - timelineZeroMs(this.packager.facts)) / 1000
  }

  #nextTake(): { name: string; number: number } {
    const number = ++this.#takeNumber
    return { name: `${this.packager.facts.broadcastTag}-${number}`, number }
  }

  #onSegment(segment: PackagedSegment, bytes: readonly Buffer[]): void {
    if (this.#isFenced) return
    const { metrics, clock, onNews } = this.#options
    const { settings } = this.packager
    if (settings && !this.#hasSettings) {
      this.#hasSettings = true
      this.#archive.settings(settings)
    }
    this.#archive.segment(segment, bytes)
    if (segment.isGap) return
    metrics.committed(segment.sizeBytes)
    if (this.#runStartedMs === undefined) return
    metrics.firstSegment((clock.monotonic() - this.#runStartedMs) / 1000)
    this.#runStartedMs = undefined
    onNews()
  }
}
