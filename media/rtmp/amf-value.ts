// What AMF0 and AMF3 values become, and the bounds and the cursor that both readers share.

export type AmfValue =
  | number
  | boolean
  | string
  | null
  | undefined
  | Date
  | Buffer
  | AmfValue[]
  | AmfObject

/** Has no prototype when it was read, so that no key of a peer means anything. */
export interface AmfObject {
  [key: string]: AmfValue
}

export const amfLimits = {
  depth: 16,
  keysPerObject: 256,
  stringBytes: 65_536,
  /** Over a whole message, so that nesting cannot multiply the other bounds. */
  values: 4096,
} as const

export function newAmfObject(): AmfObject {
  return Object.create(null) as AmfObject
}

export function isAmfObject(value: AmfValue): value is AmfObject {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Date) &&
    !Buffer.isBuffer(value)
  )
}

export function isAmfString(value: AmfValue): value is string {
  return typeof value === 'string'
}

/**
 * Reads forward over bytes. A read past the end or past a bound sets `fault` and gives zeros from then on:
 * readers look at `fault` where they loop or recurse, and their caller once at the end.
 */
export class AmfCursor {
  readonly bytes: Buffer
  at: number
  fault: string | undefined
  #valuesLeft: number = amfLimits.values

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes
    this.at = at
  }

  get leftBytes(): number {
    return this.bytes.length - this.at
  }

  fail(fault: string): undefined {
    this.fault ??= fault
    this.at = this.bytes.length
    return undefined
  }

  /** Offset of the next `size` bytes, or -1. */
  take(size: number): number {
    if (size > this.leftBytes) {
      this.fail('AMF ends in the middle of a value')
      return -1
    }
    const at = this.at
    this.at += size
    return at
  }

  u8(): number {
    const at = this.take(1)
    return at < 0 ? 0 : this.bytes[at]!
  }

  u16(): number {
    const at = this.take(2)
    return at < 0 ? 0 : this.bytes.readUInt16BE(at)
  }

  u32(): number {
    const at = this.take(4)
    return at < 0 ? 0 : this.bytes.readUInt32BE(at)
  }

  double(): number {
    const at = this.take(8)
    return at < 0 ? 0 : this.bytes.readDoubleBE(at)
  }

  /** UTF-8; bytes that are not become U+FFFD. */
  text(size: number): string {
    if (size > amfLimits.stringBytes) {
      this.fail('AMF string is too long')
      return ''
    }
    const at = this.take(size)
    return at < 0 ? '' : this.bytes.toString('utf8', at, at + size)
  }

  /** Counts one more value at a depth; false when a bound is passed. */
  enter(depth: number): boolean {
    if (depth > amfLimits.depth) this.fail('AMF is nested too deep')
    else if (this.#valuesLeft-- <= 0) this.fail('AMF has too many values')
    return this.fault === undefined
  }
}
