// Fuzz target `amf0`: command and data payloads, AMF3 inside them too.
import type { AmfValue } from '../../media/rtmp/amf-value.ts'
import { amfLimits, isAmfObject } from '../../media/rtmp/amf-value.ts'
import { readAmf0, writeAmf0, writeAmf0EcmaArray } from '../../media/rtmp/amf0.ts'
import { hex } from '../media/rtmp/wire.ts'
import type { FuzzTarget } from './fuzz-target.ts'

const names = ['__proto__', 'constructor', 'toString']

const seeds = [
  writeAmf0('connect', 1, { app: 'live', nested: { a: [1, 'x', null, true, new Date(0)] } }),
  writeAmf0('publish', 5, null, 'key?ticket=x', 'live'),
  Buffer.concat([
    writeAmf0('@setDataFrame', 'onMetaData'),
    writeAmf0EcmaArray({ width: 1920, height: 1080, encoder: 'obs', stereo: true }),
  ]),
  Buffer.concat(names.map((name) => writeAmf0({ [name]: 1 }))),
  writeAmf0('x'.repeat(70_000)).subarray(0, 300),
  hex('11 09 05 01 0a 13 01 03 61 04 01 0a 01 04 02'),
  hex('11 0a 0b 01 03 61 04 05 01'),
  hex('08 00000002 0001 61 00 3ff0000000000000 0001 62 02 0001 78 000009'),
  hex('10 0003 616263 0001 61 0c 00000002 6869 000009'),
  hex('0a 00000003 05 06 0d 0b 0000000000000000 0000'),
  Buffer.concat(Array.from({ length: 12 }, () => hex('03 0001 61'))),
]

export const amf0Target: FuzzTarget = {
  name: 'amf0',
  seeds,
  check(bytes) {
    const read = readAmf0(bytes)
    if ('fault' in read) return read.fault === '' ? 'a fault without a word' : undefined
    const seen = new Set<AmfValue>()
    for (const value of read.value) {
      if (isEndless(value, seen, new Set())) return 'a value that holds itself'
    }
    return seen.size > Math.min(bytes.length, amfLimits.values) ? `${seen.size} objects` : undefined
  },
}

/** AMF3 may name one object several times: each is looked into once. */
function isEndless(value: AmfValue, seen: Set<AmfValue>, open: Set<AmfValue>): boolean {
  if (!Array.isArray(value) && !isAmfObject(value)) return false
  if (open.has(value)) return true
  if (seen.has(value)) return false
  seen.add(value)
  open.add(value)
  const isFound = Object.values(value).some((inner) => isEndless(inner, seen, open))
  open.delete(value)
  return isFound
}
