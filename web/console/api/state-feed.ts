// Keeps the cluster's state current: one event stream, read by fetch because EventSource sends no bearer;
// while that cannot be had, plain questions every few seconds.
import { type Clock, delay, type Timer } from '../../../common/clock.ts'
import { EventStreamParser } from '../../../common/cluster/event-stream.ts'
import { Store } from '../../common/store.ts'
import { ApiError } from './client.ts'
import type { ClusterState } from './shapes.ts'

export type Connection = 'connecting' | 'live' | 'polling' | 'lost'

export interface FeedView {
  connection: Connection
  state: ClusterState | null
}

export interface StateFeedOptions {
  clock: Clock
  /** Opens the event stream; rejects with an ApiError where there is none. */
  open(signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>
  /** The same state by plain requests. */
  ask(): Promise<ClusterState>
  onSignedOut(): void
}

/** The server sends a comment every 5 s; so long without one, the line is dead. */
const silenceMs = 16_000
const firstRetryMs = 1_000
const longestRetryMs = 15_000
/** Failed openings after which questions stand in for the stream. */
const failuresToPoll = 2

export class StateFeed {
  readonly view = new Store<FeedView>({ connection: 'connecting', state: null })
  readonly #options: StateFeedOptions
  readonly #stop = new AbortController()

  constructor(options: StateFeedOptions) {
    this.#options = options
  }

  stop(): void {
    this.#stop.abort()
  }

  /** Runs until stopped. */
  async run(): Promise<void> {
    const { clock, onSignedOut } = this.#options
    let failures = 0
    while (!this.#stop.signal.aborted) {
      const outcome = await this.#follow()
      if (this.#stop.signal.aborted) return
      if (outcome === 'signed-out') return onSignedOut()
      failures = outcome === 'had-state' ? 0 : failures + 1
      if (failures >= failuresToPoll) {
        if ((await this.#poll()) === 'signed-out') return onSignedOut()
      } else {
        this.#show('connecting')
      }
      const pause = Math.min(longestRetryMs, firstRetryMs * 2 ** Math.max(0, failures - 1))
      await delay(clock, pause, this.#stop.signal)
    }
  }

  async #follow(): Promise<'had-state' | 'nothing' | 'signed-out'> {
    const { clock, open } = this.#options
    const line = new AbortController()
    const signal = AbortSignal.any([line.signal, this.#stop.signal])
    let watchdog: Timer | undefined
    const heard = () => {
      watchdog?.cancel()
      watchdog = clock.setTimeout(() => line.abort(), silenceMs)
    }
    let hadState = false
    try {
      heard()
      const parser = new EventStreamParser()
      for await (const piece of await open(signal)) {
        heard()
        const events = parser.push(piece)
        if (!events) throw new RangeError('an event without end')
        for (const { event, data } of events) {
          if (event !== 'state') continue
          this.view.set({ connection: 'live', state: JSON.parse(data) as ClusterState })
          hadState = true
        }
      }
    } catch (err) {
      if (err instanceof ApiError && err.status === 401) return 'signed-out'
    } finally {
      watchdog?.cancel()
    }
    return hadState ? 'had-state' : 'nothing'
  }

  async #poll(): Promise<'asked' | 'signed-out'> {
    try {
      const state = await this.#options.ask()
      if (!this.#stop.signal.aborted) this.view.set({ connection: 'polling', state })
    } catch (err) {
      if (err instanceof ApiError && err.status === 401) return 'signed-out'
      this.#show('lost')
    }
    return 'asked'
  }

  #show(connection: Connection): void {
    this.view.update((view) => ({ ...view, connection }))
  }
}
