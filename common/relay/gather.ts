// Lets what many publishers send wait for one moment together: one write each instead of one for every message, and
// a next hop that wakes once for all of them.
import type { Clock } from '../clock.ts'

/** What media may be late by for it. A frame at 30 a second has left before the next one comes. */
const gatherMs = 20

export class Gather {
  readonly #clock: Clock
  #waiting = new Set<() => void>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Calls `send` 20 ms after the first that waits has come; once, however often it is asked until then. */
  add(send: () => void): void {
    if (this.#waiting.size === 0) this.#clock.setTimeout(() => this.#send(), gatherMs)
    this.#waiting.add(send)
  }

  #send(): void {
    const waiting = this.#waiting
    this.#waiting = new Set()
    for (const send of waiting) send()
  }
}
