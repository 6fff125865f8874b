// One AMF3 value (Action Message Format 3, 2013) inside an AMF0 message, read within bounds; never written.
//
// AMF3 refers back to strings, objects and traits by index. The three tables live as long as one value does;
// each entry was paid for by bytes of the message and by the bound on values.
import {
  type AmfCursor,
  type AmfObject,
  type AmfValue,
  amfLimits,
  newAmfObject,
} from './amf-value.ts'

const marker = {
  undefined: 0x00,
  null: 0x01,
  false: 0x02,
  true: 0x03,
  integer: 0x04,
  double: 0x05,
  string: 0x06,
  xmlDocument: 0x07,
  date: 0x08,
  array: 0x09,
  object: 0x0a,
  xml: 0x0b,
  byteArray: 0x0c,
} as const

interface Traits {
  isDynamic: boolean
  keys: string[]
}

interface Tables {
  strings: string[]
  objects: AmfValue[]
  traits: Traits[]
  /** Being read: who refers to one of them from inside would make a value without end. */
  open: Set<AmfValue>
}

export function readAmf3Value(cursor: AmfCursor, depth: number): AmfValue {
  return readValue(cursor, { strings: [], objects: [], traits: [], open: new Set() }, depth)
}

function readValue(cursor: AmfCursor, tables: Tables, depth: number): AmfValue {
  if (!cursor.enter(depth)) return undefined
  switch (cursor.u8()) {
    case marker.undefined:
      return undefined
    case marker.null:
      return null
    case marker.false:
      return false
    case marker.true:
      return true
    case marker.integer:
      // 29 bits, two's complement.
      return (readU29(cursor) << 3) >> 3
    case marker.double:
      return cursor.double()
    case marker.string:
      return readString(cursor, tables)
    case marker.xmlDocument:
    case marker.xml:
      return readReferable(cursor, tables, (size) => cursor.text(size))
    case marker.byteArray:
      return readReferable(cursor, tables, (size) => {
        const at = cursor.take(size)
        return at < 0 ? undefined : Buffer.from(cursor.bytes.subarray(at, at + size))
      })
    case marker.date:
      return readReferable(cursor, tables, () => new Date(cursor.double()))
    case marker.array:
      return readArray(cursor, tables, depth)
    case marker.object:
      return readObject(cursor, tables, depth)
    default:
      return cursor.fail('AMF3 has an unknown or unsupported marker')
  }
}

/** §1.3.1: up to four bytes, seven bits each, the fourth with eight. */
function readU29(cursor: AmfCursor): number {
  let value = 0
  for (let i = 0; i < 3; i++) {
    const byte = cursor.u8()
    value = (value << 7) | (byte & 0x7f)
    if (byte < 0x80) return value
  }
  return (value << 8) | cursor.u8()
}

function readString(cursor: AmfCursor, tables: Tables): string {
  const head = readU29(cursor)
  if ((head & 1) === 0) {
    const known = tables.strings[head >> 1]
    if (known === undefined) cursor.fail('AMF3 refers to an unknown string')
    return known ?? ''
  }
  const text = cursor.text(head >> 1)
  if (text !== '') tables.strings.push(text)
  return text
}

function readReferable(
  cursor: AmfCursor,
  tables: Tables,
  read: (size: number) => AmfValue,
): AmfValue {
  const head = readU29(cursor)
  if ((head & 1) === 0) return referred(cursor, tables, head >> 1)
  const value = read(head >> 1)
  tables.objects.push(value)
  return value
}

function referred(cursor: AmfCursor, tables: Tables, index: number): AmfValue {
  if (index >= tables.objects.length) return cursor.fail('AMF3 refers to an unknown object')
  const value = tables.objects[index]
  return tables.open.has(value) ? cursor.fail('AMF3 has an object inside itself') : value
}

function readArray(cursor: AmfCursor, tables: Tables, depth: number): AmfValue {
  const head = readU29(cursor)
  if ((head & 1) === 0) return referred(cursor, tables, head >> 1)
  const count = head >> 1
  const array: AmfValue[] = []
  tables.objects.push(array)
  tables.open.add(array)
  // Named elements come first; nothing that we read has any.
  readDynamicKeys(cursor, tables, depth, newAmfObject())
  if (count > cursor.leftBytes) cursor.fail('AMF3 array is longer than its message')
  for (let i = 0; i < count && cursor.fault === undefined; i++) {
    array.push(readValue(cursor, tables, depth + 1))
  }
  tables.open.delete(array)
  return array
}

function readObject(cursor: AmfCursor, tables: Tables, depth: number): AmfValue {
  const head = readU29(cursor)
  if ((head & 1) === 0) return referred(cursor, tables, head >> 1)
  const traits = readTraits(cursor, tables, head)
  const object = newAmfObject()
  tables.objects.push(object)
  tables.open.add(object)
  for (const key of traits?.keys ?? []) {
    if (cursor.fault !== undefined) break
    object[key] = readValue(cursor, tables, depth + 1)
  }
  if (traits?.isDynamic) readDynamicKeys(cursor, tables, depth, object)
  tables.open.delete(object)
  return object
}

function readTraits(cursor: AmfCursor, tables: Tables, head: number): Traits | undefined {
  if ((head & 2) === 0) {
    return tables.traits[head >> 2] ?? cursor.fail('AMF3 refers to unknown traits')
  }
  // An externalizable object has a layout of its own that only its class knows.
  if ((head & 4) !== 0) return cursor.fail('AMF3 has an externalizable object')
  const count = head >> 4
  if (count > amfLimits.keysPerObject) return cursor.fail('AMF3 object has too many keys')
  readString(cursor, tables)
  const keys: string[] = []
  for (let i = 0; i < count && cursor.fault === undefined; i++) {
    keys.push(readString(cursor, tables))
  }
  const traits = { isDynamic: (head & 8) !== 0, keys }
  tables.traits.push(traits)
  return traits
}

function readDynamicKeys(
  cursor: AmfCursor,
  tables: Tables,
  depth: number,
  object: AmfObject,
): void {
  for (let keys = 0; cursor.fault === undefined; keys++) {
    const key = readString(cursor, tables)
    if (key === '') return
    if (keys >= amfLimits.keysPerObject) cursor.fail('AMF3 object has too many keys')
    object[key] = readValue(cursor, tables, depth + 1)
  }
}
