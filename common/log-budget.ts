// Lines that strangers can cause are written up to a number per time: a flood fills counters, not disks.
import type { Clock } from './clock.ts'
import type { Logger } from './log.ts'

export interface LogBudgetOptions {
  clock: Clock
  log: Logger
  lines?: number
  perMs?: number
}

export class LogBudget {
  readonly #options: Required<LogBudgetOptions>
  #windowEndsAt = 0
  #written = 0
  #leftOut = 0

  constructor(options: LogBudgetOptions) {
    const { clock, log, lines = 100, perMs = 10_000 } = options
    this.#options = { clock, log, lines, perMs }
  }

  /** True: write your line. False: it has been counted, and the next window begins with how many there were. */
  take(): boolean {
    const { clock, log, lines, perMs } = this.#options
    const now = clock.monotonic()
    if (now >= this.#windowEndsAt) {
      if (this.#leftOut > 0)
        log.warn({ leftOut: this.#leftOut }, 'too many log lines, some left out')
      this.#windowEndsAt = now + perMs
      this.#written = 0
      this.#leftOut = 0
    }
    if (this.#written < lines) {
      this.#written++
      return true
    }
    this.#leftOut++
    return false
  }
}
