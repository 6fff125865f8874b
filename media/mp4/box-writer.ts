// Builds boxes of an ISO base media file out of their parts, for what is written once in a while: init sections.

export function box(type: string, ...parts: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(8)
  const size = parts.reduce((sum, part) => sum + part.length, head.length)
  head.writeUInt32BE(size)
  head.write(type, 4, 'latin1')
  return Buffer.concat([head, ...parts], size)
}

/** A box that begins with a version and 24 bits of flags (ISO/IEC 14496-12 §4.2.2). */
export function fullBox(
  type: string,
  version: number,
  flags: number,
  ...parts: readonly Buffer[]
): Buffer {
  return box(type, u32(version * 0x100_0000 + flags), ...parts)
}

export function u16(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(2 * values.length)
  for (const [index, value] of values.entries()) bytes.writeUInt16BE(value, 2 * index)
  return bytes
}

export function u32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, 4 * index)
  return bytes
}

export function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

/** A descriptor of ISO/IEC 14496-1 §8.3.3, its length in four bytes of seven bits each. */
export function descriptor(tag: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const length = [21, 14, 7, 0].map((shift) => ((body.length >> shift) & 0x7f) | (shift && 0x80))
  return Buffer.concat([Buffer.from([tag, ...length]), body])
}
