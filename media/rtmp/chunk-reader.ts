// Chunk stream → messages (RTMP 1.0 §5.3). Bytes may be split anywhere, down to one at a time.
//
// State: a header being collected (at most 18 bytes: 3 of chunk stream id, 11 of message header, 4 of extended
// timestamp), then the chunk's part of a payload. Each chunk stream id remembers its last header and the one
// message that is under way on it.
//
// Rules: every byte is handled once, whatever the splitting. Lengths are checked when they are declared, memory
// is taken only as bytes arrive. A header that is not a continuation in the middle of a message is an error:
// no encoder sends it, and guessing would let two readers of one stream disagree. After an error: nothing more.
import { type RtmpError, rtmpError } from './error.ts'
import { maxChunkSizeBytes, minChunkSizeBytes } from './limits.ts'
import { messageType, type RtmpMessage } from './message.ts'
import { PartialPayload } from './partial-payload.ts'

interface ChunkStream {
  typeId: number
  streamId: number
  lengthBytes: number
  timestampMs: number
  /** What a type 3 header that starts a message adds; after type 0 it is the timestamp itself (§5.3.1.2.4). */
  deltaMs: number
  isExtended: boolean
  partial: PartialPayload | undefined
}

export interface ChunkReaderLimits {
  chunkStreams: number
  messageBytes: number
  partialBytes: number
}

const maxHeaderBytes = 18
const messageHeaderBytes = [11, 7, 3, 0] as const
const extendedTimestampMark = 0xffffff
/** librtmp sends control messages with type 1 headers, the first one too. */
const controlChunkStreamId = 2

export class ChunkReader {
  readonly #limits: ChunkReaderLimits
  readonly #streams = new Map<number, ChunkStream>()
  readonly #header = Buffer.alloc(maxHeaderBytes)
  #headerHave = 0
  #headerNeed = 1
  #isHeaderSized = false
  #isTimestampSized = false
  #basicBytes = 1
  #chunkSizeBytes = minChunkSizeBytes
  #current: ChunkStream | undefined
  #chunkLeftBytes = 0
  #partialBytes = 0
  #error: RtmpError | undefined

  constructor(limits: ChunkReaderLimits) {
    this.#limits = { ...limits }
  }

  /** Limits that hold from the next message on. */
  setLimits(limits: Partial<ChunkReaderLimits>): void {
    Object.assign(this.#limits, limits)
  }

  /** Memory held for messages that are not complete. */
  get partialBytes(): number {
    return this.#partialBytes
  }

  /**
   * Hands every message that is complete to `onMessage`, which returns an error to stop. Set Chunk Size and
   * Abort are obeyed before, because the bytes behind them depend on it.
   */
  read(
    bytes: Buffer,
    start: number,
    onMessage: (message: RtmpMessage) => RtmpError | undefined,
  ): RtmpError | undefined {
    let offset = start
    while (offset < bytes.length && !this.#error) {
      const stream = this.#current
      if (stream === undefined) {
        offset = this.#readHeader(bytes, offset)
      } else {
        const end = Math.min(bytes.length, offset + this.#chunkLeftBytes)
        this.#appendPayload(stream, bytes, offset, end)
        offset = end
      }
      // Also after a header: a message without a payload is complete with it.
      if (this.#current && this.#chunkLeftBytes === 0) this.#endChunk(this.#current, onMessage)
    }
    return this.#error
  }

  #fail(reason: RtmpError['reason'], message: string): void {
    this.#error ??= rtmpError(reason, message)
  }

  #readHeader(bytes: Buffer, start: number): number {
    let offset = start
    while (offset < bytes.length) {
      while (this.#headerHave < this.#headerNeed && offset < bytes.length) {
        this.#header[this.#headerHave++] = bytes[offset++]!
      }
      if (this.#headerHave < this.#headerNeed) return offset
      if (this.#sizeHeader()) {
        this.#startChunk()
        return offset
      }
    }
    // The loop left with the header complete exactly at the end of the input.
    return offset
  }

  /** True once all bytes of the header are there; else `#headerNeed` has grown. */
  #sizeHeader(): boolean {
    const first = this.#header[0]!
    if (!this.#isHeaderSized) {
      const low = first & 0x3f
      this.#basicBytes = low === 0 ? 2 : low === 1 ? 3 : 1
      this.#headerNeed = this.#basicBytes + messageHeaderBytes[first >> 6]!
      this.#isHeaderSized = true
      if (this.#headerHave < this.#headerNeed) return false
    }
    if (!this.#isTimestampSized) {
      this.#isTimestampSized = true
      if (this.#expectsExtendedTimestamp(first >> 6)) this.#headerNeed += 4
    }
    return this.#headerHave === this.#headerNeed
  }

  #expectsExtendedTimestamp(format: number): boolean {
    if (format === 3) return this.#streams.get(this.#chunkStreamId())?.isExtended ?? false
    return this.#header.readUIntBE(this.#basicBytes, 3) === extendedTimestampMark
  }

  #chunkStreamId(): number {
    // §5.3.1.1: the third byte counts 256s.
    if (this.#basicBytes === 1) return this.#header[0]! & 0x3f
    if (this.#basicBytes === 2) return this.#header[1]! + 64
    return this.#header[2]! * 256 + this.#header[1]! + 64
  }

  #startChunk(): void {
    const format = this.#header[0]! >> 6
    const chunkStreamId = this.#chunkStreamId()
    const stream = this.#streams.get(chunkStreamId) ?? this.#openStream(format, chunkStreamId)
    if (stream) {
      if (stream.partial === undefined) this.#startMessage(stream, format)
      else if (format !== 3) {
        this.#fail('message-interrupted', 'a new header in the middle of a message')
        return
      }
    }
    if (!stream?.partial) return
    this.#chunkLeftBytes = Math.min(this.#chunkSizeBytes, stream.partial.missingBytes)
    this.#current = stream
    this.#headerHave = 0
    this.#headerNeed = 1
    this.#isHeaderSized = false
    this.#isTimestampSized = false
  }

  #openStream(format: number, chunkStreamId: number): ChunkStream | undefined {
    if (format !== 0 && !(format === 1 && chunkStreamId === controlChunkStreamId)) {
      this.#fail('chunk-stream-unknown', `chunk stream ${chunkStreamId} opens with a short header`)
      return undefined
    }
    if (this.#streams.size >= this.#limits.chunkStreams) {
      this.#fail('too-many-chunk-streams', `more than ${this.#limits.chunkStreams} chunk streams`)
      return undefined
    }
    const stream: ChunkStream = {
      typeId: 0,
      streamId: 0,
      lengthBytes: 0,
      timestampMs: 0,
      deltaMs: 0,
      isExtended: false,
      partial: undefined,
    }
    this.#streams.set(chunkStreamId, stream)
    return stream
  }

  #startMessage(stream: ChunkStream, format: number): void {
    const at = this.#basicBytes
    if (format !== 3) {
      const field = this.#header.readUIntBE(at, 3)
      stream.isExtended = field === extendedTimestampMark
      stream.deltaMs = stream.isExtended ? this.#header.readUInt32BE(this.#headerNeed - 4) : field
    }
    if (format <= 1) {
      stream.lengthBytes = this.#header.readUIntBE(at + 3, 3)
      stream.typeId = this.#header[at + 6]!
    }
    if (format === 0) {
      stream.streamId = this.#header.readUInt32LE(at + 7)
      stream.timestampMs = stream.deltaMs
    } else {
      stream.timestampMs = (stream.timestampMs + stream.deltaMs) >>> 0
    }
    if (stream.lengthBytes > this.#limits.messageBytes) {
      this.#fail('message-too-large', `a message of ${stream.lengthBytes} bytes`)
      return
    }
    stream.partial = new PartialPayload(stream.lengthBytes)
  }

  #appendPayload(stream: ChunkStream, bytes: Buffer, start: number, end: number): void {
    const partial = stream.partial!
    const before = partial.capacityBytes
    const total = this.#partialBytes - before + partial.capacityFor(end - start)
    if (total > this.#limits.partialBytes) {
      this.#fail('too-much-partial-data', 'too many bytes in messages that do not end')
      return
    }
    partial.append(bytes, start, end)
    this.#partialBytes = total
    this.#chunkLeftBytes -= end - start
  }

  #endChunk(stream: ChunkStream, onMessage: (message: RtmpMessage) => RtmpError | undefined): void {
    this.#current = undefined
    const partial = stream.partial!
    if (partial.missingBytes > 0 || this.#error) return
    stream.partial = undefined
    this.#partialBytes -= partial.capacityBytes
    const { typeId, streamId, timestampMs } = stream
    const payload = partial.take()
    if (typeId === messageType.setChunkSize) this.#setChunkSize(payload)
    else if (typeId === messageType.abort) this.#abort(payload)
    this.#error ??= onMessage({ typeId, streamId, timestampMs, payload })
  }

  #setChunkSize(payload: Buffer): void {
    const size = payload.length === 4 ? payload.readUInt32BE(0) : -1
    if (size < minChunkSizeBytes || size > maxChunkSizeBytes) {
      const allowed = `${minChunkSizeBytes} to ${maxChunkSizeBytes}`
      this.#fail('chunk-size-invalid', `a chunk size outside ${allowed}`)
      return
    }
    this.#chunkSizeBytes = size
  }

  #abort(payload: Buffer): void {
    if (payload.length !== 4) {
      this.#fail('control-malformed', 'an abort of a wrong length')
      return
    }
    const stream = this.#streams.get(payload.readUInt32BE(0))
    if (!stream?.partial) return
    this.#partialBytes -= stream.partial.capacityBytes
    stream.partial = undefined
  }
}
