// Hears from one next hop how far it has got with the connections that go through it: one HTTP stream for all of
// them, open as long as anybody watches, and opened again whenever it breaks or falls silent.
import { type Clock, delay, type Timer } from '../clock.ts'
import type { Progress, ProgressSource } from '../contract/progress.ts'
import { messageOf } from '../errors.ts'
import type { HttpClient } from '../http-client.ts'
import type { Logger } from '../log.ts'
import { progressPath } from './progress-lines.ts'
import { ProgressReader } from './progress-reader.ts'

export interface ProgressClientOptions {
  /** Base URL of the next hop, without a trailing slash. */
  url: string
  http: HttpClient
  /** A node token. */
  authorize: () => Promise<string>
  clock: Clock
  log: Logger
}

type Listener = (progress: Progress) => void

/** Something is said every 500 ms. */
const silenceMs = 2_000
const retryMs = 250

export class ProgressClient implements ProgressSource, AsyncDisposable {
  readonly #options: ProgressClientOptions
  readonly #listeners = new Map<string, Set<Listener>>()
  #listening: { stop: AbortController; done: Promise<void> } | undefined
  /** Streams that were let go and are not closed yet. */
  readonly #closing = new Set<Promise<void>>()

  constructor(options: ProgressClientOptions) {
    this.#options = options
  }

  watch(connection: string, listener: Listener): Disposable {
    const told: Listener = (progress) => listener(progress)
    const listeners = this.#listeners.get(connection) ?? new Set()
    this.#listeners.set(connection, listeners.add(told))
    if (!this.#listening) {
      const stop = new AbortController()
      this.#listening = { stop, done: this.#run(stop.signal) }
    }
    return {
      [Symbol.dispose]: () => {
        if (!listeners.delete(told) || listeners.size > 0) return
        this.#listeners.delete(connection)
        if (this.#listeners.size === 0) this.#stop()
      },
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listeners.clear()
    this.#stop()
    await Promise.all(this.#closing)
  }

  #stop(): void {
    const listening = this.#listening
    if (!listening) return
    this.#listening = undefined
    listening.stop.abort()
    const closed = listening.done.finally(() => this.#closing.delete(closed))
    this.#closing.add(closed)
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#listen(signal)
      await delay(this.#options.clock, retryMs, signal)
    }
  }

  /** Resolves when the stream is over, whatever the reason. */
  async #listen(signal: AbortSignal): Promise<void> {
    const { url, http, authorize, clock, log } = this.#options
    const silent = new AbortController()
    let timer: Timer | undefined
    const heard = () => {
      timer?.cancel()
      timer = clock.setTimeout(() => silent.abort(), silenceMs)
    }
    heard()
    try {
      const { statusCode, body } = await http.request(url + progressPath, {
        headers: { authorization: `Bearer ${await authorize()}` },
        signal: AbortSignal.any([signal, silent.signal]),
        bodyTimeoutMs: 0,
      })
      if (statusCode !== 200) {
        await body.dump()
        log.debug({ url, statusCode }, 'the next hop tells no progress')
        return
      }
      const reader = new ProgressReader()
      for await (const piece of body) {
        heard()
        if (signal.aborted) return
        for (const { connection, ...progress } of reader.push(piece)) {
          for (const listener of this.#listeners.get(connection) ?? []) listener(progress)
        }
      }
    } catch (err) {
      if (!signal.aborted) log.debug({ url, error: messageOf(err) }, 'progress broke off')
    } finally {
      timer?.cancel()
    }
  }
}
