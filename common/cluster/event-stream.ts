// Reader of server-sent events (WHATWG HTML §9.2.6): bytes in, events out, bounded in memory.

export interface ServerEvent {
  event: string
  data: string
}

const maxEventChars = 64 * 1024 * 1024

export class EventStreamParser {
  readonly #decoder = new TextDecoder()
  #rest = ''
  #event = ''
  #data: string[] = []
  #dataChars = 0

  /** Events that the piece completes, or `undefined` when one grows past all reason: close the stream then. */
  push(piece: Uint8Array): ServerEvent[] | undefined {
    // A lone CR at the end may be the first half of CRLF, so it waits for the next piece.
    const text = this.#rest + this.#decoder.decode(piece, { stream: true })
    const events: ServerEvent[] = []
    const lineEnd = /\r\n|\n|\r(?!$)/g
    let start = 0
    for (let match = lineEnd.exec(text); match; match = lineEnd.exec(text)) {
      this.#line(text.slice(start, match.index), events)
      start = lineEnd.lastIndex
    }
    this.#rest = text.slice(start)
    return this.#rest.length + this.#dataChars > maxEventChars ? undefined : events
  }

  #line(line: string, events: ServerEvent[]): void {
    if (line === '') {
      if (this.#data.length > 0) {
        events.push({ event: this.#event || 'message', data: this.#data.join('\n') })
      }
      this.#event = ''
      this.#data = []
      this.#dataChars = 0
      return
    }
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1))
    if (field === 'event') this.#event = value
    if (field === 'data') {
      this.#data.push(value)
      this.#dataChars += value.length
    }
  }
}
