// Bits a second of all workers together. Each tells its totals at a time of its own: a rate is over the time between two of
// its tellings, not between two who ask, or a second of traffic would be that of the moment between two beats.
interface Told {
  /** By the clock of its thread. */
  atMs: number
  bytesIn: number
  bytesOut: number
}

export interface Rates {
  bitsInPerSecond: number
  bitsOutPerSecond: number
}

interface Window {
  from: Told
  to: Told
  /** Of the window before, until this one has a length. */
  last: Rates
}

const none: Rates = { bitsInPerSecond: 0, bitsOutPerSecond: 0 }

export class WorkerRates {
  readonly #windows = new Map<number, Window>()

  note(index: number, told: Told): void {
    const window = this.#windows.get(index)
    if (window) window.to = told
    else this.#windows.set(index, { from: told, to: told, last: none })
  }

  /** What it has moved at the moment is nobody's. */
  retire(index: number): void {
    this.#windows.delete(index)
  }

  /** Since the last time, as far as the workers have told. */
  take(): Rates {
    const sum = { ...none }
    for (const window of this.#windows.values()) {
      const rates = ratesOf(window)
      sum.bitsInPerSecond += rates.bitsInPerSecond
      sum.bitsOutPerSecond += rates.bitsOutPerSecond
      window.last = rates
      window.from = window.to
    }
    return sum
  }
}

function ratesOf({ from, to, last }: Window): Rates {
  const seconds = (to.atMs - from.atMs) / 1_000
  if (seconds <= 0) return last
  return {
    bitsInPerSecond: (8 * Math.max(0, to.bytesIn - from.bytesIn)) / seconds,
    bitsOutPerSecond: (8 * Math.max(0, to.bytesOut - from.bytesOut)) / seconds,
  }
}
