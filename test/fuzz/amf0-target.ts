// Fuzz target `amf0`: command and data payloads, AMF3 inside them too.
import type { Parsed } from '../../media/parsed.ts'
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
  // Each kind of AMF3 value in one array; then a string and an array that are named again.
  hex(
    '11 09 15 01 00 01 02 03 04 8100 05 3ff0000000000000 06 05 6869 0b 05 3c3e 08 01 0000000000000000 0c 05 aabb',
  ),
  hex('11 09 09 01 06 03 61 06 00 09 03 01 04 01 09 02'),
  hex('08 00000002 0001 61 00 3ff0000000000000 0001 62 02 0001 78 000009'),
  hex('10 0003 616263 0001 61 0c 00000002 6869 000009'),
  hex('0a 00000003 05 06 0d 0b 0000000000000000 0000'),
  Buffer.concat(Array.from({ length: 12 }, () => hex('03 0001 61'))),
]

/** As many as a message may hold, less a few: damage behind them passes the bound in the midst of anything. */
const nearlyTooMany = Buffer.alloc(amfLimits.values - 6, hex('05'))
/** They cost more than all else of a run together. */
const runsPerManyValues = 64

/** The reader to feed, so that a test can put a worse one in its place. */
export function amf0TargetOf(read: (bytes: Buffer) => Parsed<AmfValue[]> = readAmf0): FuzzTarget {
  return {
    name: 'amf0',
    seeds,
    check(damaged, random) {
      const isMany = random(runsPerManyValues) === 0
      const bytes = isMany ? Buffer.concat([nearlyTooMany, damaged]) : damaged
      const result = read(bytes)
      if ('fault' in result) return result.fault === '' ? 'a fault without a word' : undefined
      const inventory = new Inventory()
      for (const value of result.value) inventory.add(value)
      if (inventory.isEndless) return 'a value that holds itself'
      if (inventory.values > Math.min(bytes.length, amfLimits.values)) {
        return `${inventory.values} values in ${bytes.length} bytes`
      }
      if (inventory.heldBytes > bytes.length) return `${inventory.heldBytes} bytes that never came`
      return undefined
    },
  }
}

export const amf0Target = amf0TargetOf()

/** What is in a message. AMF3 may name one object several times: each is looked into once. */
class Inventory {
  readonly #seen = new Set<AmfValue>()
  readonly #open = new Set<AmfValue>()
  values = 0
  /** In byte arrays. */
  heldBytes = 0
  isEndless = false

  add(value: AmfValue): void {
    this.values++
    if (typeof value !== 'object' || value === null) return
    if (this.#open.has(value)) this.isEndless = true
    if (this.#seen.has(value)) return
    this.#seen.add(value)
    if (Buffer.isBuffer(value)) this.heldBytes += value.length
    if (!Array.isArray(value) && !isAmfObject(value)) return
    this.#open.add(value)
    for (const inner of Object.values(value)) this.add(inner)
    this.#open.delete(value)
  }
}
