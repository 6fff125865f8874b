// One broadcast on this transcoder, from the first publish to the end, reconnects inside.
//
//   receiving ──connection ends──► held ──holdMs──► ended
//       ▲──────publish again────────┘
//
// A job has at most one connection (the newest wins) and at most one run of media; a run that is over may still
// deliver its tail while the next one is open, and comes before it. While no run is open the time that passes
// becomes gap segments, so that every player keeps its place.
import { join } from 'node:path'
import type { Clock, Timer } from '../../common/clock.ts'
import {
  goesOnElsewhere,
  type LeaseRelease,
  type LeaseRenewal,
  type PublishTicket,
  type Rendition,
} from '../../common/contract/placement.ts'
import { type Refusal, refusal } from '../../common/contract/refusal.ts'
import type { LiveStream } from '../../common/live/live-answers.ts'
import type { LiveBroadcast, PackagedSegment } from '../../common/live/live-broadcast.ts'
import { rateOf } from '../../common/live/live-presentation.ts'
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
import { type DatedStep, FirstRun } from './first-run.ts'
import { InputMeter, type InputTracks } from './input-check.ts'
import { InputReader, type InputStep } from './input-reader.ts'
import { type LeaseClient, LeaseKeeper } from './lease-keeper.ts'
import { MediaRun } from './media-run.ts'
import type { ReceivedStream } from './rtmp-receiver.ts'
import { trackParsers } from './track-parsers.ts'
import type { TranscoderMetrics } from './transcoder-metrics.ts'

export interface StreamJobOptions {
  ticket: PublishTicket
  folder: BroadcastFolder
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

export type EndReason = LeaseRelease['reason'] | 'lease-lost' | 'superseded'

const tickMs = 250
/**
 * How long nothing new is listed before a gap is. As long as may be, since an absence that is over by then gets its
 * gaps together with media behind them: Shaka Player gives up at a gap that has nothing behind it. RFC 8216bis
 * §6.2.1 allows 1.5, and media is a little younger than its arrival.
 */
const targetDurationsOfSilence = 1.25
/** A run whose first sample lies farther from now, by the publisher's clock, is on another one. */
const mostEarlySeconds = 1
const mostLateSeconds = 10

interface Connection {
  nonce: string
  stream: ReceivedStream
  reader: InputReader
  first: FirstRun
  meter: InputMeter
  /** Where the first sample of the newest run lies on the timeline. */
  originSeconds: number
}

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
  #connection: Connection | undefined
  #tracks: InputTracks | undefined
  #run: MediaRun | undefined
  /** Runs that are open or still deliver their tail. */
  readonly #openRuns = new Set<Promise<void>>()
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
    const resume = folder.resumePoint(clock.now())
    this.#takeNumber = Math.max(ticket.takes, resume.takes)
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
    })
  }

  get broadcast(): LiveBroadcast {
    return this.#packager
  }

  file(take: string, rendition: string, name: string): string | undefined {
    const logged = this.folder.log.takeNamed(take)
    return logged && join(this.folder.renditionPath(logged, rendition), name)
  }

  get epoch(): number {
    return this.#epoch
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

  /** A publisher of this broadcast; it replaces the one before it. */
  attach(stream: ReceivedStream, ticket: PublishTicket): void {
    if (this.#state === 'ending' || this.#state === 'ended') {
      stream.refuse(refusal('lease-lost'))
      return
    }
    this.#holdTimer?.cancel()
    const previous = this.#connection
    if (previous) {
      this.#log.info('a newer connection replaces the publisher')
      this.#connection = undefined
      // The same publisher by another way needs no word; another encoder deserves one.
      if (previous.nonce === ticket.nonce) previous.stream.drop()
      else previous.stream.refuse(refusal('already-publishing'))
    }
    this.#endRun()
    this.#epoch = Math.max(this.#epoch, ticket.epoch)
    this.#takeNumber = Math.max(this.#takeNumber, ticket.takes)
    this.#state = 'receiving'
    const { config, clock, metrics } = this.#options
    const connection: Connection = {
      nonce: ticket.nonce,
      stream,
      reader: new InputReader(config.input, trackParsers, clock.monotonic()),
      first: new FirstRun(),
      meter: new InputMeter(config.input),
      originSeconds: 0,
    }
    this.#connection = connection
    metrics.connectionOpened()
    this.#log.info({ nonce: ticket.nonce, epoch: this.#epoch }, 'publisher connected')
    void this.#pump(connection)
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
    if (connection) {
      const sentence = refused ?? refusalOfEnd(reason)
      if (sentence) connection.stream.refuse(sentence)
      else connection.stream.drop()
    }
    if (reason === 'lease-lost') this.#run?.abort()
    this.#endRun()
    await Promise.all(this.#openRuns)
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

  renewal(): LeaseRenewal {
    const { ticket } = this.#options
    const connection = this.#connection
    const tracks = this.#tracks
    return {
      epoch: this.#epoch,
      instance: ticket.instance,
      nonce: connection?.nonce ?? null,
      state: connection ? 'live' : 'held',
      takes: this.#takeNumber,
      cost: this.cost,
      video: (connection && tracks?.video && connection.meter.videoFacts(tracks.video)) ?? null,
      audio: (connection && tracks?.audio && connection.meter.audioFacts(tracks.audio)) ?? null,
      renditions: this.#renditions(),
    }
  }

  /** Of the newest take, as measured. */
  #renditions(): Rendition[] {
    const take = this.#packager.takes.findLast((it) => it.isComplete)
    return (take?.renditions ?? []).map((it) => ({
      name: it.name,
      width: it.width,
      height: it.height,
      framesPerSecond: it.framesPerSecond,
      bitsPerSecond: Math.round(this.#bitsPerSecond(it.name)),
      codecs: it.codec,
      isSource: it.isSource,
    }))
  }

  #bitsPerSecond(rendition: string): number {
    const segments = this.#packager.playlist(rendition)?.segments ?? []
    return rateOf(
      segments.filter((it) => !it.isGap && !it.isOpen && it.rendition.name === rendition),
    )
  }

  async #pump(connection: Connection): Promise<void> {
    const { clock, metrics } = this.#options
    const input = new FlvReader()
    try {
      for await (const bytes of connection.stream.media) {
        // Refused or replaced: what still comes is thrown away until the receiver closes the pipe.
        if (connection !== this.#connection) continue
        metrics.ingested(bytes.length)
        const read = input.read(bytes)
        if ('fault' in read) {
          this.#refuse(refusal('input-broken', `The stream is broken: ${read.fault}.`))
          continue
        }
        for (const tag of read.value) {
          for (const step of connection.reader.push(tag, clock.monotonic())) this.#onInput(step)
          if (connection !== this.#connection) break
        }
        this.#endStoppedRun()
      }
    } catch (err) {
      this.#log.debug({ err }, 'media pipe broke')
    }
    metrics.connectionClosed()
    if (connection !== this.#connection) return
    for (const step of connection.first.flush(clock.monotonic())) this.#onStep(step)
    if (connection === this.#connection) this.#onConnectionEnd()
  }

  #onConnectionEnd(): void {
    this.#log.info('publisher gone; waiting for it to come back')
    this.#connection = undefined
    this.#state = 'held'
    this.#endRun()
    this.#hold()
    void this.#keeper.renew()
  }

  #hold(): void {
    const { clock, config } = this.#options
    this.#holdTimer?.cancel()
    this.#holdTimer = clock.setTimeout(() => void this.end('publisher-left'), config.holdMs)
  }

  #tick(): void {
    const { clock } = this.#options
    for (const step of this.#connection?.reader.tick(clock.monotonic()) ?? []) this.#onInput(step)
    for (const step of this.#connection?.first.tick(clock.monotonic()) ?? []) this.#onStep(step)
    this.#endStoppedRun()
    if (this.#openRuns.size === 0) this.#fillGaps()
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

  #onInput(step: InputStep): void {
    const steps = this.#connection?.first.push(step, this.#options.clock.monotonic()) ?? []
    for (const it of steps) this.#onStep(it)
  }

  #onStep(step: DatedStep): void {
    const connection = this.#connection
    if (!connection) return
    if (step.kind === 'refused') this.#refuse(step.refusal)
    else if (step.kind === 'run') this.#startRun(step)
    else {
      const { sample } = step
      const refused = connection.meter.add({ ...sample, sizeBytes: sample.payload.length })
      if (refused) this.#refuse(refused)
      else this.#run?.push(sample)
    }
  }

  #startRun(step: DatedStep & { kind: 'run' }): void {
    const { tracks, claimedVideoBitsPerSecond, reason } = step
    this.#endRun()
    this.#tracks = tracks
    const packager = this.#packager
    const { config, ladder, guard, clock, metrics } = this.#options
    const connection = this.#connection!
    connection.meter = new InputMeter(config.input)
    connection.originSeconds = this.#originOf(step, connection)
    this.#log.info({ reason }, 'media begins')
    this.#runStartedMs = clock.monotonic()
    const run = new MediaRun({
      ...{ packager, tracks, ladder, guard, clock, log: this.#log },
      ...{ segmentSeconds: config.segmentSeconds, stallMs: config.stallMs, ffmpeg: config.ffmpeg },
      hasLongGop: this.#hasLongGop,
      sourceBitsPerSecond: claimedVideoBitsPerSecond,
      framesPerSecond: tracks.video?.framesPerSecond ?? undefined,
      originSeconds: connection.originSeconds,
      nextTake: () => ({ ...this.#nextTake(), epoch: this.#epoch }),
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

  /** By the publisher's clock as long as it goes on: what follows at once must not be a hole for having come late. */
  #originOf({ sinceLastMs, ageMs }: DatedStep & { kind: 'run' }, connection: Connection): number {
    const byOurs = this.#nowSeconds() - ageMs / 1000
    const byTheirs = connection.originSeconds + (sinceLastMs ?? Number.NaN) / 1000
    const late = byOurs - byTheirs
    const goesOn = late >= -mostEarlySeconds && late <= mostLateSeconds
    return Math.max(goesOn ? byTheirs : byOurs, this.#packager.endSeconds)
  }

  #nextTake(): { name: string; number: number } {
    const number = ++this.#takeNumber
    return { name: `${this.#options.ticket.broadcastTag}-${number}`, number }
  }

  #onSegment(segment: PackagedSegment, bytes: readonly Buffer[]): void {
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
    if (this.#connection?.reader.isRunning === false) this.#endRun()
  }

  #endRun(): void {
    const run = this.#run
    if (!run) return
    this.#run = undefined
    this.#runStartedMs = undefined
    const over: Promise<void> = run.finish().finally(() => this.#openRuns.delete(over))
    this.#openRuns.add(over)
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

function refusalOfEnd(reason: EndReason): Refusal | undefined {
  switch (reason) {
    case 'lease-lost':
    case 'superseded':
      return refusal('lease-lost')
    case 'transcoder-stopping':
      return refusal('maintenance')
    case 'stopped':
      return refusal('broadcast-stopped')
    default:
      return undefined
  }
}
