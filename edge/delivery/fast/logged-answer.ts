// One answer of the fast road that the access log wants: filled in as it goes, noted once.
import type { CacheOutcome } from '../../../common/cache/cache-status.ts'
import type { Clock } from '../../../common/clock.ts'
import type { AccessLog, Exchange } from '../access-log.ts'

const unanswered = 499

export class LoggedAnswer {
  readonly #accessLog: Pick<AccessLog, 'note'>
  readonly #clock: Clock
  readonly #since: number
  readonly #exchange: Exchange
  #isNoted = false

  constructor(
    accessLog: Pick<AccessLog, 'note'>,
    clock: Clock,
    facts: Pick<Exchange, 'target' | 'agent' | 'address' | 'protocol'>,
  ) {
    this.#accessLog = accessLog
    this.#clock = clock
    this.#since = clock.monotonic()
    this.#exchange = {
      at: clock.now(),
      method: 'GET',
      status: unanswered,
      bytes: 0,
      ms: 0,
      outcome: undefined,
      ...facts,
    }
  }

  begins(status: number, outcome: CacheOutcome): void {
    this.#exchange.status = status
    this.#exchange.outcome = outcome
  }

  sends(bytes: number): void {
    this.#exchange.bytes += bytes
  }

  ends(): void {
    if (this.#isNoted) return
    this.#isNoted = true
    this.#exchange.ms = this.#clock.monotonic() - this.#since
    this.#accessLog.note(this.#exchange)
  }
}
