// The highest bitrates seen in one broadcast; they never fall, so that no version takes back what another said, whoever
// makes the broadcast and wherever its home is.
export class PeakRates {
  readonly #peaks = new Map<string, number>()

  /** `told` by whoever had the broadcast before: bits per second by name of rendition. */
  constructor(told: Readonly<Record<string, number>> = {}) {
    this.merge(told)
  }

  raise(name: string, bitsPerSecond: number): number {
    const peak = Math.max(bitsPerSecond, this.#peaks.get(name) ?? 0)
    this.#peaks.set(name, peak)
    return peak
  }

  merge(told: Readonly<Record<string, number>>): void {
    for (const [name, peak] of Object.entries(told)) this.raise(name, peak)
  }

  all(): Record<string, number> {
    return Object.fromEntries(this.#peaks)
  }
}
