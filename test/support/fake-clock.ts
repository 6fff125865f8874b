// A clock that stands still until a test turns it.
import type { Clock, Timer } from '../../common/clock.ts'

interface Entry {
  at: number
  order: number
  every: number | undefined
  callback: () => void
}

export class FakeClock implements Clock {
  #elapsed = 0
  #order = 0
  #wallOffset: number
  readonly #entries = new Set<Entry>()

  constructor(startWallMs = Date.UTC(2026, 0, 1)) {
    this.#wallOffset = startWallMs
  }

  now(): number {
    return this.#wallOffset + this.#elapsed
  }

  monotonic(): number {
    return this.#elapsed
  }

  setTimeout(callback: () => void, ms: number): Timer {
    return this.#add(callback, ms, undefined)
  }

  setInterval(callback: () => void, ms: number): Timer {
    return this.#add(callback, ms, Math.max(1, ms))
  }

  /** Steps wall time alone, as an operator or NTP would. */
  stepWall(ms: number): void {
    this.#wallOffset += ms
  }

  /** Timers that nobody has cancelled and that are still to run. */
  get pending(): number {
    return this.#entries.size
  }

  /** Turns time forward, running what falls due in order, and lets promises settle between steps. */
  async advance(ms: number): Promise<void> {
    const end = this.#elapsed + ms
    for (;;) {
      await settle()
      const next = this.#nextDue(end)
      if (!next) break
      this.#elapsed = Math.max(this.#elapsed, next.at)
      if (next.every === undefined) this.#entries.delete(next)
      else next.at += next.every
      next.callback()
    }
    this.#elapsed = end
    await settle()
  }

  /** As for a process that is frozen: what fell due meanwhile runs once, late. */
  async standStill(ms: number): Promise<void> {
    this.#elapsed += ms
    for (const entry of this.#entries) entry.at = Math.max(entry.at, this.#elapsed)
    await this.advance(0)
  }

  #nextDue(end: number): Entry | undefined {
    let first: Entry | undefined
    for (const entry of this.#entries) {
      if (entry.at > end) continue
      if (!first || entry.at < first.at || (entry.at === first.at && entry.order < first.order)) {
        first = entry
      }
    }
    return first
  }

  #add(callback: () => void, ms: number, every: number | undefined): Timer {
    const entry = { at: this.#elapsed + Math.max(0, ms), order: this.#order++, every, callback }
    this.#entries.add(entry)
    return { cancel: () => this.#entries.delete(entry) }
  }
}

/** Lets everything that is already resolved run: microtasks and one turn of the event loop. */
export async function settle(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve))
}

/** Turns the clock, by a second at most, until the promise settles: for pauses that begin when real I/O has failed. */
export async function turnFor<T>(clock: FakeClock, promise: Promise<T>): Promise<T> {
  let isSettled = false
  const settles = () => {
    isSettled = true
  }
  promise.then(settles, settles)
  for (let turned = 0; !isSettled; ) {
    const ms = turned < 1_000 ? 25 : 0
    await clock.advance(ms)
    turned += ms
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return promise
}
