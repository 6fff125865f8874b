// How many of something each name has at the moment; names that have none are forgotten.

export class HeldCounts {
  readonly #counts = new Map<string, number>()

  get size(): number {
    return this.#counts.size
  }

  of(name: string): number {
    return this.#counts.get(name) ?? 0
  }

  /** Counts one more until the answer is called, once or more often. */
  hold(name: string): () => void {
    this.#counts.set(name, this.of(name) + 1)
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      const left = this.of(name) - 1
      if (left > 0) this.#counts.set(name, left)
      else this.#counts.delete(name)
    }
  }
}
