// One broadcast on this transcoder, from the first publish to the end, reconnects inside.
//
//   receiving ──pipe ends──► held ──holdMs──► ended
//       ▲─────publish again────┘
//
// A job has at most one connection (the newest wins) and at most one run of media; a run that is over may still
// deliver its tail while the next one is open, and comes before it. While no run is open the time that passes
// becomes gap segments, so that every player keeps its place.
//
// A connection is the publisher's own; it comes here by one pipe, and by another when a node on the way was lost. Then
// the relay before that node sends anew from a keyframe on: what was taken before is left out, and the run goes on.
import { join } from 'node:path'
import type { Clock, Timer } from '../../common/clock.ts'
import {
  goesOnElsewhere,
  type LeaseRenewal,
  type PublishTicket,
} from '../../common/contract/placement.ts'
import type { ProgressLine } from '../../common/contract/progress.ts'
import { type Refusal, refusal } from '../../common/contract/refusal.ts'
import { newestTake, type ResumePoint } from '../../common/contract/resume-point.ts'
import type { LiveStream } from '../../common/live/live-answers.ts'
import type { LiveBroadcast, PackagedSegment } from '../../common/live/live-broadcast.ts'
import { timelineZeroMs } from '../../common/live/segment-log.ts'
import type { Logger } from '../../common/log.ts'
import type { ProcessGuard } from '../../common/process-guard.ts'
import type { Ladder } from '../../config/ladder.ts'
import type { ResolvedTranscoderConfig } from '../../config/load.ts'
import { FlvReader } from '../../media/flv/tag-reader.ts'
import type { BroadcastFolder } from '../archive/broadcast-folder.ts'
import { SegmentArchive } from '../archive/segment-archive.ts'
import { MemoryCommitLog } from '../packager/commit-log.ts'
import { Packager } from '../packager/packager.ts'
import { type EndReason, refusalOfEnd } from './end-reason.ts'
import type { DatedStep } from './first-run.ts'
import { InputMeter, type InputTracks } from './input-check.ts'
import { type LeaseClient, LeaseKeeper } from './lease-keeper.ts'
import { measuredRenditions } from './measured-renditions.ts'
import { MediaRun } from './media-run.ts'
import { type Pipe, PublisherConnection } from './publisher-connection.ts'
import type { ReceivedStream } from './rtmp-receiver.ts'
import type { TranscoderMetrics } from './transcoder-metrics.ts'

export interface StreamJobOptions {
  ticket: PublishTicket
  folder: BroadcastFolder
  /** Where another transcoder has left the broadcast, with this ticket's connection. */
  left?: ResumePoint | undefined
  config: ResolvedTranscoderConfig
  ladder: Ladder
  guard: ProcessGuard
  lease: LeaseClient
  clock: Clock
  log: Logger
  metrics: TranscoderMetrics
  /** Ends all waits for a broadcast that is no longer ours. */
  letGo: (broadcast: LiveBroadcast) => void
  /** The input ended ffmpeg time and again. */
  onQuarantined: () => void
  /** All is written and released; the folder may be kept or deleted. */
  onEnded: (job: StreamJob) => void
}

const tickMs = 250
/**
 * How long nothing new is listed before a gap is. As long as may be, since an absence that is over by then gets its
 * gaps together with media behind them: Shaka Player gives up at a gap that has nothing behind it. RFC 8216bis
 * §6.2.1 allows 1.5, and media is a little younger than its arrival.
 */
const targetDurationsOfSilence = 1.25

export class StreamJob implements LiveStream {
  readonly liveId: string
  readonly broadcastId: string
  readonly folder: BroadcastFolder
  readonly #packager: Packager
  readonly #archive: SegmentArchive
  readonly #options: StreamJobOptions
  readonly #log: Logger
  readonly #keeper: LeaseKeeper
  readonly #ended = Promise.withResolvers<void>()
  #state: 'receiving' | 'held' | 'ending' | 'ended' = 'held'
  #epoch: number
  #takeNumber: number
  /** Of another transcoder, until a publisher has come. */
  #left: ResumePoint | undefined
  #connection: PublisherConnection | undefined
  #tracks: InputTracks | undefined
  #run: MediaRun | undefined
  /** Runs that still deliver their tail. */
  readonly #leavingRuns = new Map<MediaRun, Promise<void>>()
  /** Somebody else has the stream: nothing of ours counts any more. */
  #isFenced = false
  /** What waits for the doubt after a standstill to be over. */
  #sure = Promise.withResolvers<void>()
  /** Keyframes came too far apart: the source is encoded for the rest of the broadcast, as its encoder comes back the same. */
  #hasLongGop = false
  #hasSettings = false
  /** Until the first segment of the run. */
  #runStartedMs: number | undefined
  #holdTimer: Timer | undefined
  #tickTimer: Timer | undefined

  constructor(options: StreamJobOptions) {
    const { ticket, folder, lease, clock, metrics } = options
    this.#options = options
    this.liveId = ticket.liveId
    this.broadcastId = ticket.broadcastId
    this.folder = folder
    this.#epoch = ticket.epoch
    this.#log = options.log.child({ liveId: ticket.liveId, broadcastId: ticket.broadcastId })
    this.#left = options.left
    const resume = options.left?.packaging ?? folder.resumePoint(clock.now())
    this.#takeNumber = Math.max(ticket.takes, newestTake(resume))
    this.#archive = new SegmentArchive({
      ...{ folder, clock, log: this.#log },
      onDropped: (reason) => metrics.unrecorded(reason),
    })
    this.#packager = new Packager({
      facts: folder.log.broadcast,
      config: options.config,
      commits: new MemoryCommitLog(),
      resume,
      nextTake: () => this.#nextTake(),
      onSegment: (segment, bytes) => this.#onSegment(segment, bytes),
      onLongGop: (at) => this.#run?.onLongGop(at),
      onFault: (rendition, reason) => {
        metrics.faulted()
        this.#log.error({ rendition, reason }, 'media was not published')
      },
    })
    this.#keeper = new LeaseKeeper({
      liveId: ticket.liveId,
      client: lease,
      clock,
      log: this.#log,
      renewal: () => this.renewal(),
      onLost: (epoch) => {
        this.#log.warn({ epoch: this.#epoch, newerEpoch: epoch }, 'lease lost')
        void this.end('lease-lost')
      },
      onStop: () => void this.end('stopped'),
      onSure: () => this.#onSure(),
    })
  }

  get broadcast(): LiveBroadcast {
    return this.#packager
  }

  file(take: string, rendition: string, name: string): string | undefined {
    const logged = this.folder.log.takeNamed(take)
    return logged && join(this.folder.renditionPath(logged, rendition), name)
  }

  /** False where somebody else has the stream, or may have it since this process stood still. */
  get mayPublish(): boolean {
    return !this.#isFenced && this.#keeper.isSure()
  }

  /** While a publisher is connected. */
  get progress(): ProgressLine | undefined {
    const connection = this.#connection
    if (!connection?.pipe || !this.#keeper.isSure()) return undefined
    const progress = connection.progress(this.#packager.checkpoint())
    const { liveId } = this
    return progress && { connection: connection.name, epoch: this.#epoch, liveId, ...progress }
  }

  get epoch(): number {
    return this.#epoch
  }

  /** Undefined where one run does not hold all that is open: then another transcoder begins a new take. */
  get resumePoint(): ResumePoint | undefined {
    if (this.#left || !this.#run || this.#leavingRuns.size > 0) return this.#left
    return this.#connection?.resumePoint(this.#packager.checkpoint())
  }

  get state(): 'receiving' | 'held' | 'ending' | 'ended' {
    return this.#state
  }

  /** How far the slowest rung is behind the source. */
  get lagSeconds(): number | undefined {
    return this.#run?.lagSeconds
  }

  get ffmpegPid(): number | undefined {
    return this.#run?.pid
  }

  /** Width × height × frames per second over what is being made. */
  get cost(): number {
    const rate = this.#framesPerSecond()
    return (this.#run?.video ?? []).reduce((sum, it) => sum + it.width * it.height * rate, 0)
  }

  /** Resolves when the job is over and its folder settled. */
  get ended(): Promise<void> {
    return this.#ended.promise
  }

  start(): void {
    this.#keeper.start()
    const { clock } = this.#options
    this.#tickTimer = clock.setInterval(() => this.#tick(), tickMs)
    this.#hold()
  }

  /** A publisher of this broadcast; it replaces the one before it, or goes on where that is the same. */
  attach(stream: ReceivedStream, ticket: PublishTicket): void {
    const isOver = this.#state === 'ending' || this.#state === 'ended'
    if (isOver || ticket.epoch < this.#epoch) {
      stream.refuse(refusal('lease-lost'))
      return
    }
    this.#holdTimer?.cancel()
    const { clock, metrics } = this.#options
    const pipe = { nonce: ticket.nonce, stream }
    const current = this.#connection
    const isSame = current?.name === ticket.connection && this.#epoch === ticket.epoch
    const connection = isSame ? current : this.#connect(pipe, ticket)
    if (isSame) {
      this.#log.info('the publisher comes by another way')
      current.resume(pipe, clock.monotonic())
    }
    this.#state = 'receiving'
    metrics.connectionOpened()
    this.#log.info({ nonce: ticket.nonce, epoch: this.#epoch }, 'publisher connected')
    void this.#pump(connection, pipe)
  }

  #connect(pipe: Pipe, ticket: PublishTicket): PublisherConnection {
    const { config, clock } = this.#options
    const previous = this.#connection
    this.#connection = undefined
    if (previous?.pipe) {
      this.#log.info('a newer connection replaces the publisher')
      // The same publisher by another way needs no word; another encoder deserves one.
      if (previous.name === ticket.connection) previous.pipe.stream.drop()
      else previous.pipe.stream.refuse(refusal('already-publishing'))
    }
    this.#endRun()
    this.#epoch = Math.max(this.#epoch, ticket.epoch)
    this.#takeNumber = Math.max(this.#takeNumber, ticket.takes)
    const { connection: name } = ticket
    if (this.#left?.connection !== name) this.#left = undefined
    const now = clock.monotonic()
    this.#connection = new PublisherConnection(name, pipe, config.input, now, this.#left)
    return this.#connection
  }

  /** Ends the broadcast; resolves when all is written. */
  async end(reason: EndReason, refused?: Refusal): Promise<void> {
    if (this.#state === 'ending' || this.#state === 'ended') return await this.ended
    this.#state = 'ending'
    this.#log.info({ reason }, 'broadcast ends')
    this.#keeper.stop()
    this.#holdTimer?.cancel()
    this.#tickTimer?.cancel()
    const connection = this.#connection
    this.#connection = undefined
    if (connection?.pipe) {
      const { stream } = connection.pipe
      const sentence = refused ?? refusalOfEnd(reason)
      if (sentence) stream.refuse(sentence)
      else stream.drop()
    }
    if (reason === 'lease-lost') this.#fence()
    this.#sure.resolve()
    this.#endRun()
    await Promise.all(this.#leavingRuns.values())
    const isOurs = reason !== 'lease-lost' && reason !== 'superseded'
    // Where the broadcast goes on elsewhere, nobody must hear from us that it is over.
    if (!isOurs || goesOnElsewhere(reason)) this.#options.letGo(this.#packager)
    else this.#packager.end()
    await this.#archive.close()
    if (isOurs) {
      await this.#options.lease.releaseLease(this.liveId, {
        epoch: this.#epoch,
        instance: this.#options.ticket.instance,
        reason,
      })
    }
    this.#state = 'ended'
    this.#ended.resolve()
    this.#options.onEnded(this)
  }

  #fence(): void {
    this.#isFenced = true
    this.#options.letGo(this.#packager)
    this.#run?.abort()
    for (const run of this.#leavingRuns.keys()) run.abort()
  }

  renewal(): LeaseRenewal {
    const { ticket } = this.#options
    const connection = this.#connection?.pipe && this.#connection
    const tracks = this.#tracks
    return {
      ...{ epoch: this.#epoch, instance: ticket.instance, broadcastId: this.broadcastId },
      nonce: connection?.pipe?.nonce ?? null,
      state: connection ? 'live' : 'held',
      takes: this.#takeNumber,
      cost: this.cost,
      video: (connection && tracks?.video && connection.meter.videoFacts(tracks.video)) ?? null,
      audio: (connection && tracks?.audio && connection.meter.audioFacts(tracks.audio)) ?? null,
      renditions: measuredRenditions(this.#packager),
      findings: connection?.doctor.findings ?? [],
    }
  }

  async #pump(connection: PublisherConnection, pipe: Pipe): Promise<void> {
    const { clock, metrics } = this.#options
    const input = new FlvReader()
    const isOurs = () => connection === this.#connection && pipe === connection.pipe
    try {
      for await (const bytes of pipe.stream.media) {
        if (isOurs() && !this.#keeper.isSure()) await this.#sure.promise
        // Refused or replaced: what still comes is thrown away until the receiver closes the pipe.
        if (!isOurs()) continue
        metrics.ingested(bytes.length)
        const read = input.read(bytes)
        if ('fault' in read) {
          this.#refuse(refusal('input-broken', `The stream is broken: ${read.fault}.`))
          continue
        }
        for (const message of read.value) {
          for (const step of connection.push(message, clock.monotonic())) this.#onStep(step)
          if (!isOurs()) break
        }
        this.#endStoppedRun()
      }
    } catch (err) {
      this.#log.debug({ err }, 'media pipe broke')
    }
    metrics.connectionClosed()
    if (isOurs() && !this.#keeper.isSure()) await this.#sure.promise
    if (isOurs()) this.#onPipeEnd(connection, pipe)
  }

  #onPipeEnd(connection: PublisherConnection, pipe: Pipe): void {
    const { clock } = this.#options
    for (const step of connection.flush(clock.monotonic())) this.#onStep(step)
    if (connection !== this.#connection) return
    connection.lose()
    this.#state = 'held'
    if (pipe.stream.hasUnpublished() || !connection.isRunning) {
      this.#log.info('publisher gone; waiting for it to come back')
      this.#connection = undefined
      this.#endRun()
    } else {
      // Until then its run is open: by another way it may go on before anybody has missed it.
      this.#log.info('the way to the publisher is lost; waiting for it to come by another')
    }
    this.#hold()
    void this.#keeper.renew()
  }

  #onSure(): void {
    this.#sure.resolve()
    this.#sure = Promise.withResolvers()
    for (const run of this.#leavingRuns.keys()) run.release()
    this.#run?.release()
  }

  #hold(): void {
    const { clock, config } = this.#options
    this.#holdTimer?.cancel()
    this.#holdTimer = clock.setTimeout(() => void this.end('publisher-left'), config.holdMs)
  }

  #tick(): void {
    const { clock } = this.#options
    if (!this.#keeper.isSure()) return
    for (const step of this.#connection?.tick(clock.monotonic()) ?? []) this.#onStep(step)
    this.#endStoppedRun()
    if (this.#leavingRuns.size === 0) this.#fillGaps()
  }

  #fillGaps(): void {
    const { settings } = this.#packager
    if (!settings) return
    const silence = targetDurationsOfSilence * settings.targetDurationSeconds
    this.#packager.fillGaps(this.#nowSeconds() - silence + settings.segmentSeconds)
  }

  /** On the timeline of the broadcast. */
  #nowSeconds(): number {
    return (this.#options.clock.now() - timelineZeroMs(this.#packager.facts)) / 1000
  }

  #onStep(step: DatedStep): void {
    const connection = this.#connection
    if (!connection) return
    if (step.kind === 'refused') this.#refuse(step.refusal)
    else if (step.kind === 'run') this.#startRun(step)
    else {
      const { sample } = step
      const refused = connection.meter.add({ ...sample, sizeBytes: sample.payload.length })
      connection.doctor.add(sample)
      if (refused) this.#refuse(refused)
      else this.#run?.push(sample)
    }
  }

  #startRun(step: DatedStep & { kind: 'run' }): void {
    const { tracks, claimedVideoBitsPerSecond, reason } = step
    this.#endRun()
    this.#tracks = tracks
    const { config, ladder, guard, clock, metrics } = this.#options
    const connection = this.#connection!
    const left = reason === 'resumed' ? this.#left : undefined
    this.#left = undefined
    connection.meter = new InputMeter(config.input)
    connection.doctor.beginRun(step)
    connection.placeRun(step, this.#nowSeconds(), this.#packager.endSeconds)
    this.#log.info({ reason }, 'media begins')
    this.#runStartedMs = clock.monotonic()
    const run = new MediaRun({
      ...{ packager: this.#packager, tracks, ladder, guard, clock, log: this.#log },
      ...{ segmentSeconds: config.segmentSeconds, stallMs: config.stallMs, ffmpeg: config.ffmpeg },
      hasLongGop: this.#hasLongGop,
      resume: left && { point: left, epoch: this.#epoch },
      sourceBitsPerSecond: claimedVideoBitsPerSecond,
      framesPerSecond: tracks.video?.framesPerSecond ?? undefined,
      originSeconds: connection.originSeconds,
      nextTake: () => ({ ...this.#nextTake(), epoch: this.#epoch }),
      mayPublish: () => this.mayPublish,
      onEntry: (mark) => connection.marks.add(mark),
      onRestart: (cause) => metrics.restarted(cause),
      onLongGop: () => {
        this.#hasLongGop = true
      },
      onFailed: (detail) => {
        this.#log.error({ detail }, 'the input is quarantined')
        if (run !== this.#run) return
        this.#options.onQuarantined()
        this.#refuse(refusal('input-quarantined'))
      },
    })
    this.#run = run
    void this.#keeper.renew()
  }

  #nextTake(): { name: string; number: number } {
    const number = ++this.#takeNumber
    return { name: `${this.#options.ticket.broadcastTag}-${number}`, number }
  }

  #onSegment(segment: PackagedSegment, bytes: readonly Buffer[]): void {
    if (this.#isFenced) return
    const { metrics, clock } = this.#options
    const { settings } = this.#packager
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
    void this.#keeper.renew()
  }

  /** Where the input has ended a run and none has begun, the time that passes is a gap. */
  #endStoppedRun(): void {
    if (this.#connection?.isRunning === false) this.#endRun()
  }

  #endRun(): void {
    const run = this.#run
    if (!run) return
    this.#run = undefined
    this.#runStartedMs = undefined
    this.#leavingRuns.set(
      run,
      run.finish().finally(() => this.#leavingRuns.delete(run)),
    )
  }

  /** The input is not acceptable, or we failed it: the broadcast ends with a word to the publisher. */
  #refuse(refused: Refusal): void {
    this.#log.warn({ code: refused.code, reason: refused.message }, 'publisher refused')
    this.#options.metrics.refused(refused.code)
    void this.end('refused', refused)
  }

  #framesPerSecond(): number {
    const video = this.#tracks?.video
    if (!video || !this.#connection) return 0
    return this.#connection.meter.videoFacts(video).framesPerSecond ?? 30
  }
}
