// A table that strangers fill: it keeps the newest entries, up to a number.

export class BoundedTable<Value> {
  readonly #entries = new Map<string, Value>()
  readonly #maxEntries: number

  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries
  }

  get size(): number {
    return this.#entries.size
  }

  get(name: string): Value | undefined {
    return this.#entries.get(name)
  }

  /** The entry becomes the newest; the oldest goes where there is no room. */
  set(name: string, value: Value): void {
    this.#entries.delete(name)
    const oldest = this.#entries.keys().next()
    if (this.#entries.size >= this.#maxEntries && !oldest.done) this.#entries.delete(oldest.value)
    this.#entries.set(name, value)
  }

  delete(name: string): void {
    this.#entries.delete(name)
  }

  values(): Iterable<Value> {
    return this.#entries.values()
  }
}
