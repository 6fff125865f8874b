// A histogram of seconds in plain numbers: what is observed often costs an addition or two, and is put into the words of
// Prometheus on a scrape.
import type { FoldedHistogram } from '../metrics.ts'

export class WaitTimes {
  readonly bounds: readonly number[]
  /** Per row: one number for each bound, and one for what is above all. */
  readonly #counts: Float64Array
  readonly #sums: Float64Array
  readonly #width: number

  constructor(rows: number, bounds: readonly number[]) {
    this.bounds = bounds
    this.#width = bounds.length + 1
    this.#counts = new Float64Array(rows * this.#width)
    this.#sums = new Float64Array(rows)
  }

  observe(row: number, seconds: number): void {
    let bucket = 0
    while (bucket < this.bounds.length && seconds > this.bounds[bucket]!) bucket++
    this.#counts[row * this.#width + bucket]!++
    this.#sums[row]! += seconds
  }

  /** How many were observed. */
  count(row: number): number {
    return this.#slice(row).reduce((sum, count) => sum + count, 0)
  }

  /** `atOnce`: observations of nothing, that nobody has taken the time to tell. */
  row(row: number, atOnce: number): FoldedHistogram {
    let sum = atOnce
    const cumulative = Array.from(this.#slice(row), (count) => {
      sum += count
      return sum
    })
    return { upTo: cumulative.slice(0, -1), sum: this.#sums[row]!, count: sum }
  }

  #slice(row: number): Float64Array {
    return this.#counts.subarray(row * this.#width, (row + 1) * this.#width)
  }
}
