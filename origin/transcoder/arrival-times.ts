// Says when messages reached the relay that owns their publisher. One that was kept there and is sent faster than
// real time is dated by its own time, from the first message on; one that comes live has arrived now.

/** Less is on its way, or waits for a connection to be made: no replay. */
const shortestReplayMs = 1_000
/** So near to now the replay is over. */
const caughtUpMs = 500
/** A longer step back is another timeline, which begins where the one before it ends. */
const maxStepBackMs = 500

export class ArrivalTimes {
  /** When the next message arrived, had it the time of the one before; undefined when messages come live. */
  #datedMs: number | undefined
  #timestampMs: number | undefined

  /** Monotonic, as are all times here: when the first message reached its relay, where it was not just now. */
  constructor(firstReachedMs: number | undefined, nowMs: number) {
    if (firstReachedMs !== undefined && nowMs - firstReachedMs >= shortestReplayMs) {
      this.#datedMs = firstReachedMs
    }
  }

  of(timestampMs: number, nowMs: number): number {
    if (this.#datedMs === undefined) return nowMs
    // Modulo 2^32, the shorter way round.
    const stepMs = (timestampMs - (this.#timestampMs ?? timestampMs)) | 0
    this.#timestampMs = timestampMs
    this.#datedMs += stepMs < -maxStepBackMs ? 0 : stepMs
    const datedMs = this.#datedMs
    if (nowMs - datedMs > caughtUpMs) return datedMs
    this.#datedMs = undefined
    return nowMs
  }
}
