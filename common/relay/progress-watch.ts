// Notices a next hop that takes no more: media was sent and its progress has stood still for too long.
import type { Clock, Timer } from '../clock.ts'

export class ProgressWatch implements Disposable {
  readonly #clock: Clock
  readonly #limitMs: number
  readonly #onSilent: () => void
  #timer: Timer | undefined
  /** When the oldest media was sent, or the progress came, from which the silence counts. */
  #since: number | undefined
  #sentMs = 0
  #takenMs: number | undefined

  constructor(options: { clock: Clock; limitMs: number; onSilent: () => void }) {
    this.#clock = options.clock
    this.#limitMs = options.limitMs
    this.#onSilent = options.onSilent
  }

  /** A message with this timestamp went out. */
  sent(timestampMs: number): void {
    this.#sentMs = timestampMs
    if (this.#since !== undefined || this.#isAllTaken()) return
    this.#since = this.#clock.monotonic()
    this.#timer ??= this.#clock.setTimeout(() => this.#look(), this.#limitMs)
  }

  taken(timestampMs: number): void {
    if (timestampMs === this.#takenMs) return
    this.#takenMs = timestampMs
    this.#since = this.#isAllTaken() ? undefined : this.#clock.monotonic()
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel()
    this.#since = undefined
  }

  /** Timestamps are modulo 2^32. */
  #isAllTaken(): boolean {
    return this.#takenMs !== undefined && ((this.#sentMs - this.#takenMs) | 0) <= 0
  }

  /** One timer goes on while media does: most looks find that progress has come meanwhile. */
  #look(): void {
    this.#timer = undefined
    if (this.#since === undefined) return
    const leftMs = this.#since + this.#limitMs - this.#clock.monotonic()
    if (leftMs <= 0) this.#onSilent()
    else this.#timer = this.#clock.setTimeout(() => this.#look(), leftMs)
  }
}
