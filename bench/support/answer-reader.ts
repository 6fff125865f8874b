// Reads one HTTP/1.1 answer from the pieces of a connection, and no more of it than a load generator must know: thousands
// of connections have to be cheap. Bytes in, counts out.

const headEnd = Buffer.from('\r\n\r\n')
const maxHeadBytes = 16 * 1024

export class AnswerReader {
  status = 0
  /** Status line and fields. */
  head = ''
  /** Of the body, without its framing. */
  bodyBytes = 0
  readonly #keepsBody: boolean
  readonly #body: Buffer[] = []
  /** Undefined once the head is whole. */
  #headBytes: Buffer | undefined = Buffer.alloc(0)
  #isChunked = false
  /** Of the body or of a chunk with its line end, what is still to come. */
  #left = 0
  #sizeLine = ''
  #isLastChunk = false

  constructor({ keepsBody = false }: { keepsBody?: boolean } = {}) {
    this.#keepsBody = keepsBody
  }

  get body(): Buffer {
    return Buffer.concat(this.#body)
  }

  /** Answers whether this was the last piece. Throws where it is no answer. */
  take(piece: Buffer): boolean {
    if (this.#headBytes === undefined) return this.#takeBody(piece)
    const bytes = this.#headBytes.length === 0 ? piece : Buffer.concat([this.#headBytes, piece])
    const end = bytes.indexOf(headEnd)
    if (end < 0) {
      if (bytes.length > maxHeadBytes) throw new Error('a head without an end')
      this.#headBytes = Buffer.from(bytes)
      return false
    }
    this.#headBytes = undefined
    this.#readHead(bytes.toString('latin1', 0, end))
    return this.#takeBody(bytes.subarray(end + headEnd.length))
  }

  #readHead(head: string): void {
    const [, status] = /^HTTP\/1\.[01] (\d{3})/.exec(head) ?? []
    if (status === undefined) throw new Error(`no HTTP: ${head.slice(0, 80)}`)
    this.head = head
    this.status = Number(status)
    this.#isChunked = /\r\ntransfer-encoding: *chunked/i.test(head)
    const [, length] = /\r\ncontent-length: *(\d+)/i.exec(head) ?? []
    const isBodiless = this.status === 204 || this.status === 304
    if (!this.#isChunked && !isBodiless && length === undefined)
      throw new Error('a body of no length')
    this.#left = this.#isChunked || isBodiless ? 0 : Number(length)
  }

  #takeBody(piece: Buffer): boolean {
    if (this.#isChunked) return this.#takeChunks(piece)
    this.#keep(piece)
    this.#left -= piece.length
    if (this.#left < 0) throw new Error('more than was announced')
    return this.#left === 0
  }

  #takeChunks(piece: Buffer): boolean {
    let at = 0
    while (at < piece.length) {
      if (this.#left > 0) {
        const end = Math.min(piece.length, at + this.#left)
        const lineEndBytes = 2
        // The line end after the data is none of it.
        const dataLeft = Math.max(0, this.#left - lineEndBytes)
        this.#keep(piece.subarray(at, Math.min(end, at + dataLeft)))
        this.#left -= end - at
        at = end
        if (this.#left === 0 && this.#isLastChunk) return at === piece.length
        continue
      }
      const byte = String.fromCharCode(piece[at]!)
      at++
      if (byte !== '\n') {
        this.#sizeLine += byte
        continue
      }
      const size = Number.parseInt(this.#sizeLine, 16)
      if (!Number.isInteger(size)) throw new Error(`no chunk size: ${this.#sizeLine.slice(0, 20)}`)
      this.#sizeLine = ''
      this.#isLastChunk = size === 0
      this.#left = size + 2
    }
    return false
  }

  #keep(piece: Buffer): void {
    this.bodyBytes += piece.length
    if (this.#keepsBody && piece.length > 0) this.#body.push(Buffer.from(piece))
  }
}
