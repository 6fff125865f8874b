// How fast a distance between two clocks grows, from means over ten seconds, so that the order in which samples
// happen to arrive does not count.

const windowMs = 10_000
const keptWindows = 7
const windowsToJudge = 3

export class ClockTrend {
  readonly #means: number[] = []
  #startMs: number | undefined
  #sum = 0
  #count = 0

  add(atMs: number, distanceMs: number): void {
    this.#startMs ??= atMs
    if (atMs - this.#startMs >= windowMs) {
      this.#means.push(this.#sum / this.#count)
      if (this.#means.length > keptWindows) this.#means.shift()
      this.#startMs += windowMs
      // A track that paused begins anew.
      if (atMs - this.#startMs >= windowMs) this.reset()
      this.#startMs ??= atMs
      this.#sum = 0
      this.#count = 0
    }
    this.#sum += distanceMs
    this.#count++
  }

  reset(): void {
    this.#means.length = 0
    this.#startMs = undefined
    this.#sum = 0
    this.#count = 0
  }

  /** Milliseconds a minute; 0 while there is too little to say. */
  get perMinuteMs(): number {
    const spans = this.#means.length - 1
    if (spans + 1 < windowsToJudge) return 0
    return ((this.#means.at(-1)! - this.#means[0]!) / spans) * (60_000 / windowMs)
  }
}
