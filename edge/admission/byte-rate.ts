// Bits per second over windows of ten seconds, so that one large keyframe does no harm.
import type { Clock } from '../../common/clock.ts'

const windowMs = 10_000
/** For as long as this after its window a rate is that of the present. */
export const rateHoldsMs = 2 * windowMs
/** The clock is read once for so many: of what comes slower than that no limit takes notice. */
const lookBytes = 64 * 1024

export class ByteRate {
  readonly #clock: Clock
  #startedAt: number
  #bytes = 0
  #unseenBytes = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#startedAt = clock.monotonic()
  }

  /** The rate of the window that these bytes end, if they end one. */
  add(bytes: number): number | undefined {
    this.#bytes += bytes
    this.#unseenBytes += bytes
    if (this.#unseenBytes < lookBytes) return undefined
    this.#unseenBytes = 0
    const elapsedMs = this.#clock.monotonic() - this.#startedAt
    if (elapsedMs < windowMs) return undefined
    const bitsPerSecond = (this.#bytes * 8_000) / elapsedMs
    this.#startedAt += elapsedMs
    this.#bytes = 0
    return bitsPerSecond
  }
}
