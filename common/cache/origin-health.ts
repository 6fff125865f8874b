// Which origins are tried last: those that could not be reached or broke off, and those that several times in a row
// answered with an error or later than another that was asked after them. After a while one request goes there
// again, and the others follow when it was answered.
import type { Clock } from '../clock.ts'

interface HealthRecord {
  /** In a row. */
  strikes: number
  /** Times that it was put last, in a row. */
  failures: number
  /** Monotonic time until which it is tried last. */
  until: number
  /** One request is there to see. */
  isProbed: boolean
}

const strikesToFail = 5
const avoidMs = { first: 2_000, most: 8_000 }
/** For the one that tries it again to be answered, before the next does. */
const probeMs = 1_000

export class OriginHealth {
  readonly #clock: Clock
  readonly #records = new Map<string, HealthRecord>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The order in which to try them. */
  order(origins: readonly string[]): string[] {
    const now = this.#clock.monotonic()
    const good: string[] = []
    const bad: string[] = []
    for (const origin of origins) {
      const record = this.#records.get(origin)
      const isAvoided = record !== undefined && now < record.until
      ;(isAvoided ? bad : good).push(origin)
      if (!record || record.failures === 0 || isAvoided) continue
      record.until = now + probeMs
      record.isProbed = true
    }
    return [...good, ...bad]
  }

  /** It could not be reached, or broke off. */
  failed(origin: string): void {
    const record = this.#recordOf(origin)
    const now = this.#clock.monotonic()
    record.strikes = 0
    // What was under way together fails together, and counts once.
    if (now < record.until && !record.isProbed) return
    const forMs = Math.min(avoidMs.most, avoidMs.first * 2 ** record.failures)
    record.failures++
    record.isProbed = false
    record.until = now + forMs
  }

  /** Another was quicker, or it answered with an error. */
  struck(origin: string): void {
    const record = this.#recordOf(origin)
    record.strikes++
    if (record.strikes >= strikesToFail || record.isProbed) this.failed(origin)
  }

  answered(origin: string): void {
    this.#records.delete(origin)
  }

  #recordOf(origin: string): HealthRecord {
    let record = this.#records.get(origin)
    if (!record) {
      record = { strikes: 0, failures: 0, until: 0, isProbed: false }
      this.#records.set(origin, record)
    }
    return record
  }
}
