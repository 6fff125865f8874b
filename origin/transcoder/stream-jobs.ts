// All broadcasts on this transcoder: decides about each publish, hands streams to their jobs, keeps or deletes
// what a broadcast leaves behind.
import type { Clock, Timer } from '../../common/clock.ts'
import type { ClusterAuth } from '../../common/cluster/cluster-auth.ts'
import type { PublishTicket } from '../../common/contract/placement.ts'
import { type Refusal, refusal } from '../../common/contract/refusal.ts'
import type { ResumePoint } from '../../common/contract/resume-point.ts'
import { messageOf } from '../../common/errors.ts'
import type { LiveBroadcast } from '../../common/live/live-broadcast.ts'
import { SegmentLog } from '../../common/live/segment-log.ts'
import type { Logger } from '../../common/log.ts'
import { LogBudget } from '../../common/log-budget.ts'
import type { ProcessGuard } from '../../common/process-guard.ts'
import { maxReplaced } from '../../common/takeover.ts'
import type { Ladder } from '../../config/ladder.ts'
import type { ResolvedTranscoderConfig } from '../../config/load.ts'
import { BroadcastFolder } from '../archive/broadcast-folder.ts'
import type { RecordingStore } from '../archive/recording-store.ts'
import type { LeaseClient } from './lease-keeper.ts'
import type { LeaseReports } from './lease-reports.ts'
import { Quarantine } from './quarantine.ts'
import type { ResumeDesk } from './resume-desk.ts'
import type { PublishAttempt, ReceivedStream } from './rtmp-receiver.ts'
import type { StandingBroadcast } from './stand-in.ts'
import { StreamJob } from './stream-job.ts'
import type { TranscoderMetrics } from './transcoder-metrics.ts'

export interface StreamJobsOptions {
  nodeId: string
  /** Changes with every start of the process; a ticket for another one is void. */
  instance: string
  config: ResolvedTranscoderConfig
  mediaFolder: string
  /** As it stands when a broadcast begins. */
  ladder: () => Ladder
  guard: ProcessGuard
  auth: ClusterAuth
  lease: LeaseClient & Pick<LeaseReports, 'isOver'>
  resumes: Pick<ResumeDesk, 'take'>
  recordings: RecordingStore
  clock: Clock
  log: Logger
  metrics: TranscoderMetrics
  isDraining: () => boolean
  /** Ends all waits for a broadcast that goes on elsewhere. */
  letGo: (broadcast: LiveBroadcast) => void
}

/** After the end players still fetch the last window, and the end itself. */
const afterglowMs = 60_000
/** A publish that was let in and never sent media. */
const admissionMs = 30_000
/** By far longer than a ticket is valid, whatever the clocks of two machines say. */
const longestTicketLifeMs = 180_000
const maxLetIn = 10_000

/** That of the broadcast that runs, and one that may take its place. */
const maxEpochs = 2

interface LetIn {
  epoch: number
  connections: readonly string[]
}

interface Admission {
  ticket: PublishTicket
  timer: Timer
}

interface Finished {
  job: StreamJob
  timer: Timer | undefined
}

export class StreamJobs implements AsyncDisposable {
  readonly #options: StreamJobsOptions
  readonly #jobs = new Map<string, StreamJob>()
  /** Broadcasts that ended a moment ago, by live id. */
  readonly #finished = new Map<string, Finished>()
  /** By live id, who was let in under its newest epochs; all with the newest at the end. */
  readonly #letIn = new Map<string, readonly LetIn[]>()
  readonly #admitted = new Map<string, Admission>()
  readonly #usedTickets = new Map<string, Timer>()
  readonly #opening = new Map<string, Promise<StreamJob>>()
  readonly #settling = new Set<Promise<void>>()
  /** Jobs that are over, until the coordinator was told. */
  readonly #leaving = new Set<StreamJob>()
  readonly #refusalLines: LogBudget
  readonly #quarantine: Quarantine
  #isEnding = false

  constructor(options: StreamJobsOptions) {
    this.#options = options
    this.#refusalLines = new LogBudget(options)
    this.#quarantine = new Quarantine(options.clock)
  }

  get jobs(): Iterable<StreamJob> {
    return this.#jobs.values()
  }

  get count(): number {
    return this.#jobs.size
  }

  get cost(): number {
    return [...this.#jobs.values()].reduce((sum, job) => sum + job.cost, 0)
  }

  job(liveId: string): StreamJob | undefined {
    return this.#jobs.get(liveId)
  }

  /** What a publisher of a live id can go on with. */
  standing(liveId: string): StandingBroadcast | undefined {
    const job = this.#jobs.get(liveId)
    if (!job || job.state === 'ending' || job.state === 'ended') return undefined
    const connections = this.#letInUnder(liveId, job.epoch)
    return {
      epoch: job.epoch,
      facts: job.folder.log.broadcast,
      state: job.state === 'held' ? 'held' : 'live',
      connection: connections.at(-1) ?? null,
      before: connections.slice(0, -1),
      takes: job.renewal().takes,
    }
  }

  /** The last that anybody was let in under; 0 where that is not known. */
  lastEpochOf(liveId: string): number {
    return this.#letIn.get(liveId)?.at(-1)?.epoch ?? 0
  }

  /** What is played of a live id now. */
  live(liveId: string): StreamJob | undefined {
    return this.#jobs.get(liveId) ?? this.#finished.get(liveId)?.job
  }

  /** The first gate: `undefined` lets the publish start. */
  async decide(attempt: PublishAttempt): Promise<Refusal | undefined> {
    const refused = await this.#examine(attempt)
    if (refused) {
      this.#options.metrics.refused(refused.code)
      const { address } = attempt
      if (this.#refusalLines.take()) {
        this.#options.log.warn({ address, code: refused.code }, 'publish refused')
      }
    }
    return refused
  }

  async #examine(attempt: PublishAttempt): Promise<Refusal | undefined> {
    const { auth, nodeId, instance, config, clock, isDraining, lease } = this.#options
    const ticket = await auth.verifyTicket(attempt.ticket)
    if (!ticket || ticket.nonce !== attempt.name) {
      return refusal('lease-lost', 'The ticket of this publish is not valid. Connect again.')
    }
    if (ticket.transcoder !== nodeId || ticket.instance !== instance) return refusal('lease-lost')
    if (this.#isEnding || (isDraining() && !this.#goesOn(ticket))) return refusal('maintenance')
    if (this.#quarantine.has(ticket.liveId)) return refusal('input-quarantined')
    if (!this.#use(attempt.ticket)) {
      return refusal('lease-lost', 'The ticket of this publish has been used. Connect again.')
    }
    const job = this.#jobs.get(ticket.liveId)
    if (job && job.epoch > ticket.epoch) return refusal('lease-lost')
    const isOther = job?.epoch === ticket.epoch && job.broadcastId !== ticket.broadcastId
    if (isOther && job.state !== 'ending') return refusal('lease-lost')
    if (lease.isOver(ticket.liveId, ticket.epoch)) return refusal('lease-lost')
    if (!job && this.#jobs.size >= config.maxStreams) return refusal('no-transcoder')
    // One answer before Start, so that a fenced-off node never begins. An error is no answer: with the
    // coordinator away the signed ticket stands.
    const answer = await lease.renewLease(ticket.liveId, {
      ...(job?.renewal() ?? { takes: ticket.takes, cost: 0, video: null, audio: null }),
      epoch: ticket.epoch,
      instance,
      broadcastId: ticket.broadcastId,
      nonce: ticket.nonce,
      state: 'live',
      renditions: job?.renewal().renditions ?? [],
    })
    if (answer.outcome !== 'error' && answer.refused) return answer.refused
    if (answer.outcome === 'lost') return refusal('lease-lost')
    if (answer.outcome === 'held' && answer.stop) return refusal('broadcast-stopped')
    this.#noteLetIn(ticket)
    const { pipe } = attempt
    const timer = clock.setTimeout(() => this.#admitted.delete(pipe), admissionMs)
    this.#admitted.set(pipe, { ticket, timer })
    return undefined
  }

  #noteLetIn({ liveId, epoch, connection }: PublishTicket): void {
    const others = this.#letInUnder(liveId, epoch).filter((it) => it !== connection)
    const own = { epoch, connections: [...others, connection].slice(-maxReplaced) }
    const epochs = [...(this.#letIn.get(liveId) ?? []).filter((it) => it.epoch !== epoch), own]
    this.#letIn.delete(liveId)
    this.#letIn.set(liveId, epochs.sort((a, b) => a.epoch - b.epoch).slice(-maxEpochs))
    if (this.#letIn.size > maxLetIn) this.#letIn.delete(this.#letIn.keys().next().value!)
  }

  #letInUnder(liveId: string, epoch: number): readonly string[] {
    return this.#letIn.get(liveId)?.find((it) => it.epoch === epoch)?.connections ?? []
  }

  /** A draining node gets nothing new, and keeps what nobody else can take. */
  #goesOn({ liveId, epoch }: PublishTicket): boolean {
    const job = this.#jobs.get(liveId)
    return job?.epoch === epoch && (job.state === 'receiving' || job.state === 'held')
  }

  /** False: it has opened a publish before. Whoever overhears a ticket can do nothing with it. */
  #use(ticket: string): boolean {
    // Without the signature: of that, several spellings are the same.
    const signed = ticket.slice(0, ticket.lastIndexOf('.'))
    if (this.#usedTickets.has(signed)) return false
    const { clock } = this.#options
    const timer = clock.setTimeout(() => this.#usedTickets.delete(signed), longestTicketLifeMs)
    this.#usedTickets.set(signed, timer)
    return true
  }

  /** The media of a publish that was let in. */
  onStream(stream: ReceivedStream): void {
    const admission = this.#admitted.get(stream.pipe)
    if (!admission || this.#isEnding) {
      stream.drop()
      return
    }
    admission.timer.cancel()
    this.#admitted.delete(stream.pipe)
    const { ticket } = admission
    this.#jobFor(ticket).then(
      (job) => {
        job.attach(stream, ticket)
      },
      (err) => {
        this.#options.log.error({ err, liveId: ticket.liveId }, 'the broadcast cannot be opened')
        stream.refuse(refusal('transcoder-failed', `The transcoder failed: ${messageOf(err)}`))
      },
    )
  }

  /** Ends all broadcasts: the node is stopping. */
  async endAll(): Promise<void> {
    this.#isEnding = true
    await Promise.all([...this.#jobs.values()].map((job) => job.end('transcoder-stopping')))
    await Promise.all([...this.#leaving].map((job) => job.ended))
    await Promise.all(this.#settling)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.endAll()
    for (const { timer } of this.#admitted.values()) timer.cancel()
    this.#admitted.clear()
    for (const timer of this.#usedTickets.values()) timer.cancel()
    this.#usedTickets.clear()
    for (const liveId of [...this.#finished.keys()]) this.#forget(liveId)
    this.#quarantine[Symbol.dispose]()
  }

  /** Publishes of one live id open its job one after another. */
  async #jobFor(ticket: PublishTicket): Promise<StreamJob> {
    const opening = (this.#opening.get(ticket.liveId) ?? Promise.resolve())
      .catch(() => {})
      .then(() => this.#openJob(ticket))
    this.#opening.set(ticket.liveId, opening)
    try {
      return await opening
    } finally {
      if (this.#opening.get(ticket.liveId) === opening) this.#opening.delete(ticket.liveId)
    }
  }

  async #openJob(ticket: PublishTicket): Promise<StreamJob> {
    const current = this.#jobs.get(ticket.liveId)
    const { resumes } = this.#options
    const left = resumes.take(ticket.liveId, ticket.epoch, ticket.connection)
    if (current) {
      const isSame = current.broadcastId === ticket.broadcastId && current.state !== 'ending'
      if (isSame && !left) return current
      void current.end('superseded')
      await current.written
      await Promise.all(this.#settling)
    }
    const folder = await this.#openFolder(ticket, left)
    this.#forget(ticket.liveId)
    const { config, ladder, letGo, guard, lease, clock, log, metrics } = this.#options
    const job = new StreamJob({
      ...{ ticket, folder, left, config, guard, lease, clock, log, metrics },
      ladder: ladder(),
      letGo,
      onQuarantined: () => this.#quarantine.add(ticket.liveId),
      onEnded: (ended) => this.#settle(ended),
    })
    this.#jobs.set(ticket.liveId, job)
    job.start()
    return job
  }

  async #openFolder(
    ticket: PublishTicket,
    left: ResumePoint | undefined,
  ): Promise<BroadcastFolder> {
    const { recordings, mediaFolder, clock } = this.#options
    const kept = await recordings.resume(ticket.broadcastId)
    if (kept) return kept
    const open = left?.packaging.openTakes?.[0]?.timeline?.cuts[0]?.number
    const elapsedSeconds = Math.ceil((clock.now() - ticket.broadcastStartedAt) / 1000)
    return await BroadcastFolder.create(
      mediaFolder,
      new SegmentLog({
        broadcastId: ticket.broadcastId,
        liveId: ticket.liveId,
        broadcastTag: ticket.broadcastTag,
        startedAtMs: ticket.broadcastStartedAt,
        isRecorded: ticket.record,
        // Segments last at least 0.9 s, but for the last one of a take: this lies above every number
        // that an earlier transcoder has given.
        firstNumber:
          open ??
          (ticket.takes === 0
            ? 1
            : Math.ceil(1.2 * Math.max(0, elapsedSeconds)) + ticket.takes + 1),
        earlierTakes: ticket.takes,
      }),
    )
  }

  #settle(job: StreamJob): void {
    if (this.#jobs.get(job.liveId) === job) this.#jobs.delete(job.liveId)
    this.#leaving.add(job)
    void job.ended.then(() => this.#leaving.delete(job))
    const work = this.#keepOrDelete(job)
      .catch((err) => this.#options.log.error({ err }, 'the recording cannot be kept'))
      .finally(() => this.#settling.delete(work))
    this.#settling.add(work)
  }

  async #keepOrDelete(job: StreamJob): Promise<void> {
    const { liveId, folder } = job
    const { recordings, clock } = this.#options
    this.#forget(liveId)
    // One that goes on elsewhere is not played from here any more.
    if (job.broadcast.isEnded) {
      const timer = clock.setTimeout(() => this.#forget(liveId), afterglowMs)
      this.#finished.set(liveId, { job, timer })
    }
    if (folder.log.rows.length === 0) await folder.delete()
    else if (folder.log.broadcast.isRecorded) {
      await recordings.keep(folder)
      await recordings.reportPending()
    }
  }

  #forget(liveId: string): void {
    this.#finished.get(liveId)?.timer?.cancel()
    this.#finished.delete(liveId)
  }
}
