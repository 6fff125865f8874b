// Remembers for some seconds why a publisher was refused after its publish had started. OBS reads no status
// while it sends; its retry is refused before the start with the same reason, and that one it shows.
import type { Clock } from '../clock.ts'
import { isInputVerdict, type Refusal, type RefusalCode } from '../contract/refusal.ts'

const maxEntries = 10_000

export class RefusalMemory {
  readonly #clock: Clock
  readonly #ttlMs: number
  readonly #holds: (code: RefusalCode) => boolean
  readonly #entries = new Map<string, { refusal: Refusal; until: number }>()

  /** Called with all that is kept here. */
  onKept: ((keyDigest: string, refusal: Refusal) => void) | undefined

  /** Keeps what `holds`: as a rule verdicts on what the encoder sends, since the others may be gone at its next try. */
  constructor(clock: Clock, ttlMs: number, holds = isInputVerdict) {
    this.#clock = clock
    this.#ttlMs = ttlMs
    this.#holds = holds
  }

  remember(keyDigest: string, refusal: Refusal): void {
    if (!this.#holds(refusal.code)) return
    this.keep(keyDigest, refusal)
    this.onKept?.(keyDigest, refusal)
  }

  /** Of another thread of this node, which has just remembered it. */
  keep(keyDigest: string, refusal: Refusal): void {
    const oldest = this.#entries.keys().next()
    if (this.#entries.size >= maxEntries && !oldest.done) this.#entries.delete(oldest.value)
    this.#entries.delete(keyDigest)
    this.#entries.set(keyDigest, { refusal, until: this.#clock.monotonic() + this.#ttlMs })
  }

  recall(keyDigest: string): Refusal | undefined {
    const entry = this.#entries.get(keyDigest)
    if (!entry) return undefined
    if (entry.until > this.#clock.monotonic()) return entry.refusal
    this.#entries.delete(keyDigest)
    return undefined
  }
}
