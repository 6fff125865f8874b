// Slows down whoever tries stream keys, then bans the address: from half of the failures allowed in a minute
// on each answer comes a second later than the one before, and at the last of them the ban begins.
//
// An encoder with a wrong key that tries again and again, one try at a time, is slowed so that it stays below
// the ban; many tries at once run into it.

import { BoundedTable } from '../../common/bounded-table.ts'
import type { Clock } from '../../common/clock.ts'

export interface GuessLimits {
  failuresPerMinute: number
  banMs: number
}

const minuteMs = 60_000
const delayStepMs = 1_000
const maxEntries = 10_000

export interface GuessOutcome {
  /** How much later the answer is to be given. */
  delayMs: number
  /** This failure began the ban. */
  isBan: boolean
}

export class GuessGuard {
  readonly #clock: Clock
  readonly #limits: GuessLimits
  /** Times of the failures of the last minute, oldest first. */
  readonly #failures = new BoundedTable<number[]>(maxEntries)
  /** Apart from the failures, so that a flood of new addresses ends no ban early. */
  readonly #bannedUntil = new BoundedTable<number>(maxEntries)

  constructor(clock: Clock, limits: GuessLimits) {
    this.#clock = clock
    this.#limits = limits
  }

  /** Addresses that are banned now. */
  get banned(): number {
    const now = this.#clock.monotonic()
    let count = 0
    for (const until of this.#bannedUntil.values()) if (until > now) count++
    return count
  }

  isBanned(address: string): boolean {
    const until = this.#bannedUntil.get(address)
    if (until === undefined) return false
    if (until > this.#clock.monotonic()) return true
    this.#bannedUntil.delete(address)
    return false
  }

  /** The same address has failed at another thread of this edge. */
  failedElsewhere(address: string): void {
    if (!this.isBanned(address)) this.failed(address)
  }

  failed(address: string): GuessOutcome {
    const { failuresPerMinute, banMs } = this.#limits
    const now = this.#clock.monotonic()
    const recent = (this.#failures.get(address) ?? []).filter((at) => at > now - minuteMs)
    recent.push(now)
    const late = recent.length - Math.ceil(failuresPerMinute / 2)
    const delayMs = Math.max(0, late) * delayStepMs
    const isBan = recent.length >= failuresPerMinute
    if (isBan) {
      this.#failures.delete(address)
      this.#bannedUntil.set(address, now + banMs)
    } else {
      this.#failures.set(address, recent)
    }
    return { delayMs, isBan }
  }
}
