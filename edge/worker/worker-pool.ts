// The workers of an edge, as its main thread sees them: started together, told the same, started anew when one dies.
//
// A worker that dies takes its connections with it and nothing else: the others go on, fill what was its to fill, and
// the kernel gives them the new connections until its successor listens. Many deaths in a short time are no accident:
// then the process gives up, and whoever watches over it decides.
import { randomBytes } from 'node:crypto'
import { MessageChannel } from 'node:worker_threads'
import { type Clock, delay, type Timer } from '../../common/clock.ts'
import type { ClusterSnapshot } from '../../common/contract/membership.ts'
import type { PurgeOutcome } from '../../common/contract/purge.ts'
import { messageOf } from '../../common/errors.ts'
import type { Logger } from '../../common/log.ts'
import type { MetricsJson } from '../../common/metrics.ts'
import { createThreadLock } from '../../common/thread-lock.ts'
import { clearRow, createAdmissionMemory } from '../admission/admission-tables.ts'
import type { CertificatePair } from '../front/certificate-set.ts'
import type { FrontDoorAddress } from '../front/front-door.ts'
import type { Operation, ToWorker, WorkerOperations, WorkerStart, WorkerStats } from './messages.ts'
import type { SeenViewers } from './viewer-reports.ts'
import { WorkerMetrics } from './worker-metrics.ts'
import { type Rates, WorkerRates } from './worker-rates.ts'
import { WorkerSlot } from './worker-slot.ts'

export interface WorkerPoolOptions {
  workers: number
  config: WorkerStart['config']
  logging: WorkerStart['log']
  certificates: CertificatePair[]
  /** The ports are shared, with each other or with another process. */
  reusePort: boolean
  onViewers(seen: SeenViewers): void
  clock: Clock
  log: Logger
}

const lookEveryMs = 1_000
const stuckAfterLooks = 15
const callDeadlineMs = 5_000
/** Publishers may stay for long after a hand-over; their own limit comes first. */
const handOverLimitMs = 2 ** 31 - 1
// Whoever started us ends us 12 s after it has asked us to leave.
const closeLimitMs = 8_000
const stopLimitMs = 2_000
/** So many deaths in so long, of all workers together, end the process. */
const mostDeaths = 5
const deathsWithinMs = 60_000
const firstPauseMs = 100
const longestPauseMs = 5_000

export class WorkerPool implements AsyncDisposable {
  /** Resolves when the workers cannot be kept alive. */
  readonly failed: Promise<Error>
  readonly #options: WorkerPoolOptions
  readonly #slots: WorkerSlot[]
  readonly #metrics = new WorkerMetrics()
  readonly #admission
  readonly #accessLogLock = createThreadLock()
  readonly #ticketKeys = randomBytes(48)
  readonly #viewerSalt = randomBytes(16).toString('hex')
  readonly #stats = new Map<number, WorkerStats>()
  readonly #rates = new WorkerRates()
  /** Of workers that are no more. */
  readonly #past = { bytesIn: 0, bytesOut: 0 }
  readonly #stopping = new AbortController()
  readonly #restarts = new Set<Promise<void>>()
  readonly #giveUp: (err: Error) => void
  #deaths: number[] = []
  #watch: Timer | undefined
  #address: FrontDoorAddress | undefined
  #snapshot: ClusterSnapshot | undefined
  #certificates: CertificatePair[]
  #level: string
  #isDraining = false
  #isHandedOver = false

  constructor(options: WorkerPoolOptions) {
    this.#options = options
    this.#certificates = options.certificates
    this.#level = options.logging.level
    this.#admission = createAdmissionMemory(options.workers, this.#viewerSalt)
    const failed = Promise.withResolvers<Error>()
    this.failed = failed.promise
    this.#giveUp = failed.resolve
    this.#slots = Array.from({ length: options.workers }, (_, index) => this.#slot(index))
  }

  /** Opens all ports at all workers, or none. */
  async start(): Promise<FrontDoorAddress> {
    try {
      await Promise.all(this.#slots.map((slot) => slot.start()))
      const [first, ...others] = this.#slots
      // Where a port is 0 the first one finds out which it is.
      this.#address = await first!.listen(undefined)
      await Promise.all(others.map((slot) => slot.listen(this.#address)))
    } catch (err) {
      await this[Symbol.asyncDispose]()
      throw err
    }
    const { clock } = this.#options
    this.#watch = clock.setInterval(() => {
      for (const slot of this.#slots) slot.watch(stuckAfterLooks)
    }, lookEveryMs)
    return this.#address
  }

  get stats(): Pick<WorkerStats, 'streams' | 'bytesIn' | 'bytesOut'> {
    const sum = { streams: 0, ...this.#past }
    for (const { streams, bytesIn, bytesOut } of this.#stats.values()) {
      sum.streams += streams
      sum.bytesIn += bytesIn
      sum.bytesOut += bytesOut
    }
    return sum
  }

  /** Over the time since the last call. */
  takeRates(): Rates {
    return this.#rates.take()
  }

  setSnapshot(snapshot: ClusterSnapshot): void {
    this.#snapshot = snapshot
    this.#tellAll({ kind: 'snapshot', snapshot })
  }

  setCertificates(pairs: CertificatePair[]): void {
    this.#certificates = pairs
    this.#tellAll({ kind: 'certificates', pairs })
  }

  setLogLevel(level: string): void {
    this.#level = level
    this.#tellAll({ kind: 'log-level', level })
  }

  drain(): void {
    this.#isDraining = true
    this.#tellAll({ kind: 'draining' })
  }

  /** Another process has the ports. */
  async stopListening(): Promise<void> {
    this.#isHandedOver = true
    await this.call('stop-listening', undefined)
  }

  /** After that; resolves when nobody is left, or the limits are over. */
  async handOver(limits: WorkerStart['config']['drain']): Promise<void> {
    await this.call('hand-over', limits, handOverLimitMs)
  }

  /** No new connections; publishers go one by one for a short time. */
  async endSoon(limits: WorkerStart['config']['drain']): Promise<void> {
    await this.call('end-soon', limits, limits.stopLimitMs + callDeadlineMs)
  }

  /** What each worker answers; those that are dead or too late are left out. */
  async call<Op extends Operation>(
    op: Op,
    args: WorkerOperations[Op]['args'],
    deadlineMs = callDeadlineMs,
  ): Promise<WorkerOperations[Op]['result'][]> {
    const answers = await Promise.all(this.#slots.map((slot) => slot.call(op, args, deadlineMs)))
    return answers.flatMap((answer) =>
      typeof answer === 'string' ? [] : [answer.result as WorkerOperations[Op]['result']],
    )
  }

  /** Done where nobody is late: a worker that is gone has taken its objects with it. */
  async purge(prefix: string, deadlineMs = callDeadlineMs): Promise<PurgeOutcome> {
    let purged = 0
    const late: number[] = []
    await Promise.all(
      this.#slots.map(async (slot) => {
        const answer = await slot.call('purge', { prefix }, deadlineMs)
        if (answer === 'late') late.push(slot.index + 1)
        else if (answer !== 'gone') purged += answer.result as number
      }),
    )
    return { purged, late: late.toSorted((a, b) => a - b) }
  }

  /** Of all workers, with what those have counted that are no more. */
  async metrics(): Promise<MetricsJson[]> {
    const answered = new Set<number>()
    await Promise.all(
      this.#slots.map(async (slot) => {
        const answer = await slot.call('metrics', undefined, callDeadlineMs)
        if (typeof answer === 'string') return
        this.#metrics.note(slot.index, answer.result as MetricsJson)
        answered.add(slot.index)
      }),
    )
    return this.#metrics.all(answered)
  }

  /** For tests: ends the thread of a worker at once. */
  async kill(index: number): Promise<void> {
    await this.#slots[index]?.terminate()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort()
    this.#watch?.cancel()
    // While the connections of one end, objects may be on their way to it from another.
    await Promise.all(
      this.#slots.map((slot) => slot.call('close', undefined, closeLimitMs).catch(() => {})),
    )
    await Promise.all(this.#slots.map((slot) => slot.stop(stopLimitMs)))
    await Promise.all(this.#restarts)
  }

  #slot(index: number): WorkerSlot {
    const { clock, config, log, logging, onViewers, reusePort, workers } = this.#options
    return new WorkerSlot({
      index,
      clock,
      log,
      start: () => ({
        index,
        workers,
        config,
        log: { ...logging, level: this.#level },
        certificates: this.#certificates,
        ticketKeys: this.#ticketKeys,
        viewerSalt: this.#viewerSalt,
        admission: this.#admission,
        accessLogLock: this.#accessLogLock,
        reusePort,
        isDraining: this.#isDraining,
      }),
      onPrepared: () => this.#introduce(index),
      onStats: (stats) => {
        this.#stats.set(index, stats)
        this.#rates.note(index, stats)
        onViewers(stats.viewers)
      },
      onFact: (fact) => this.#tellAll({ kind: 'fact', fact }, index),
      onDead: (reason) => this.#onDead(index, reason),
    })
  }

  /** Tells a worker what has changed since it was started, and makes it known to the others. */
  #introduce(index: number): void {
    const slot = this.#slots[index]!
    const snapshot = this.#snapshot
    if (snapshot) slot.post({ kind: 'snapshot', snapshot })
    slot.post({ kind: 'certificates', pairs: this.#certificates })
    slot.post({ kind: 'log-level', level: this.#level })
    if (this.#isDraining) slot.post({ kind: 'draining' })
    for (const other of this.#slots) {
      if (other === slot || !other.isPrepared) continue
      const { port1, port2 } = new MessageChannel()
      slot.postPort({ kind: 'peer', index: other.index, port: port1 })
      other.postPort({ kind: 'peer', index, port: port2 })
    }
  }

  #onDead(index: number, reason: string): void {
    clearRow(this.#admission, index)
    this.#metrics.retire(index)
    const stats = this.#stats.get(index)
    this.#stats.delete(index)
    this.#rates.retire(index)
    this.#past.bytesIn += stats?.bytesIn ?? 0
    this.#past.bytesOut += stats?.bytesOut ?? 0
    if (this.#stopping.signal.aborted) return
    this.#tellAll({ kind: 'peer-gone', index })
    // One that dies before all have started is the start's to report; after a hand-over the ports are another's.
    if (this.#address && !this.#isHandedOver) this.#restart(index, reason)
  }

  #restart(index: number, reason: string): void {
    const { clock, log } = this.#options
    const now = clock.monotonic()
    this.#deaths = [...this.#deaths.filter((at) => at > now - deathsWithinMs), now]
    const deaths = this.#deaths.length
    const facts = { worker: index + 1, reason, deaths }
    if (deaths >= mostDeaths) {
      log.fatal(facts, 'workers die again and again')
      this.#giveUp(new Error(`Workers die again and again, this one: ${reason}`))
      return
    }
    const pauseMs = Math.min(longestPauseMs, firstPauseMs * 2 ** (deaths - 1))
    log.error({ ...facts, pauseMs }, 'a worker died with its connections; it is started anew')
    const restart = this.#startAgain(index, pauseMs).catch((err) => {
      log.error({ worker: index + 1, detail: messageOf(err) }, 'worker cannot be started anew')
    })
    this.#restarts.add(restart)
    void restart.then(() => this.#restarts.delete(restart))
  }

  /** Where it fails, the thread ends, which is a death like any other. */
  async #startAgain(index: number, pauseMs: number): Promise<void> {
    const { clock, log } = this.#options
    const { signal } = this.#stopping
    await delay(clock, pauseMs, signal)
    if (signal.aborted) return
    const slot = this.#slots[index]!
    if (!this.#isHandedOver) await slot.start()
    if (this.#isHandedOver) {
      // Beside those of the process that has the ports it would take connections that end with this one.
      log.info({ worker: index + 1 }, 'worker not started anew: another process has the ports')
      await slot.terminate()
      return
    }
    await slot.listen(this.#address)
    log.info({ worker: index + 1 }, 'worker started anew')
  }

  #tellAll(message: ToWorker, but?: number): void {
    for (const slot of this.#slots) if (slot.index !== but && slot.isPrepared) slot.post(message)
  }
}
