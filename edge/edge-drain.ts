// How an edge ends what it has begun: unhurried when another process serves in its place, else soon.
import { type Clock, delay } from '../common/clock.ts'
import type { EdgeConfig } from '../config/schema.ts'

export interface EdgeDrainOptions {
  /** Read when a limit is about to begin. */
  limits: () => EdgeConfig['drain']
  viewers: {
    stopListening(): Promise<void>
    announceDrain(): void
    stopAccepting(): void
  }
  publishers: {
    readonly streams: number
    left(): Promise<void>
    letGo(isHurried: boolean): void
  }
  clock: Clock
}

/** Whoever has an open connection, and asks now and then, has asked by then, and been told to use another one. */
const idleViewerMs = 5_000

export class EdgeDrain {
  readonly #options: EdgeDrainOptions
  readonly #hurry = new AbortController()

  constructor(options: EdgeDrainOptions) {
    this.#options = options
  }

  /**
   * Another process has the ports. The listeners go first, and bare: closing them together with the HTTP servers would
   * reset connections that have just come. Resolves when nobody is left, or the limits are over.
   */
  async handedOver(): Promise<void> {
    const { limits, viewers, publishers, clock } = this.#options
    const { signal } = this.#hurry
    const empty = viewers.stopListening()
    viewers.announceDrain()
    const startedAt = clock.monotonic()
    const idle = this.#atMost(empty, idleViewerMs).then(() => viewers.stopAccepting())
    await this.#atMost(publishers.left(), limits().publisherLimitMs)
    if (publishers.streams > 0 && !signal.aborted) {
      publishers.letGo(false)
      await Promise.race([publishers.left(), aborted(signal)])
    }
    await idle
    await this.#atMost(empty, limits().viewerLimitMs - (clock.monotonic() - startedAt))
  }

  /** Nobody has taken over, or is not to be waited for any longer. With nobody connected it is over at once. */
  async stop(): Promise<void> {
    const { limits, viewers, publishers, clock } = this.#options
    this.#hurry.abort()
    void viewers.stopListening()
    viewers.announceDrain()
    if (publishers.streams === 0) return
    publishers.letGo(true)
    const over = new AbortController()
    await Promise.race([publishers.left(), delay(clock, limits().stopLimitMs, over.signal)])
    over.abort()
  }

  async #atMost(done: Promise<void>, ms: number): Promise<void> {
    const over = new AbortController()
    const { signal } = this.#hurry
    await Promise.race([
      done,
      delay(this.#options.clock, Math.max(0, ms), AbortSignal.any([signal, over.signal])),
    ])
    over.abort()
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
