// Which processes publishers of a live id have lately given up on, so that two that fail do not hand it to and fro.

// Long enough to try everybody else first, short enough to come back to who has recovered.
const rememberMs = 30_000

export class GivenUp {
  /** By live id: when each process failed it, wall ms. */
  readonly #byLiveId = new Map<string, Map<string, number>>()

  note(liveId: string, instance: string, nowMs: number): void {
    const failures = this.#byLiveId.get(liveId) ?? new Map<string, number>()
    this.#byLiveId.set(liveId, failures.set(instance, nowMs))
    for (const [id, known] of this.#byLiveId) {
      for (const [failed, atMs] of known) {
        if (Math.abs(nowMs - atMs) > rememberMs) known.delete(failed)
      }
      if (known.size === 0) this.#byLiveId.delete(id)
    }
  }

  of(liveId: string, nowMs: number): Set<string> {
    const failures = [...(this.#byLiveId.get(liveId) ?? [])]
    const recent = failures.filter(([, atMs]) => Math.abs(nowMs - atMs) <= rememberMs)
    return new Set(recent.map(([instance]) => instance))
  }
}
