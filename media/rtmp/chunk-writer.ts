// Messages → chunk stream (RTMP 1.0 §5.3), as a list of buffers that refers to payloads instead of copying them.
import type { RtmpMessage } from './message.ts'

/** Chunk stream ids that we send on; 2 is fixed by §5.4. */
export const chunkStreamId = { control: 2, command: 3, audio: 4, data: 5, video: 6 } as const

interface LastHeader {
  typeId: number
  streamId: number
  lengthBytes: number
  timestampMs: number
  /** Undefined after a full header: what type 3 adds there is read in two ways, so we never rely on it. */
  deltaMs: number | undefined
}

const extendedTimestampMark = 0xffffff
/** Below this a copy is cheaper than one more buffer in the socket's queue. */
const copyBelowBytes = 1024

export class ChunkWriter {
  readonly #last = new Map<number, LastHeader>()
  #chunkSizeBytes = 128

  /** Holds for the messages written from now on: the owner has just sent Set Chunk Size. */
  set chunkSizeBytes(size: number) {
    this.#chunkSizeBytes = size
  }

  /** Appends the message to `out`. `compress` false gives a full header, as control messages had better have. */
  write(out: Buffer[], csid: number, message: RtmpMessage, compress = true): void {
    const { payload } = message
    const head = this.#firstHeader(csid, message, compress)
    const chunkSize = this.#chunkSizeBytes
    if (payload.length <= chunkSize) {
      if (payload.length === 0) out.push(head)
      else if (payload.length < copyBelowBytes) out.push(joined(head, payload))
      else out.push(head, payload)
      return
    }
    const continuation = continuationHeader(csid, message, this.#last.get(csid)!)
    out.push(head)
    for (let at = 0; at < payload.length; at += chunkSize) {
      if (at > 0) out.push(continuation)
      out.push(payload.subarray(at, at + chunkSize))
    }
  }

  #firstHeader(csid: number, message: RtmpMessage, compress: boolean): Buffer {
    const last = this.#last.get(csid)
    const lengthBytes = message.payload.length
    const { typeId, streamId, timestampMs } = message
    const delta = last ? (timestampMs - last.timestampMs) >>> 0 : 0
    // A clock that steps back wraps to a huge delta; a full header says it better. So does it for a clock that
    // wraps by itself: node-media-server counts deltas beyond 32 bits, and gives the connection up.
    const canUseDelta =
      compress &&
      last !== undefined &&
      last.streamId === streamId &&
      timestampMs >= last.timestampMs &&
      delta < extendedTimestampMark
    const deltaMs = canUseDelta ? delta : undefined
    const header = { typeId, streamId, lengthBytes, timestampMs, deltaMs }
    this.#last.set(csid, header)
    if (!canUseDelta) return fullHeader(csid, header)
    if (last.typeId !== typeId || last.lengthBytes !== lengthBytes) {
      const out = basicHeader(csid, 1, 7)
      const at = out.length - 7
      out.writeUIntBE(delta, at, 3)
      out.writeUIntBE(lengthBytes, at + 3, 3)
      out[at + 6] = typeId
      return out
    }
    if (last.deltaMs !== delta) {
      const out = basicHeader(csid, 2, 3)
      out.writeUIntBE(delta, out.length - 3, 3)
      return out
    }
    return basicHeader(csid, 3, 0)
  }
}

/** What `Buffer.concat` does, without its checks, which cost more than the copy. */
function joined(head: Buffer, payload: Buffer): Buffer {
  const out = Buffer.allocUnsafe(head.length + payload.length)
  out.set(head)
  out.set(payload, head.length)
  return out
}

function fullHeader(csid: number, header: LastHeader): Buffer {
  const isExtended = header.timestampMs >= extendedTimestampMark
  const tailBytes = isExtended ? 15 : 11
  const out = basicHeader(csid, 0, tailBytes)
  const at = out.length - tailBytes
  out.writeUIntBE(isExtended ? extendedTimestampMark : header.timestampMs, at, 3)
  out.writeUIntBE(header.lengthBytes, at + 3, 3)
  out[at + 6] = header.typeId
  out.writeUInt32LE(header.streamId, at + 7)
  if (isExtended) out.writeUInt32BE(header.timestampMs, at + 11)
  return out
}

/** §5.3.1.3: the extended timestamp is repeated when the message's first header had one. */
function continuationHeader(csid: number, message: RtmpMessage, header: LastHeader): Buffer {
  const isExtended = header.deltaMs === undefined && message.timestampMs >= extendedTimestampMark
  const out = basicHeader(csid, 3, isExtended ? 4 : 0)
  if (isExtended) out.writeUInt32BE(message.timestampMs, out.length - 4)
  return out
}

/** A buffer with the basic header in front and room for `tailBytes` behind it. */
function basicHeader(csid: number, format: number, tailBytes: number): Buffer {
  const top = format << 6
  if (csid < 64) {
    const out = Buffer.allocUnsafe(1 + tailBytes)
    out[0] = top | csid
    return out
  }
  if (csid < 320) {
    const out = Buffer.allocUnsafe(2 + tailBytes)
    out[0] = top
    out[1] = csid - 64
    return out
  }
  const out = Buffer.allocUnsafe(3 + tailBytes)
  out[0] = top | 1
  out.writeUInt16LE(csid - 64, 1)
  return out
}
