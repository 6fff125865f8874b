// Requests that wait for a live broadcast to change. All of one broadcast share one subscription, which stands
// only while somebody waits.
//
// A wait ends when its probe finds something, when its time is over, or when whoever waits leaves or is let go. Probes run
// once for all changes of a turn of the event loop, as soon as the code that made them has returned: a change
// is seen whole, and packaging does not wait for answers to be written.
import type { Clock } from '../clock.ts'
import type { LiveBroadcast } from './live-broadcast.ts'

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

  /** The first thing that `probe` finds, now or after a change. */
  until<Found>(
    probe: () => Found | undefined,
    { ms, signal }: WaitOptions,
  ): Promise<{ found: Found } | 'late' | 'left'> {
    return new Promise((resolve, reject) => {
      // What throws here rejects by itself.
      const found = signal.aborted ? undefined : probe()
      if (signal.aborted || found !== undefined) {
        resolve(found === undefined ? 'left' : { found })
        return
      }
      const settle = (finish: () => void) => {
        this.#remove(attempt)
        timer.cancel()
        signal.removeEventListener('abort', leave)
        finish()
      }
      const leave = () => settle(() => resolve('left'))
      const attempt = () => {
        try {
          const later = probe()
          if (later !== undefined) settle(() => resolve({ found: later }))
        } catch (err) {
          settle(() => reject(err))
        }
      }
      const timer = this.#clock.setTimeout(() => settle(() => resolve('late')), ms)
      signal.addEventListener('abort', leave, { once: true })
      this.#add(attempt, leave)
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
