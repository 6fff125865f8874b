// The place of one worker: its thread, the one that takes its place when it dies, and what is asked of it.
import { Worker } from 'node:worker_threads'
import type { Clock, Timer } from '../../common/clock.ts'
import { messageOf, ServiceError } from '../../common/errors.ts'
import type { Logger } from '../../common/log.ts'
import type { FrontDoorAddress } from '../front/front-door.ts'
import type {
  FromWorker,
  Operation,
  SharedFact,
  ToWorker,
  WorkerStart,
  WorkerStats,
} from './messages.ts'

export interface WorkerSlotOptions {
  index: number
  /** With what the next thread starts. */
  start: () => WorkerStart
  clock: Clock
  log: Logger
  onStats(stats: WorkerStats): void
  onFact(fact: SharedFact): void
  /** All but the listeners is there, in this thread. */
  onPrepared(): void
  /** A thread that had been started is no more. */
  onDead(reason: string): void
}

/** `gone`: there is no such thread, or no longer, and nothing that it had; `late`: it has not answered in time. */
export type CallOutcome = { result: unknown } | 'gone' | 'late'

interface Call {
  resolve(outcome: CallOutcome | { error: string }): void
}

const workerFile = new URL('./worker-main.ts', import.meta.url)

export class WorkerSlot {
  readonly index: number
  readonly #options: WorkerSlotOptions
  readonly #log: Logger
  readonly #calls = new Map<number, Call>()
  #thread: Worker | undefined
  #gone: Promise<unknown> = Promise.resolve()
  #lastCall = 0
  #reason: string | undefined
  #prepared = Promise.withResolvers<void>()
  #listening = Promise.withResolvers<FrontDoorAddress>()
  #isPrepared = false
  /** Looks of the watchdog since it last said anything. */
  #silentFor = 0

  constructor(options: WorkerSlotOptions) {
    this.index = options.index
    this.#options = options
    this.#log = options.log.child({ worker: options.index + 1 })
  }

  /** It can have peers. */
  get isPrepared(): boolean {
    return this.#isPrepared
  }

  /** Starts a thread; resolves once it is prepared. */
  async start(): Promise<void> {
    this.#reason = undefined
    this.#silentFor = 0
    this.#prepared = Promise.withResolvers()
    this.#listening = Promise.withResolvers()
    this.#listening.promise.catch(() => {})
    const thread = new Worker(workerFile, {
      name: `edge-${this.index + 1}`,
      workerData: this.#options.start(),
    })
    this.#thread = thread
    thread.on('message', (message: FromWorker) => this.#on(message))
    thread.on('error', (err) => {
      this.#reason = messageOf(err)
      this.#log.error({ err }, 'worker failed')
    })
    this.#gone = new Promise<void>((resolve) => {
      thread.once('exit', (code) => {
        this.#onExit(code)
        resolve()
      })
    })
    await this.#prepared.promise
  }

  /** Opens the ports. */
  listen(ports: FrontDoorAddress | undefined): Promise<FrontDoorAddress> {
    this.post({ kind: 'listen', ports })
    return this.#listening.promise
  }

  post(message: ToWorker): void {
    this.#thread?.postMessage(message)
  }

  /** The port goes with it. */
  postPort(message: Extract<ToWorker, { kind: 'peer' }>): void {
    this.#thread?.postMessage(message, [message.port])
  }

  /** Rejects when the worker answers that it cannot. */
  async call(op: Operation, args: unknown, deadlineMs: number): Promise<CallOutcome> {
    if (!this.#isPrepared) return 'gone'
    const id = ++this.#lastCall
    const { promise, resolve } = Promise.withResolvers<Parameters<Call['resolve']>[0]>()
    this.#calls.set(id, { resolve })
    const timer: Timer = this.#options.clock.setTimeout(() => resolve('late'), deadlineMs)
    this.post({ kind: 'call', id, op, args })
    const outcome = await promise
    timer.cancel()
    this.#calls.delete(id)
    if (typeof outcome !== 'string' && 'error' in outcome) throw new Error(outcome.error)
    return outcome
  }

  /** Called every so often; ends a thread that has not come round since many looks. */
  watch(mostLooks: number): void {
    if (!this.#isPrepared || ++this.#silentFor < mostLooks) return
    this.#reason = 'stuck'
    this.#log.error({ looks: mostLooks }, 'worker is stuck: it is ended')
    void this.terminate()
  }

  /** Resolves when the thread is gone, which it is at once; whatever it was at. */
  async terminate(): Promise<void> {
    await this.#thread?.terminate()
    await this.#gone
  }

  /** The thread ends in order, or after the limit in disorder. */
  async stop(limitMs: number): Promise<void> {
    this.post({ kind: 'stop' })
    const limit = this.#options.clock.setTimeout(() => {
      this.#log.warn('worker did not end in time: it is ended')
      void this.#thread?.terminate()
    }, limitMs)
    await this.#gone
    limit.cancel()
  }

  #on(message: FromWorker): void {
    this.#silentFor = 0
    switch (message.kind) {
      case 'prepared':
        this.#isPrepared = true
        this.#options.onPrepared()
        this.#prepared.resolve()
        return
      case 'listening':
        this.#listening.resolve(message.address)
        return
      case 'failed': {
        const { code = 'worker-failed', message: text } = message
        this.#reason = text
        this.#fail(new ServiceError(text, { code, source: 'internal' }))
        // It has let go of everything.
        void this.#thread?.terminate()
        return
      }
      case 'stats':
        this.#options.onStats(message.stats)
        return
      case 'fact':
        this.#options.onFact(message.fact)
        return
      case 'answer':
        this.#calls.get(message.id)?.resolve({ result: message.result })
        return
      case 'no-answer':
        this.#calls.get(message.id)?.resolve({ error: message.error })
    }
  }

  #onExit(code: number): void {
    this.#thread = undefined
    this.#isPrepared = false
    const reason = this.#reason ?? `exit code ${code}`
    for (const call of this.#calls.values()) call.resolve('gone')
    this.#fail(
      new ServiceError(`A worker has ended: ${reason}`, {
        code: 'worker-failed',
        source: 'internal',
      }),
    )
    this.#options.onDead(reason)
  }

  #fail(err: Error): void {
    this.#prepared.reject(err)
    this.#listening.reject(err)
  }
}
