// Lets the publishers of a node go at a pace that whoever takes them next can bear, each right after a keyframe, so
// that what it has sent before is whole. A keyframe uses up a token, of which so many come a second; whoever shows none
// for long, as sound alone does, uses one up without.
import type { Clock, Timer } from '../clock.ts'

export interface FarewellOptions<Publisher> {
  clock: Clock
  publishers: () => Iterable<Publisher>
  dismiss(publisher: Publisher): void
}

/** Of the publishers that are there when it begins, a second; but one at least. */
const share = 0.05
/** The longest interval of keyframes that encoders use unless told (OBS: 250 frames), and some more. */
const keyframeLimitMs = 10_000

export class Farewell<Publisher> implements Disposable {
  readonly #options: FarewellOptions<Publisher>
  readonly #startedAt: number
  readonly #seenAt = new Map<Publisher, number>()
  readonly #dismissed = new Set<Publisher>()
  readonly #perSecond: number
  readonly #timer: Timer
  #tokens = 1

  constructor(options: FarewellOptions<Publisher>) {
    this.#options = options
    const { clock, publishers } = options
    this.#startedAt = clock.monotonic()
    this.#perSecond = Math.max(1, Math.floor([...publishers()].length * share))
    this.#timer = clock.setInterval(() => this.#tick(), 1_000 / this.#perSecond)
  }

  /** This one has just sent a keyframe. */
  keyframe(publisher: Publisher): void {
    if (this.#dismissed.has(publisher)) return
    this.#seenAt.set(publisher, this.#options.clock.monotonic())
    if (this.#tokens > 0) this.#dismiss(publisher)
  }

  [Symbol.dispose](): void {
    this.#timer.cancel()
  }

  /** Tokens that nobody took are not saved up: a second never sees more than its share. */
  #tick(): void {
    this.#tokens = 1
    const before = this.#options.clock.monotonic() - keyframeLimitMs
    for (const publisher of this.#options.publishers()) {
      if (this.#dismissed.has(publisher)) continue
      if ((this.#seenAt.get(publisher) ?? this.#startedAt) > before) continue
      this.#dismiss(publisher)
      return
    }
  }

  #dismiss(publisher: Publisher): void {
    this.#tokens--
    this.#dismissed.add(publisher)
    this.#seenAt.delete(publisher)
    this.#options.dismiss(publisher)
  }
}
