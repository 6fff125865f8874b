// Cuts a text stream into server-sent events (HTML Standard §9.2.6); bounded, since it trusts no server.

export interface ServerEvent {
  event: string
  data: string
}

const maxEventChars = 16 * 1024 * 1024

export class EventParser {
  #rest = ''
  #event = ''
  #data: string[] = []
  #chars = 0
  #isAfterReturn = false

  /** Events that are complete with this piece. Throws when an event has no end in sight. */
  push(text: string): ServerEvent[] {
    const events: ServerEvent[] = []
    let start = 0
    for (let i = 0; i < text.length; i++) {
      const char = text[i]
      if (char !== '\n' && char !== '\r') {
        this.#isAfterReturn = false
        continue
      }
      // CR LF is one end of line, also when it is cut between two pieces.
      if (char === '\n' && this.#isAfterReturn) {
        this.#isAfterReturn = false
        start = i + 1
        continue
      }
      this.#isAfterReturn = char === '\r'
      const event = this.#line(this.#rest + text.slice(start, i))
      this.#rest = ''
      start = i + 1
      if (event) events.push(event)
    }
    this.#rest += text.slice(start)
    if (this.#chars + this.#rest.length > maxEventChars) throw new RangeError('event too large')
    return events
  }

  #line(line: string): ServerEvent | undefined {
    if (line === '') return this.#dispatch()
    this.#chars += line.length
    const colon = line.indexOf(':')
    if (colon === 0) return undefined
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (field === 'event') this.#event = value
    else if (field === 'data') this.#data.push(value)
    return undefined
  }

  #dispatch(): ServerEvent | undefined {
    const event = { event: this.#event || 'message', data: this.#data.join('\n') }
    const isEmpty = this.#data.length === 0
    this.#event = ''
    this.#data = []
    this.#chars = 0
    return isEmpty ? undefined : event
  }
}
