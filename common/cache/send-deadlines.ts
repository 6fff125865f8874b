// Lets go of whoever takes what was written more slowly than the minimum rate: one sweep for all writes that have not
// been taken, and no timer for each.
import type { Clock, Timer } from '../clock.ts'

export interface Sender {
  /** What was written has not been taken in time. */
  overdue(): void
}

/** For each write before the rate counts, and the least rate then. */
const graceMs = 10_000
const minBytesPerSecond = 16 * 1024
const sweepEveryMs = 1_000

export class SendDeadlines implements Disposable {
  readonly #clock: Clock
  readonly #deadlines = new Map<Sender, number>()
  #sweeps: Timer | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** So many bytes have been written and are yet to be taken, in place of what was before. */
  wrote(sender: Sender, bytes: number): void {
    const allowedMs = graceMs + (bytes / minBytesPerSecond) * 1_000
    this.#deadlines.set(sender, this.#clock.monotonic() + allowedMs)
    this.#sweeps ??= this.#clock.setInterval(() => this.#sweep(), sweepEveryMs)
  }

  /** Or it is gone. */
  taken(sender: Sender): void {
    this.#deadlines.delete(sender)
  }

  [Symbol.dispose](): void {
    this.#stop()
    this.#deadlines.clear()
  }

  /** Ends only here: answers come and go far more often. */
  #sweep(): void {
    const now = this.#clock.monotonic()
    for (const [sender, deadline] of this.#deadlines) {
      if (deadline > now) continue
      this.#deadlines.delete(sender)
      sender.overdue()
    }
    if (this.#deadlines.size === 0) this.#stop()
  }

  #stop(): void {
    this.#sweeps?.cancel()
    this.#sweeps = undefined
  }
}
