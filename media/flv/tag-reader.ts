// An FLV byte stream → media messages, a piece at a time and within bounds (Adobe FLV 10.1 §E.2–E.4.1).
import type { Parsed } from '../parsed.ts'
import type { MediaKind, MediaMessage } from '../rtmp/message.ts'
import { PartialPayload } from '../rtmp/partial-payload.ts'

export interface FlvReaderOptions {
  maxTagBytes?: number
}

const fileHeaderBytes = 9
const tagHeaderBytes = 11
const backPointerBytes = 4
/** Room for header extensions that nobody has ever defined. */
const maxHeaderBytes = 1024
const defaultMaxTagBytes = 4 * 1024 * 1024

const kindOfTag: Partial<Record<number, MediaKind>> = { 8: 'audio', 9: 'video', 18: 'data' }

/** After a fault it answers the same fault for ever. */
export class FlvReader {
  readonly #maxTagBytes: number
  readonly #head = Buffer.alloc(tagHeaderBytes)
  #headHave = 0
  #stage: 'file-header' | 'tag-header' | 'body' = 'file-header'
  #skipBytes = 0
  #kind: MediaKind | undefined
  #timestampMs = 0
  #body: PartialPayload | undefined
  #fault: string | undefined

  constructor(options: FlvReaderOptions = {}) {
    this.#maxTagBytes = options.maxTagBytes ?? defaultMaxTagBytes
  }

  /** The messages that these bytes complete. Tags of unknown types and without content are left out. */
  read(bytes: Buffer): Parsed<MediaMessage[]> {
    const messages: MediaMessage[] = []
    let offset = 0
    while (offset < bytes.length && this.#fault === undefined) {
      if (this.#skipBytes > 0) {
        const skipped = Math.min(this.#skipBytes, bytes.length - offset)
        this.#skipBytes -= skipped
        offset += skipped
      } else if (this.#stage === 'body') {
        offset = this.#readBody(bytes, offset, messages)
      } else {
        offset = this.#readHead(bytes, offset)
      }
    }
    return this.#fault === undefined ? { value: messages } : { fault: this.#fault }
  }

  #readHead(bytes: Buffer, start: number): number {
    const need = this.#stage === 'file-header' ? fileHeaderBytes : tagHeaderBytes
    const taken = bytes.copy(this.#head, this.#headHave, start, start + need - this.#headHave)
    this.#headHave += taken
    if (this.#headHave === need) {
      this.#headHave = 0
      if (this.#stage === 'file-header') this.#startFile()
      else this.#startTag()
    }
    return start + taken
  }

  #startFile(): void {
    const headerBytes = this.#head.readUInt32BE(5)
    if (this.#head.toString('latin1', 0, 3) !== 'FLV') this.#fault = 'this is not FLV'
    else if (this.#head[3] !== 1) this.#fault = 'FLV of an unknown version'
    else if (headerBytes < fileHeaderBytes || headerBytes > maxHeaderBytes) {
      this.#fault = 'FLV with a header of an impossible size'
    }
    this.#skipBytes = headerBytes - fileHeaderBytes + backPointerBytes
    this.#stage = 'tag-header'
  }

  #startTag(): void {
    const type = this.#head[0]!
    const bodyBytes = this.#head.readUIntBE(1, 3)
    if (type & 0x20) this.#fault = 'FLV that is encrypted'
    else if (bodyBytes > this.#maxTagBytes) this.#fault = 'an FLV tag is too large'
    // The eighth byte extends the timestamp upwards.
    this.#timestampMs = this.#head.readUIntBE(4, 3) + this.#head[7]! * 2 ** 24
    this.#kind = kindOfTag[type & 0x1f]
    if (this.#kind === undefined || bodyBytes === 0) {
      this.#skipBytes = bodyBytes + backPointerBytes
      return
    }
    this.#body = new PartialPayload(bodyBytes)
    this.#stage = 'body'
  }

  #readBody(bytes: Buffer, start: number, messages: MediaMessage[]): number {
    const body = this.#body!
    const end = Math.min(bytes.length, start + body.missingBytes)
    body.append(bytes, start, end)
    if (body.missingBytes === 0) {
      messages.push({ kind: this.#kind!, timestampMs: this.#timestampMs, payload: body.take() })
      this.#body = undefined
      this.#stage = 'tag-header'
      // What the back pointer says is of no use to somebody who reads forward.
      this.#skipBytes = backPointerBytes
    }
    return end
  }
}
