// Walks the boxes of an ISO base media file (ISO/IEC 14496-12 §4.2) without trusting a single length in it.

export interface Box {
  /** Four characters, as latin1. */
  type: string
  start: number
  bodyStart: number
  end: number
}

const headerBytes = 8
const largeHeaderBytes = 16
/** Far above what a valid init section or segment of ours holds on one level. */
const maxBoxes = 4_096

/** The boxes between two offsets, or `undefined` when their sizes do not add up exactly. */
export function readBoxes(bytes: Buffer, start = 0, end = bytes.length): Box[] | undefined {
  const boxes: Box[] = []
  let offset = start
  while (offset < end) {
    if (end - offset < headerBytes || boxes.length === maxBoxes) return undefined
    let size = bytes.readUInt32BE(offset)
    let bodyStart = offset + headerBytes
    // Size 1 means a 64-bit size after the type; size 0, "to the end of the file", never occurs in a segment.
    if (size === 1) {
      if (end - offset < largeHeaderBytes) return undefined
      size = Number(bytes.readBigUInt64BE(bodyStart))
      bodyStart = offset + largeHeaderBytes
    }
    if (size < bodyStart - offset || size > end - offset) return undefined
    boxes.push({
      type: bytes.toString('latin1', offset + 4, offset + 8),
      start: offset,
      bodyStart,
      end: offset + size,
    })
    offset += size
  }
  return boxes
}

/** The first box of each name down a path of containers. */
export function findBox(
  bytes: Buffer,
  path: readonly string[],
  start = 0,
  end = bytes.length,
): Box | undefined {
  let found: Box | undefined
  let from = start
  let to = end
  for (const type of path) {
    found = readBoxes(bytes, from, to)?.find((box) => box.type === type)
    if (!found) return undefined
    from = found.bodyStart
    to = found.end
  }
  return found
}

/** Reads big-endian fields in order; past the end every read answers 0 and `isOverrun` turns true. */
export class FieldReader {
  readonly #bytes: Buffer
  readonly #end: number
  #offset: number
  isOverrun = false

  constructor(bytes: Buffer, start: number, end: number) {
    this.#bytes = bytes
    this.#offset = start
    this.#end = Math.min(end, bytes.length)
  }

  get offset(): number {
    return this.#offset
  }

  u8(): number {
    return this.#take(1) ? this.#bytes.readUInt8(this.#offset - 1) : 0
  }

  u16(): number {
    return this.#take(2) ? this.#bytes.readUInt16BE(this.#offset - 2) : 0
  }

  u32(): number {
    return this.#take(4) ? this.#bytes.readUInt32BE(this.#offset - 4) : 0
  }

  i32(): number {
    return this.#take(4) ? this.#bytes.readInt32BE(this.#offset - 4) : 0
  }

  /** As a double: exact up to 2^53, which at 90 kHz is three thousand years. */
  u64(): number {
    return this.#take(8) ? Number(this.#bytes.readBigUInt64BE(this.#offset - 8)) : 0
  }

  skip(bytes: number): void {
    this.#take(bytes)
  }

  #take(bytes: number): boolean {
    if (bytes < 0 || this.#offset + bytes > this.#end) {
      this.isOverrun = true
      return false
    }
    this.#offset += bytes
    return true
  }
}
