// How long origins took to begin their last answers, and from that how long to wait for one before another is asked
// as well: as long as nineteen in twenty do not need.

const window = 64
/** Before so many are known, a guess. */
const fewest = 16
const guessMs = 250
const bounds = { leastMs: 50, mostMs: 1_000 }

export class FirstByteTimes {
  readonly #times: number[] = []
  #next = 0

  observe(ms: number): void {
    this.#times[this.#next] = ms
    this.#next = (this.#next + 1) % window
  }

  get hedgeDelayMs(): number {
    const { length } = this.#times
    if (length < fewest) return guessMs
    const p95 = this.#times.toSorted((a, b) => a - b)[Math.floor(length * 0.95)]!
    return Math.min(bounds.mostMs, Math.max(bounds.leastMs, p95))
  }
}
