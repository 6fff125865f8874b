// Collects a payload that arrives in pieces without trusting its declared length: memory grows with what has
// really come, at most fourfold, and is exactly the declared length once it is complete.

const firstCapacityBytes = 4096
/** Most frames then fit what their first chunk of 4 KiB makes us take, and are copied once. */
const growth = 4
/** Shared: every message and every tag begins with it. */
const nothing = Buffer.alloc(0)

export class PartialPayload {
  readonly declaredBytes: number
  receivedBytes = 0
  #buffer = nothing

  constructor(declaredBytes: number) {
    this.declaredBytes = declaredBytes
  }

  get missingBytes(): number {
    return this.declaredBytes - this.receivedBytes
  }

  get capacityBytes(): number {
    return this.#buffer.length
  }

  /** Capacity after `append` of so many bytes, so that a limit can be checked first. */
  capacityFor(moreBytes: number): number {
    const needed = this.receivedBytes + moreBytes
    if (needed <= this.#buffer.length) return this.#buffer.length
    return Math.min(this.declaredBytes, Math.max(needed * growth, firstCapacityBytes))
  }

  /** The caller appends no more than `missingBytes`. */
  append(source: Buffer, start: number, end: number): void {
    const capacity = this.capacityFor(end - start)
    if (capacity !== this.#buffer.length) {
      const larger = Buffer.allocUnsafe(capacity)
      this.#buffer.copy(larger, 0, 0, this.receivedBytes)
      this.#buffer = larger
    }
    source.copy(this.#buffer, this.receivedBytes, start, end)
    this.receivedBytes += end - start
  }

  /** Only for a complete payload: then the capacity is the declared length and every byte is written. */
  take(): Buffer {
    return this.#buffer
  }
}
