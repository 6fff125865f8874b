// Live ids whose last input ended ffmpeg time and again: for a minute they are refused before they start, so
// that one bad encoder costs a node one attempt a minute.
import type { Clock, Timer } from '../../common/clock.ts'

const quarantineMs = 60_000

export class Quarantine implements Disposable {
  readonly #clock: Clock
  readonly #timers = new Map<string, Timer>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  has(liveId: string): boolean {
    return this.#timers.has(liveId)
  }

  add(liveId: string): void {
    this.#timers.get(liveId)?.cancel()
    const timer = this.#clock.setTimeout(() => this.#timers.delete(liveId), quarantineMs)
    this.#timers.set(liveId, timer)
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers.values()) timer.cancel()
    this.#timers.clear()
  }
}
