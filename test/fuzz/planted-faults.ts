// Targets with one fault planted in each, of a kind that parsers have: what the fuzzer must find to be worth running.
import { FlvReader } from '../../media/flv/tag-reader.ts'
import { amfLimits } from '../../media/rtmp/amf-value.ts'
import { readAmf0 } from '../../media/rtmp/amf0.ts'
import { ChunkReader } from '../../media/rtmp/chunk-reader.ts'
import { ServerHandshake } from '../../media/rtmp/handshake.ts'
import { amf0TargetOf } from './amf0-target.ts'
import { chunkTargetOf } from './chunk-target.ts'
import { flvTargetOf } from './flv-target.ts'
import type { FuzzTarget } from './fuzz-target.ts'
import { handshakeOptions, handshakeTargetOf } from './handshake-target.ts'

export const plantedFaults: [what: string, target: FuzzTarget, fault: string][] = [
  [
    'a handshake that believes any place of a digest',
    handshakeTargetOf(() => new BelievingHandshake(handshakeOptions)),
    'throws RangeError: planted',
  ],
  [
    'chunks that end at the last of all timestamps',
    chunkTargetOf((limits) => new TimidReader(limits)),
    'throws RangeError: planted',
  ],
  [
    'chunks that lose a header of one byte where a piece ends behind it',
    chunkTargetOf((limits) => new HastyReader(limits)),
    'another outcome when the bytes are split',
  ],
  [
    'chunks that take sixteen times the memory',
    chunkTargetOf((limits) => new GreedyReader(limits)),
    'bytes held for',
  ],
  [
    'chunks that forget what they hold when its memory grows',
    chunkTargetOf((limits) => new ForgetfulReader(limits)),
    'a payload of bytes that never came',
  ],
  [
    'AMF that cannot bear a date without a time',
    amf0TargetOf((bytes) => {
      const read = readAmf0(bytes)
      const dates = 'value' in read ? read.value.filter((value) => value instanceof Date) : []
      for (const date of dates) date.toISOString()
      return read
    }),
    'throws RangeError: Invalid time value',
  ],
  [
    'AMF whose objects hold themselves',
    amf0TargetOf((bytes) => {
      const read = readAmf0(bytes)
      const held = 'value' in read ? read.value.filter((value) => Array.isArray(value)) : []
      for (const value of held) if (value.length === 3) value.push(value)
      return read
    }),
    'a value that holds itself',
  ],
  [
    'AMF whose byte arrays are longer than what came',
    amf0TargetOf((bytes) => {
      const read = readAmf0(bytes)
      const arrays = 'value' in read ? read.value.filter((value) => Array.isArray(value)) : []
      for (const array of arrays) {
        const at = array.findIndex((value) => Buffer.isBuffer(value))
        if (at >= 0) array[at] = Buffer.alloc(1024)
      }
      return read
    }),
    'bytes that never came',
  ],
  [
    'AMF that counts its values too late',
    amf0TargetOf((bytes) => {
      const read = readAmf0(bytes)
      const isFull = 'value' in read && read.value.length >= amfLimits.values - 4
      return isFull ? { value: [...read.value, ...read.value.slice(0, 5)] } : read
    }),
    ' values in 4',
  ],
  [
    'FLV that takes what a tag declares before it comes',
    flvTargetOf(() => new CredulousReader()),
    'bytes of memory for',
  ],
  [
    'FLV that loses a zero that comes alone',
    flvTargetOf(() => new CarelessReader()),
    'another outcome when the bytes are split',
  ],
]

class BelievingHandshake extends ServerHandshake {
  #seen = Buffer.alloc(0)

  override take(bytes: Buffer, start: number, out: Buffer[]): number {
    this.#seen = Buffer.concat([this.#seen, bytes.subarray(start)])
    const placeAt = 9
    if (this.#seen.length >= placeAt + 4 && this.#seen.readUInt32BE(placeAt) === 0xffffffff) {
      throw new RangeError('planted')
    }
    return super.take(bytes, start, out)
  }
}

class TimidReader extends ChunkReader {
  override read(...[bytes, start, onMessage]: Parameters<ChunkReader['read']>) {
    return super.read(bytes, start, (message) => {
      if (message.timestampMs === 0xffffffff) throw new RangeError('planted')
      return onMessage(message)
    })
  }
}

class HastyReader extends ChunkReader {
  override read(...[bytes, start, onMessage]: Parameters<ChunkReader['read']>) {
    if (bytes.length === 1 && bytes[0]! >= 0xc0) return undefined
    return super.read(bytes, start, onMessage)
  }
}

class ForgetfulReader extends ChunkReader {
  readonly #firstBytes = 4096

  override read(...[bytes, start, onMessage]: Parameters<ChunkReader['read']>) {
    return super.read(bytes, start, (message) => {
      const { payload } = message
      if (payload.length <= this.#firstBytes) return onMessage(message)
      return onMessage({ ...message, payload: Buffer.from(payload).fill(0, 0, this.#firstBytes) })
    })
  }
}

class GreedyReader extends ChunkReader {
  override get partialBytes() {
    return super.partialBytes * 16
  }
}

class CarelessReader extends FlvReader {
  override read(bytes: Buffer): ReturnType<FlvReader['read']> {
    return bytes.length === 1 && bytes[0] === 0 ? { value: [] } : super.read(bytes)
  }
}

class CredulousReader extends FlvReader {
  override read(bytes: Buffer): ReturnType<FlvReader['read']> {
    const firstTagAt = 13
    if (bytes.length > firstTagAt + 4) Buffer.allocUnsafe(bytes.readUIntBE(firstTagAt + 1, 3))
    return super.read(bytes)
  }
}
