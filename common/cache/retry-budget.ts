// How much may be asked of origins in addition to what has to be: a tenth of it, so that origins which are slow or
// failing are not given more to do for that. A bucket of tokens; a little runs in by the clock, for a node with few
// requests.
import type { Clock } from '../clock.ts'

// In tenths of a request, which add up without rounding.
const perRequest = 1
const perSecond = 1
const cost = 10
const most = 10 * cost

export class RetryBudget {
  readonly #clock: Clock
  #tokens = most
  #filledAt: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#filledAt = clock.monotonic()
  }

  /** With each request that has to be made. */
  earn(): void {
    this.#fill(perRequest)
  }

  /** True where one more may be made. */
  take(): boolean {
    this.#fill(0)
    if (this.#tokens < cost) return false
    this.#tokens -= cost
    return true
  }

  #fill(tokens: number): void {
    const now = this.#clock.monotonic()
    const byClock = ((now - this.#filledAt) / 1000) * perSecond
    this.#filledAt = now
    this.#tokens = Math.min(most, this.#tokens + tokens + byClock)
  }
}
