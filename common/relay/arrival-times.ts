// Says when messages reached the relay that owns their publisher. One that was kept there and is sent faster than
// real time is dated by its own time, from the first message on; one that comes live has arrived now.

/** Less is on its way, or waits for a connection to be made: no replay. */
const shortestReplayMs = 1_000
/** So near to now the replay is over. */
const caughtUpMs = 500
/** A longer step back is another timeline, which begins where the one before it ends. */
const maxStepBackMs = 500

/** All times are monotonic, but for those of the publisher. */
export class ArrivalTimes {
  /** When the next message arrived, had it the time of the one before; undefined when messages come live. */
  #datedMs: number | undefined
  #timestampMs: number | undefined
  /** By then the replay is over, from its first message on: it is faster than the media. */
  #untilMs: number | undefined
  #ageMs = 0

  /** The first message that comes reached its relay then, where that was not just now. */
  startedAt(firstReachedMs: number, nowMs: number): void {
    this.#ageMs = nowMs - firstReachedMs
    this.#datedMs = this.#ageMs >= shortestReplayMs ? firstReachedMs : undefined
    this.#timestampMs = undefined
    this.#untilMs = undefined
  }

  of(timestampMs: number, nowMs: number): number {
    if (this.#datedMs === undefined) return nowMs
    // Modulo 2^32, the shorter way round.
    const stepMs = (timestampMs - (this.#timestampMs ?? timestampMs)) | 0
    this.#timestampMs = timestampMs
    this.#untilMs ??= nowMs + this.#ageMs
    this.#datedMs += stepMs < -maxStepBackMs ? 0 : stepMs
    const datedMs = this.#datedMs
    if (nowMs - datedMs > caughtUpMs && nowMs <= this.#untilMs) return datedMs
    this.#datedMs = undefined
    return nowMs
  }
}
