// Whole-state push: renders the state soon after something changed and hands the text to all followers.
import type { Clock, Timer } from '../common/clock.ts'
import type { Logger } from '../common/log.ts'

export interface ChangeFeedOptions {
  clock: Clock
  log: Logger
  /** Changes that come within this time are told together. */
  debounceMs: number
  /** The state as JSON text. */
  render: () => Promise<string>
}

export class ChangeFeed implements Disposable {
  readonly #options: ChangeFeedOptions
  /** Followers and whether each still waits for its first text. */
  readonly #followers = new Map<(text: string) => void, { isNew: boolean }>()
  #timer: Timer | undefined
  #dueAt = Number.POSITIVE_INFINITY
  #lastText = ''
  #pushing: Promise<void> | undefined
  #pushAgain = false
  #disposed = false

  constructor(options: ChangeFeedOptions) {
    this.#options = options
  }

  get followers(): number {
    return this.#followers.size
  }

  /** Tells followers within the debounce time, or within a longer one for what is not urgent. */
  touch(withinMs: number = this.#options.debounceMs): void {
    if (this.#disposed) return
    const dueAt = this.#options.clock.monotonic() + withinMs
    if (this.#timer && dueAt >= this.#dueAt) return
    this.#timer?.cancel()
    this.#dueAt = dueAt
    this.#timer = this.#options.clock.setTimeout(() => {
      this.#timer = undefined
      this.#push()
    }, withinMs)
  }

  /** Calls back with the state now and after every change; the answer ends that. */
  follow(follower: (text: string) => void): () => void {
    this.#followers.set(follower, { isNew: true })
    this.#push()
    return () => this.#followers.delete(follower)
  }

  [Symbol.dispose](): void {
    this.#disposed = true
    this.#timer?.cancel()
    this.#followers.clear()
  }

  // One rendering at a time, so that an older state never arrives after a newer one.
  #push(): void {
    this.#pushAgain = true
    this.#pushing ??= this.#pushAll().finally(() => {
      this.#pushing = undefined
    })
  }

  async #pushAll(): Promise<void> {
    while (this.#pushAgain && this.#followers.size > 0 && !this.#disposed) {
      this.#pushAgain = false
      try {
        const text = await this.#options.render()
        const isChanged = text !== this.#lastText
        this.#lastText = text
        for (const [follower, state] of this.#followers) {
          if (!isChanged && !state.isNew) continue
          state.isNew = false
          follower(text)
        }
      } catch (err) {
        if (!this.#disposed) {
          this.#options.log.error({ err }, 'the state could not be told to followers')
        }
      }
    }
  }
}
