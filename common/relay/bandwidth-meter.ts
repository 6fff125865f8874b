// How fast bytes arrive: the median and the lowest second, and how often they stood still.
import type { Clock } from '../clock.ts'
import type { BandwidthMeasure } from '../contract/bandwidth-test.ts'

const secondMs = 1_000
const stallMs = 500

export class BandwidthMeter {
  readonly #clock: Clock
  /** Bytes of each second since the first byte. */
  readonly #seconds: number[] = []
  #startedAt: number | undefined
  #lastAt = 0
  #bytes = 0
  #stalls = 0
  #longestStallMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  count(bytes: number): void {
    const now = this.#clock.monotonic()
    if (this.#startedAt === undefined) this.#startedAt = now
    else this.#pass(now - this.#lastAt)
    this.#lastAt = now
    this.#bytes += bytes
    const second = Math.floor((now - this.#startedAt) / secondMs)
    while (this.#seconds.length <= second) this.#seconds.push(0)
    this.#seconds[second]! += bytes
  }

  /** Until now: a silence at the end counts too. */
  end(): BandwidthMeasure {
    const now = this.#clock.monotonic()
    const startedAt = this.#startedAt ?? now
    if (this.#startedAt !== undefined) this.#pass(now - this.#lastAt)
    const whole = Math.floor((now - startedAt) / secondMs)
    const rates = Array.from({ length: whole }, (_, second) => 8 * (this.#seconds[second] ?? 0))
    rates.sort((a, b) => a - b)
    return {
      durationMs: Math.round(now - startedAt),
      bytes: this.#bytes,
      medianBitsPerSecond: whole === 0 ? null : medianOf(rates),
      lowestBitsPerSecond: rates[0] ?? null,
      stalls: this.#stalls,
      longestStallMs: Math.round(this.#longestStallMs),
    }
  }

  #pass(silentMs: number): void {
    if (silentMs < stallMs) return
    this.#stalls++
    this.#longestStallMs = Math.max(this.#longestStallMs, silentMs)
  }
}

function medianOf(sorted: readonly number[]): number {
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
