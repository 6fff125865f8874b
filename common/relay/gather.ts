// Lets what many publishers send wait for one moment, so that it is read, kept and sent on together: one write each
// instead of one for every message, and a next hop that wakes once for all of them.
//
// The wait grows with their number: the media of one is not late for anybody, and a full node still does no more than a
// thousand of these a second, up to the longest wait.
import type { Clock } from '../clock.ts'

const waitMsOfEach = 1
/** What media may be late by for it: little more than a frame at 30 a second. */
const longestWaitMs = 40

export class Gather {
  readonly #clock: Clock
  #members = 0
  #waiting = new Set<() => void>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** A publisher whose media is going to be gathered, until it is disposed of. */
  join(): Disposable {
    this.#members++
    return { [Symbol.dispose]: () => void this.#members-- }
  }

  /** Calls it with all others once the first that waits has done so long enough; once, however often it is asked. */
  add(callback: () => void): void {
    if (this.#waiting.size === 0) this.#clock.setTimeout(() => this.#release(), this.#waitMs)
    this.#waiting.add(callback)
  }

  get #waitMs(): number {
    return Math.min(longestWaitMs, this.#members * waitMsOfEach)
  }

  #release(): void {
    const waiting = this.#waiting
    this.#waiting = new Set()
    for (const callback of waiting) callback()
  }
}
