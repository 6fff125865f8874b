// Requests that wait for a live broadcast to change. All of one broadcast share one subscription, which stands
// only while somebody waits.
//
// A wait ends when its probe finds something, when its time is over, or when whoever waits leaves or is let go. Probes run
// once for all changes of a turn of the event loop, as soon as the code that made them has returned: a change
// is seen whole, and packaging does not wait for answers to be written.
import type { Clock } from '../../common/clock.ts'
import type { LiveBroadcast } from '../packager/live-broadcast.ts'

export interface WaitOptions {
  ms: number
  /** Aborts when nobody waits any more. */
  signal: AbortSignal
}

export class ChangeWaits {
  readonly #broadcast: Pick<LiveBroadcast, 'onChange'>
  readonly #clock: Clock
  /** Probes, and how each of them leaves without having found anything. */
  readonly #waiting = new Map<() => void, () => void>()
  #unsubscribe: (() => void) | undefined
  #isDue = false

  constructor(broadcast: Pick<LiveBroadcast, 'onChange'>, clock: Clock) {
    this.#broadcast = broadcast
    this.#clock = clock
  }

  get count(): number {
    return this.#waiting.size
  }

  /** The first thing that `probe` finds, now or after a change. */
  until<Found>(
    probe: () => Found | undefined,
    { ms, signal }: WaitOptions,
  ): Promise<{ found: Found } | 'late' | 'left'> {
    return new Promise((resolve, reject) => {
      const leave = (end: { found: Found } | 'late' | 'left') => {
        this.#remove(attempt)
        timer?.cancel()
        signal.removeEventListener('abort', onAbort)
        resolve(end)
      }
      const onAbort = () => leave('left')
      const attempt = () => {
        try {
          const found = probe()
          if (found !== undefined) leave({ found })
        } catch (err) {
          leave('left')
          reject(err)
        }
      }
      if (signal.aborted) return resolve('left')
      const found = probe()
      if (found !== undefined) return resolve({ found })
      const timer = this.#clock.setTimeout(() => leave('late'), ms)
      signal.addEventListener('abort', onAbort, { once: true })
      this.#add(attempt, onAbort)
    })
  }

  /** Nothing will change here any more: all that wait leave. */
  letGo(): void {
    for (const leave of [...this.#waiting.values()]) leave()
  }

  #add(probe: () => void, leave: () => void): void {
    this.#waiting.set(probe, leave)
    this.#unsubscribe ??= this.#broadcast.onChange(() => {
      if (this.#isDue) return
      this.#isDue = true
      queueMicrotask(() => {
        this.#isDue = false
        for (const attempt of [...this.#waiting.keys()]) attempt()
      })
    })
  }

  #remove(probe: () => void): void {
    this.#waiting.delete(probe)
    if (this.#waiting.size > 0) return
    this.#unsubscribe?.()
    this.#unsubscribe = undefined
  }
}
