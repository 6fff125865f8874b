// One broadcast on this transcoder, from the first publish to the end, reconnects inside.
//
//   receiving ──pipe ends──► held ──holdMs──► ended
//       ▲─────publish again────┘
//
// A job has at most one connection (the newest wins), whose media goes to `broadcast-media.ts`.
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
import type { ResumePoint } from '../../common/contract/resume-point.ts'
import type { LiveStream } from '../../common/live/live-answers.ts'
import type { LiveBroadcast } from '../../common/live/live-broadcast.ts'
import type { Logger } from '../../common/log.ts'
import type { ProcessGuard } from '../../common/process-guard.ts'
import type { Ladder } from '../../config/ladder.ts'
import type { ResolvedTranscoderConfig } from '../../config/load.ts'
import { FlvReader } from '../../media/flv/tag-reader.ts'
import type { BroadcastFolder } from '../archive/broadcast-folder.ts'
import { BroadcastMedia } from './broadcast-media.ts'
import { type EndReason, refusalOfEnd } from './end-reason.ts'
import type { DatedStep } from './first-run.ts'
import { type LeaseClient, LeaseKeeper } from './lease-keeper.ts'
import { measuredRenditions } from './measured-renditions.ts'
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
  /** All is written; the folder may be kept or deleted. */
  onEnded: (job: StreamJob) => void
}

const tickMs = 250
export class StreamJob implements LiveStream {
  readonly liveId: string
  readonly broadcastId: string
  readonly folder: BroadcastFolder
  readonly #media: BroadcastMedia
  readonly #options: StreamJobOptions
  readonly #log: Logger
  readonly #keeper: LeaseKeeper
  readonly #written = Promise.withResolvers<void>()
  readonly #ended = Promise.withResolvers<void>()
  #state: 'receiving' | 'held' | 'ending' | 'ended' = 'held'
  #epoch: number
  /** Of another transcoder, until a publisher has come. */
  #left: ResumePoint | undefined
  #connection: PublisherConnection | undefined
  /** What waits for the doubt after a standstill to be over. */
  #sure = Promise.withResolvers<void>()
  #holdTimer: Timer | undefined
  #tickTimer: Timer | undefined

  constructor(options: StreamJobOptions) {
    const { ticket, folder, lease, config, ladder, guard, clock, metrics } = options
    this.#options = options
    this.liveId = ticket.liveId
    this.broadcastId = ticket.broadcastId
    this.folder = folder
    this.#epoch = ticket.epoch
    this.#log = options.log.child({ liveId: ticket.liveId, broadcastId: ticket.broadcastId })
    this.#left = options.left
    this.#media = new BroadcastMedia({
      ...{ folder, left: options.left, takes: ticket.takes, epoch: () => this.#epoch },
      ...{ config, ladder, guard, clock, log: this.#log, metrics },
      mayPublish: () => this.mayPublish,
      onNews: () => void this.#keeper.renew(),
      onFailed: () => {
        options.onQuarantined()
        this.#refuse(refusal('input-quarantined'))
      },
    })
    this.#keeper = new LeaseKeeper({
      liveId: ticket.liveId,
      client: lease,
      clock,
      log: this.#log,
      renewal: () => this.renewal(),
      onLost: (epoch, refused) => {
        this.#log.warn({ epoch: this.#epoch, newerEpoch: epoch }, 'lease lost')
        void this.end('lease-lost', refused)
      },
      onStop: (refused) => void this.end('stopped', refused),
      onRefused: (refused) => this.#turnAway(refused),
      onSure: () => this.#onSure(),
    })
  }

  get broadcast(): LiveBroadcast {
    return this.#media.packager
  }

  file(take: string, rendition: string, name: string): string | undefined {
    const logged = this.folder.log.takeNamed(take)
    return logged && join(this.folder.renditionPath(logged, rendition), name)
  }

  /** False where somebody else has the stream, or may have it since this process stood still. */
  get mayPublish(): boolean {
    return !this.#media.isFenced && this.#keeper.isSure()
  }

  /** While a publisher is connected. */
  get progress(): ProgressLine | undefined {
    const connection = this.#connection
    if (!connection?.pipe || !this.#keeper.isSure()) return undefined
    const progress = connection.progress(this.#media.packager.checkpoint())
    const { liveId } = this
    return progress && { connection: connection.name, epoch: this.#epoch, liveId, ...progress }
  }

  get epoch(): number {
    return this.#epoch
  }

  /** Undefined where one run does not hold all that is open: then another transcoder begins a new take. */
  get resumePoint(): ResumePoint | undefined {
    if (this.#left || !this.#media.hasRun || this.#media.hasLeavingRuns) return this.#left
    return this.#connection?.resumePoint(this.#media.packager.checkpoint())
  }

  get state(): 'receiving' | 'held' | 'ending' | 'ended' {
    return this.#state
  }

  /** How far the slowest rung is behind the source. */
  get lagSeconds(): number | undefined {
    return this.#media.lagSeconds
  }

  get ffmpegPid(): number | undefined {
    return this.#media.pid
  }

  /** Width × height × frames per second over what is being made. */
  get cost(): number {
    return this.#media.cost
  }

  /** Resolves when the job is over and all is written, whether or not the coordinator has heard. */
  get written(): Promise<void> {
    return this.#written.promise
  }

  /** Resolves when the lease has been released, too. */
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
    this.#media.endRun()
    this.#epoch = Math.max(this.#epoch, ticket.epoch)
    this.#media.countTakes(ticket.takes)
    const { connection: name } = ticket
    if (this.#left?.connection !== name) this.#left = undefined
    const now = clock.monotonic()
    this.#connection = new PublisherConnection(name, pipe, config.input, now, this.#left)
    return this.#connection
  }

  /** Somebody else has the channel, or may come: the broadcast waits. */
  #turnAway(refused: Refusal): void {
    const connection = this.#connection
    if (!connection?.pipe) return
    const { code, message } = refused
    this.#log.warn({ code, reason: message }, 'publisher turned away')
    this.#options.metrics.refused(code)
    this.#connection = undefined
    connection.pipe.stream.refuse(refused)
    this.#media.endRun()
    this.#state = 'held'
    this.#hold()
    void this.#keeper.renew()
  }

  /** Ends the broadcast; resolves when all is written, and released. */
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
    if (reason === 'lease-lost') {
      this.#media.fence()
      this.#options.letGo(this.broadcast)
    }
    this.#sure.resolve()
    this.#media.endRun()
    await this.#media.tails()
    const isOurs = reason !== 'lease-lost' && reason !== 'superseded'
    // Where the broadcast goes on elsewhere, nobody must hear from us that it is over.
    if (!isOurs || goesOnElsewhere(reason)) this.#options.letGo(this.#media.packager)
    else this.#media.packager.end()
    await this.#media.closeArchive()
    this.#state = 'ended'
    const { lease, ticket, onEnded } = this.#options
    const { instance } = ticket
    const released = isOurs
      ? lease.releaseLease(this.liveId, { epoch: this.#epoch, instance, reason })
      : undefined
    onEnded(this)
    this.#written.resolve()
    await released
    this.#ended.resolve()
  }

  renewal(): LeaseRenewal {
    const { ticket } = this.#options
    const connection = this.#connection?.pipe && this.#connection
    const { packager, takes, tracks } = this.#media
    return {
      ...{ epoch: this.#epoch, instance: ticket.instance, broadcastId: this.broadcastId },
      nonce: connection?.pipe?.nonce ?? null,
      state: connection ? 'live' : 'held',
      takes,
      cost: this.cost,
      video: (connection && tracks?.video && connection.meter.videoFacts(tracks.video)) ?? null,
      audio: (connection && tracks?.audio && connection.meter.audioFacts(tracks.audio)) ?? null,
      renditions: measuredRenditions(packager),
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
      this.#media.endRun()
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
    this.#media.release()
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
    this.#media.fillGaps()
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
      else this.#media.push(sample)
    }
  }

  #startRun(step: DatedStep & { kind: 'run' }): void {
    const left = step.reason === 'resumed' ? this.#left : undefined
    this.#left = undefined
    this.#media.begin(step, this.#connection!, left)
  }

  /** Where the input has ended a run and none has begun, the time that passes is a gap. */
  #endStoppedRun(): void {
    if (this.#connection?.isRunning === false) this.#media.endRun()
  }

  /** The input is not acceptable, or we failed it: the broadcast ends with a word to the publisher. */
  #refuse(refused: Refusal): void {
    this.#log.warn({ code: refused.code, reason: refused.message }, 'publisher refused')
    this.#options.metrics.refused(refused.code)
    void this.end('refused', refused)
  }
}
