// Answers of the coordinator, kept for a moment: however many requests ask for the same thing, the
// coordinator hears one question in that time.
import type { Clock } from '../../common/clock.ts'

export interface AnswerMemoOptions<Answer> {
  clock: Clock
  ttlMs: number
  maxEntries: number
  ask: (id: string) => Promise<Answer>
}

export class AnswerMemo<Answer> {
  readonly #options: AnswerMemoOptions<Answer>
  readonly #entries = new Map<string, { answer: Promise<Answer>; until: number }>()

  constructor(options: AnswerMemoOptions<Answer>) {
    this.#options = options
  }

  get(id: string): Promise<Answer> {
    const { clock, ttlMs, maxEntries, ask } = this.#options
    const now = clock.monotonic()
    const known = this.#entries.get(id)
    if (known && now < known.until) return known.answer
    // Deleted first, so that the map stays in the order of age and its first entry is the oldest.
    this.#entries.delete(id)
    const entry = { answer: ask(id), until: Infinity }
    entry.answer.then(
      () => {
        entry.until = clock.monotonic() + ttlMs
      },
      () => this.#forget(id, entry),
    )
    this.#entries.set(id, entry)
    if (this.#entries.size > maxEntries) this.#entries.delete(this.#entries.keys().next().value!)
    return entry.answer
  }

  clear(): void {
    this.#entries.clear()
  }

  #forget(id: string, entry: object): void {
    if (this.#entries.get(id) === entry) this.#entries.delete(id)
  }
}
