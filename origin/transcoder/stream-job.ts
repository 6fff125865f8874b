// One broadcast on this transcoder, from the first publish to the end, reconnects inside.
//
//   receiving ──connection ends──► held ──holdMs──► ended
//       ▲──────publish again────────┘
//
// A job has at most one connection (the newest wins) and at most one open take. A take ends with its run of
// media; the next one starts at once, also while the last one still writes its tail: rows are committed in
// the order of takes. When an ffmpeg fails, a new take starts from the last cut, so that nothing that was
// not published yet is lost; when that happens too often the stream is refused.
import type { Clock, Timer } from '../../common/clock.ts'
import type {
  LeaseRelease,
  LeaseRenewal,
  PublishTicket,
  Rendition,
} from '../../common/contract/placement.ts'
import { type Refusal, refusal } from '../../common/contract/refusal.ts'
import type { Logger } from '../../common/log.ts'
import type { ProcessGuard } from '../../common/process-guard.ts'
import type { Ladder } from '../../config/ladder.ts'
import type { ResolvedTranscoderConfig } from '../../config/load.ts'
import { FlvReader } from '../../media/flv/tag-reader.ts'
import type { BroadcastFolder } from '../archive/broadcast-folder.ts'
import type { MpdSettings } from '../packager/dash-manifests.ts'
import { listedRows } from '../packager/hls-manifests.ts'
import { presentationOf } from '../packager/presentation.ts'
import { type SegmentLog, timelineZeroMs } from '../packager/segment-log.ts'
import { CutTracker } from './cut-tracker.ts'
import { InputMeter, type InputTracks } from './input-check.ts'
import { InputReader, type InputSample, type InputStep, runLeadMs } from './input-reader.ts'
import { type LeaseClient, LeaseKeeper } from './lease-keeper.ts'
import type { ReceivedStream } from './rtmp-receiver.ts'
import { Take } from './take.ts'
import { trackParsers } from './track-parsers.ts'
import type { TranscoderMetrics } from './transcoder-metrics.ts'

export interface StreamJobOptions {
  ticket: PublishTicket
  folder: BroadcastFolder
  config: ResolvedTranscoderConfig
  manifest: MpdSettings
  ladder: Ladder
  guard: ProcessGuard
  lease: LeaseClient
  clock: Clock
  log: Logger
  metrics: TranscoderMetrics
  /** All is written and released; the folder may be kept or deleted. */
  onEnded: (job: StreamJob) => void
}

export type EndReason = LeaseRelease['reason'] | 'lease-lost' | 'superseded'

const crashWindowMs = 60_000
const maxCrashes = 3
const tickMs = 250
/** Between two runs on the timeline, so that no time is given twice. */
const runGapSeconds = 0.05

interface Connection {
  nonce: string
  stream: ReceivedStream
  reader: InputReader
  meter: InputMeter
}

export class StreamJob {
  readonly liveId: string
  readonly broadcastId: string
  readonly folder: BroadcastFolder
  readonly #options: StreamJobOptions
  readonly #log: Logger
  readonly #keeper: LeaseKeeper
  readonly #ended = Promise.withResolvers<void>()
  #state: 'receiving' | 'held' | 'ending' | 'ended' = 'held'
  #epoch: number
  #takeNumber: number
  #connection: Connection | undefined
  #tracks: InputTracks | undefined
  #claimedVideoBitsPerSecond = 0
  #take: Take | undefined
  #cuts: CutTracker | undefined
  /** The newest take has committed its rows; takes are chained by it. */
  #lastTakeDone: Promise<void> = Promise.resolve()
  #originSeconds = 0
  #headSeconds = 0
  /** Once keyframes came too far apart the source is encoded for the rest of the connection. */
  #canCopySource = true
  #crashes: number[] = []
  #holdTimer: Timer | undefined
  #tickTimer: Timer | undefined
  #speed: number | undefined

  constructor(options: StreamJobOptions) {
    const { ticket, folder, lease, clock } = options
    this.#options = options
    this.liveId = ticket.liveId
    this.broadcastId = ticket.broadcastId
    this.folder = folder
    this.#epoch = ticket.epoch
    const ownTakes = folder.log.takes.at(-1)?.number ?? 0
    this.#takeNumber = Math.max(ticket.takes, ownTakes)
    this.#headSeconds = folder.log.endSeconds
    this.#log = options.log.child({ liveId: ticket.liveId, broadcastId: ticket.broadcastId })
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

  get epoch(): number {
    return this.#epoch
  }

  get state(): 'receiving' | 'held' | 'ending' | 'ended' {
    return this.#state
  }

  get log(): SegmentLog {
    return this.folder.log
  }

  get speed(): number | undefined {
    return this.#speed
  }

  get ffmpegPid(): number | undefined {
    return this.#take?.pid
  }

  /** Width × height × frames per second over what is being made. */
  get cost(): number {
    const rate = this.#framesPerSecond()
    return (this.#take?.video ?? []).reduce((sum, it) => sum + it.width * it.height * rate, 0)
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
    this.#canCopySource = true
    this.#state = 'receiving'
    const { config, clock, metrics } = this.#options
    const connection: Connection = {
      nonce: ticket.nonce,
      stream,
      reader: new InputReader(config.input, trackParsers, clock.monotonic()),
      meter: new InputMeter(config.input),
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
    if (reason === 'lease-lost') void this.#take?.abort()
    this.#endRun()
    await this.#lastTakeDone
    this.log.end()
    if (reason !== 'lease-lost' && reason !== 'superseded') {
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

  #renditions(): Rendition[] {
    const { video, audio } = presentationOf(
      this.log,
      listedRows(this.log, this.#options.manifest),
      true,
    )
    return [...video, ...(audio ? [audio] : [])].map((it) => ({
      name: it.name,
      width: it.width,
      height: it.height,
      framesPerSecond: it.framesPerSecond,
      bitsPerSecond: Math.round(it.averageBitsPerSecond),
      codecs: it.codec,
      isSource: it.isSource,
    }))
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
          for (const step of connection.reader.push(tag, clock.monotonic())) this.#onStep(step)
          if (connection !== this.#connection) break
        }
        // Not reading on is what slows the publisher down.
        await this.#take?.drained()
      }
    } catch (err) {
      this.#log.debug({ err }, 'media pipe broke')
    }
    metrics.connectionClosed()
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
    const connection = this.#connection
    if (!connection) return
    for (const step of connection.reader.tick(this.#options.clock.monotonic())) this.#onStep(step)
  }

  #onStep(step: InputStep): void {
    const connection = this.#connection
    if (!connection) return
    if (step.kind === 'refused') this.#refuse(step.refusal)
    else if (step.kind === 'run') this.#startRun(step.tracks, step.claimedVideoBitsPerSecond)
    else {
      const { sample } = step
      const refused = connection.meter.add({ ...sample, sizeBytes: sample.payload.length })
      if (refused) this.#refuse(refused)
      else this.#feed(sample)
    }
  }

  #startRun(tracks: InputTracks, claimedVideoBitsPerSecond: number): void {
    const { clock, config, manifest } = this.#options
    this.#endRun()
    this.#tracks = tracks
    this.#claimedVideoBitsPerSecond = claimedVideoBitsPerSecond
    const wallSeconds = (clock.now() - timelineZeroMs(this.log.broadcast)) / 1000
    this.#originSeconds = Math.max(wallSeconds, this.#headSeconds + runGapSeconds)
    this.#connection!.meter = new InputMeter(config.input)
    this.#cuts = new CutTracker({
      segmentSeconds: config.segmentSeconds,
      // EXTINF rounded must not exceed the target duration.
      maxSegmentSeconds: manifest.targetDurationSeconds + 0.4,
    })
    this.#startTake()
    void this.#keeper.renew()
  }

  #endRun(): void {
    void this.#take?.finish()
    this.#take = undefined
    this.#cuts = undefined
  }

  #feed(sample: InputSample): void {
    if (!this.#take || !this.#cuts) return
    this.#headSeconds = Math.max(
      this.#headSeconds,
      this.#originSeconds + (sample.timestampMs - runLeadMs) / 1000,
    )
    const isOverdue = this.#cuts.add(sample) === 'overdue'
    if (isOverdue && this.#canCopySource && this.#take.video.some((it) => it.isCopied)) {
      this.#log.info('keyframes lie too far apart to copy the source; encoding it')
      this.#canCopySource = false
      this.#restartTake('keyframes')
    } else this.#take.write(sample)
  }

  /** Replaces the open take, from the last cut on. */
  #restartTake(reason: 'keyframes' | 'crashed' | 'stalled' | 'broken'): void {
    this.#options.metrics.restarted(reason)
    void this.#take?.abort()
    this.#startTake()
    for (const sample of this.#cuts!.kept) this.#take!.write(sample)
  }

  #startTake(): void {
    const { folder, config, ladder, guard, clock, metrics } = this.#options
    const number = ++this.#takeNumber
    const startedMs = clock.monotonic()
    const meter = this.#connection!.meter
    const tracks = this.#tracks!
    const take: Take = new Take({
      folder,
      number,
      epoch: this.#epoch,
      tracks,
      ladder,
      canCopySource: this.#canCopySource && tracks.video?.isWidelyPlayable === true,
      // Nothing is measured yet when a run begins.
      sourceBitsPerSecond:
        (tracks.video && meter.videoFacts(tracks.video).bitsPerSecond) ||
        this.#claimedVideoBitsPerSecond,
      originSeconds: this.#originSeconds,
      segmentSeconds: config.segmentSeconds,
      stallMs: config.stallMs,
      ffmpeg: config.ffmpeg,
      guard,
      clock,
      log: this.#log,
      after: this.#lastTakeDone,
      onRow: (row) => {
        metrics.committed(row)
        if (take.rowCount === 1) {
          metrics.firstRow((clock.monotonic() - startedMs) / 1000)
          this.#log.info({ take: number, row: row.number }, 'first segment of a take')
          void this.#keeper.renew()
        }
      },
      onProgress: ({ speed }) => {
        if (take === this.#take) this.#speed = speed
      },
      onFailure: (kind, detail) => this.#onTakeFailure(take, kind, detail),
    })
    this.#take = take
    this.#lastTakeDone = take.done
    this.#log.info(
      { take: number, renditions: take.video.map((it) => it.name) },
      'transcoding starts',
    )
    take.start()
  }

  #onTakeFailure(take: Take, kind: 'crashed' | 'stalled' | 'broken', detail: string): void {
    this.#log.error({ take: take.number, kind, detail }, 'transcoding failed')
    if (take !== this.#take) return
    const nowMs = this.#options.clock.monotonic()
    this.#crashes = [...this.#crashes.filter((at) => nowMs - at < crashWindowMs), nowMs]
    if (this.#crashes.length >= maxCrashes || !this.#connection) {
      this.#refuse(refusal('transcoder-failed'))
      return
    }
    this.#restartTake(kind)
  }

  /** The input is not acceptable, or we failed it: the broadcast ends with a word to the publisher. */
  #refuse(refused: Refusal): void {
    this.#log.warn({ code: refused.code, reason: refused.message }, 'publisher refused')
    this.#options.metrics.refused(refused.code)
    void this.end(refused.code === 'transcoder-failed' ? 'transcoder-failed' : 'refused', refused)
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
