// Whose turn it is to replay: so many at a time, in the order of asking, so that a lost node's publishers do not
// all fall upon the next one at once.

export class CatchUpTurns {
  readonly #places: number
  readonly #waiting: (() => void)[] = []
  #taken = 0

  constructor(places: number) {
    this.#places = places
  }

  /** True when whoever asks now would have to wait: several have lost their next hop together. */
  get isCrowded(): boolean {
    return this.#taken >= this.#places
  }

  /** Resolves with the turn, to be disposed of, or with undefined once the signal aborts. */
  take(signal: AbortSignal): Promise<Disposable | undefined> {
    const { promise, resolve } = Promise.withResolvers<Disposable | undefined>()
    const enter = () => {
      signal.removeEventListener('abort', leave)
      this.#taken++
      resolve(this.#turn())
    }
    const leave = () => {
      const index = this.#waiting.indexOf(enter)
      if (index >= 0) this.#waiting.splice(index, 1)
      resolve(undefined)
    }
    if (signal.aborted) resolve(undefined)
    else if (this.#taken < this.#places) enter()
    else {
      this.#waiting.push(enter)
      signal.addEventListener('abort', leave, { once: true })
    }
    return promise
  }

  #turn(): Disposable {
    let isOver = false
    return {
      [Symbol.dispose]: () => {
        if (isOver) return
        isOver = true
        this.#taken--
        this.#waiting.shift()?.()
      },
    }
  }
}
