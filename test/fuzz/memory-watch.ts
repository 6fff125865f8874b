// Counts what is asked of Buffer, so that memory which a parser takes only for a moment is seen too. Copies are not
// counted: they are as large as something that is there.

export class MemoryWatch implements Disposable {
  /** Since it was last set to zero. */
  takenBytes = 0
  readonly #before = { alloc: Buffer.alloc, allocUnsafe: Buffer.allocUnsafe }

  constructor() {
    const { alloc, allocUnsafe } = this.#before
    Buffer.alloc = (sizeBytes: number, ...fill: []) => {
      this.takenBytes += sizeBytes
      return alloc(sizeBytes, ...fill)
    }
    Buffer.allocUnsafe = (sizeBytes) => {
      this.takenBytes += sizeBytes
      return allocUnsafe(sizeBytes)
    }
  }

  [Symbol.dispose](): void {
    Object.assign(Buffer, this.#before)
  }
}
