// AMF0 (Action Message Format, 2007), read within bounds and written.
import type { Parsed } from '../parsed.ts'
import { AmfCursor, type AmfObject, type AmfValue, amfLimits, newAmfObject } from './amf-value.ts'
import { readAmf3Value } from './amf3.ts'

const marker = {
  number: 0x00,
  boolean: 0x01,
  string: 0x02,
  object: 0x03,
  null: 0x05,
  undefined: 0x06,
  ecmaArray: 0x08,
  objectEnd: 0x09,
  strictArray: 0x0a,
  date: 0x0b,
  longString: 0x0c,
  unsupported: 0x0d,
  xmlDocument: 0x0f,
  typedObject: 0x10,
  avmPlus: 0x11,
} as const

/** All values up to the end of the bytes. */
export function readAmf0(bytes: Buffer, start = 0): Parsed<AmfValue[]> {
  const cursor = new AmfCursor(bytes, start)
  const values: AmfValue[] = []
  while (cursor.leftBytes > 0 && cursor.fault === undefined) values.push(readValue(cursor, 1))
  return cursor.fault === undefined ? { value: values } : { fault: cursor.fault }
}

function readValue(cursor: AmfCursor, depth: number): AmfValue {
  if (!cursor.enter(depth)) return undefined
  const type = cursor.u8()
  switch (type) {
    case marker.number:
      return cursor.double()
    case marker.boolean:
      return cursor.u8() !== 0
    case marker.string:
      return cursor.text(cursor.u16())
    case marker.longString:
    case marker.xmlDocument:
      return cursor.text(cursor.u32())
    case marker.null:
    case marker.unsupported:
      return null
    case marker.undefined:
      return undefined
    case marker.object:
      return readObject(cursor, depth)
    case marker.typedObject:
      cursor.text(cursor.u16())
      return readObject(cursor, depth)
    case marker.ecmaArray:
      // §2.10: the count is a hint and encoders get it wrong; the end mark decides.
      cursor.u32()
      return readObject(cursor, depth)
    case marker.strictArray:
      return readStrictArray(cursor, depth)
    case marker.date: {
      const ms = cursor.double()
      cursor.u16()
      return new Date(ms)
    }
    case marker.avmPlus:
      return readAmf3Value(cursor, depth)
    default:
      return cursor.fail('AMF0 has an unknown or unsupported marker')
  }
}

function readObject(cursor: AmfCursor, depth: number): AmfObject {
  const object = newAmfObject()
  for (let keys = 0; cursor.fault === undefined; keys++) {
    const key = cursor.text(cursor.u16())
    if (key === '' && cursor.leftBytes > 0 && cursor.bytes[cursor.at] === marker.objectEnd) {
      cursor.at++
      break
    }
    if (keys >= amfLimits.keysPerObject) cursor.fail('AMF0 object has too many keys')
    const value = readValue(cursor, depth + 1)
    if (cursor.fault === undefined) object[key] = value
  }
  return object
}

function readStrictArray(cursor: AmfCursor, depth: number): AmfValue[] {
  const count = cursor.u32()
  const array: AmfValue[] = []
  // The shortest value has one byte.
  if (count > cursor.leftBytes) cursor.fail('AMF0 array is longer than its message')
  for (let i = 0; i < count && cursor.fault === undefined; i++) {
    array.push(readValue(cursor, depth + 1))
  }
  return array
}

export function writeAmf0(...values: AmfValue[]): Buffer {
  const parts: Buffer[] = []
  for (const value of values) writeValue(parts, value)
  return Buffer.concat(parts)
}

/** As `onMetaData` is commonly written: an ECMA array, not an object. */
export function writeAmf0EcmaArray(object: AmfObject): Buffer {
  const entries = Object.entries(object)
  const head = Buffer.alloc(5)
  head[0] = marker.ecmaArray
  head.writeUInt32BE(entries.length, 1)
  const parts: Buffer[] = [head]
  writeEntries(parts, entries)
  return Buffer.concat(parts)
}

function writeValue(parts: Buffer[], value: AmfValue): void {
  if (value === undefined) parts.push(Buffer.from([marker.undefined]))
  else if (value === null) parts.push(Buffer.from([marker.null]))
  else if (typeof value === 'number') parts.push(numberBytes(marker.number, value, 9))
  else if (typeof value === 'boolean') parts.push(Buffer.from([marker.boolean, value ? 1 : 0]))
  else if (typeof value === 'string') writeString(parts, value)
  else if (value instanceof Date) parts.push(numberBytes(marker.date, value.getTime(), 11))
  else if (Array.isArray(value)) {
    const head = Buffer.alloc(5)
    head[0] = marker.strictArray
    head.writeUInt32BE(value.length, 1)
    parts.push(head)
    for (const element of value) writeValue(parts, element)
  } else if (Buffer.isBuffer(value)) {
    parts.push(Buffer.from([marker.unsupported]))
  } else {
    parts.push(Buffer.from([marker.object]))
    writeEntries(parts, Object.entries(value))
  }
}

function numberBytes(type: number, value: number, size: number): Buffer {
  const out = Buffer.alloc(size)
  out[0] = type
  out.writeDoubleBE(value, 1)
  return out
}

function writeString(parts: Buffer[], text: string): void {
  const utf8 = Buffer.from(text)
  const isLong = utf8.length > 0xffff
  const head = Buffer.alloc(isLong ? 5 : 3)
  head[0] = isLong ? marker.longString : marker.string
  if (isLong) head.writeUInt32BE(utf8.length, 1)
  else head.writeUInt16BE(utf8.length, 1)
  parts.push(head, utf8)
}

/** Keys are ours: shorter than 64 KiB. */
function writeEntries(parts: Buffer[], entries: [string, AmfValue][]): void {
  for (const [key, value] of entries) {
    const utf8 = Buffer.from(key).subarray(0, 0xffff)
    const head = Buffer.alloc(2)
    head.writeUInt16BE(utf8.length)
    parts.push(head, utf8)
    writeValue(parts, value)
  }
  parts.push(Buffer.from([0, 0, marker.objectEnd]))
}
