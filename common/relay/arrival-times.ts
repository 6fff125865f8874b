// When media reached the relay that owns its publisher, also of media that comes in a replay.

/** A shorter age is the way of the media itself. */
const leastAgeMs = 1_000
const caughtUpMs = 500

export class ArrivalTimes {
  #ageMs = 0
  #first: { timestampMs: number; arrivedMs: number; nowMs: number } | undefined

  /** The first message that comes arrived so long ago at the relay before us. */
  startedAgo(ageMs: number): void {
    this.#ageMs = ageMs >= leastAgeMs ? ageMs : 0
    this.#first = undefined
  }

  of(timestampMs: number, nowMs: number): number {
    if (this.#ageMs === 0) return nowMs
    this.#first ??= { timestampMs, arrivedMs: nowMs - this.#ageMs, nowMs }
    const arrivedMs = this.#first.arrivedMs + ((timestampMs - this.#first.timestampMs) | 0)
    // A replay is faster than the media, so it ends within its own age; then its clock tells nothing any more.
    const isOver = nowMs - this.#first.nowMs > this.#ageMs || arrivedMs > nowMs - caughtUpMs
    if (isOver) this.#ageMs = 0
    return isOver ? nowMs : arrivedMs
  }
}
