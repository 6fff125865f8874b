// What an answer has to be so that the one which broke off before it can go on with it, for bytes that never change:
// its rest (206), or all of it again (200), whose beginning must be what was handed on before.
import type { IncomingHttpHeaders } from 'node:http'
import { crc32 } from 'node:zlib'

export class Resumption {
  /** Of the answer that began. */
  readonly #length: number | undefined
  readonly #etag: string | undefined
  /** Bytes handed on, and their checksum. */
  #size = 0
  #checksum = 0
  /** Of the answer that goes on, what has been handed on already. */
  #toSkip = 0
  #skippedChecksum = 0

  constructor(headers: IncomingHttpHeaders) {
    this.#length = numberOf(headers['content-length'])
    const { etag } = headers
    this.#etag = etag?.startsWith('"') ? etag : undefined
  }

  /** What to ask for: the rest, where the origin can tell that it has the same. */
  get headers(): Record<string, string> {
    if (this.#etag === undefined || this.#size === 0) return {}
    return { range: `bytes=${this.#size}-`, 'if-range': this.#etag }
  }

  /** `over`: nothing was missing but the end. */
  begin(status: number, headers: IncomingHttpHeaders): 'goes-on' | 'over' | 'misfit' {
    if (status === 200) {
      const length = numberOf(headers['content-length'])
      this.#toSkip = this.#size
      this.#skippedChecksum = 0
      return length === undefined || this.#length === undefined || length === this.#length
        ? 'goes-on'
        : 'misfit'
    }
    const range = contentRange(headers['content-range'])
    if (!range || this.#size === 0) return 'misfit'
    if (status === 416) return range.length === this.#size ? 'over' : 'misfit'
    const fits =
      status === 206 &&
      range.start === this.#size &&
      (this.#length === undefined || range.length === this.#length) &&
      range.end === range.length
    if (!fits) return 'misfit'
    this.#toSkip = 0
    return 'goes-on'
  }

  /** What of a piece is new; undefined where its beginning is not what was handed on. */
  take(piece: Buffer): Buffer | undefined {
    let fresh = piece
    if (this.#toSkip > 0) {
      const known = piece.subarray(0, this.#toSkip)
      this.#skippedChecksum = crc32(known, this.#skippedChecksum)
      this.#toSkip -= known.length
      if (this.#toSkip === 0 && this.#skippedChecksum !== this.#checksum) return undefined
      fresh = piece.subarray(known.length)
    }
    this.#checksum = crc32(fresh, this.#checksum)
    this.#size += fresh.length
    return fresh
  }

  /** It ended before it had reached what was handed on. */
  get isShort(): boolean {
    return this.#toSkip > 0
  }
}

interface ContentRange {
  start: number
  /** Exclusive. */
  end: number
  length: number
}

function contentRange(text: string | undefined): ContentRange | undefined {
  const match = /^bytes (?:(\d{1,15})-(\d{1,15})|\*)\/(\d{1,15})$/.exec(text ?? '')
  if (!match) return undefined
  const [, first, last, length] = match
  return { start: Number(first ?? 0), end: Number(last ?? -1) + 1, length: Number(length) }
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}
