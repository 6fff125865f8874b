// Reads the plainest request there is: one GET, whole in one read, nothing in it that changes its answer but what is
// named here. Whatever it does not know for certain is not its to answer: node:http reads the same bytes again.
//
// Strict where it says yes (RFC 9112 §2.2, §3, §5): CRLF only, one SP around the target, token names, visible values,
// exactly one well-formed Host, no framing header at all.
import { acceptsCoding } from '../../../common/net/accept-encoding.ts'
import { isHost } from '../../../common/net/request-guard.ts'

/** What of a header block matters; the same object for the same bytes. */
export interface HeaderFacts {
  /** Everything behind the request line, the empty line included. */
  block: string
  /** As an Accept-Encoding of its own would be. */
  takesGzip: boolean
  agent: string
  /** It is the connection's last request. */
  isLast: boolean
}

export interface SimpleGet {
  /** Path and query, visible ASCII, as sent. */
  target: string
  facts: HeaderFacts
}

const maxRequestBytes = 8 * 1024
const maxHeaders = 64
const method = 'GET '
const version = ' HTTP/1.1'

// RFC 3986 §3.3: a fragment never belongs into a request.
export const targetForm = /^\/[\x21\x22\x24-\x7e]*$/
const headerForm =
  /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t ]*((?:[\x21-\x7e]+(?:[\t ]+[\x21-\x7e]+)*)?)[\t ]*$/

/** They say how the request ends, ask for another answer, or for another protocol. */
export const notSimple: ReadonlySet<string> = new Set([
  'content-length',
  'transfer-encoding',
  'trailer',
  'te',
  'expect',
  'upgrade',
  'http2-settings',
  'range',
  'if-range',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'proxy-connection',
  'keep-alive',
])

/** Players send the same headers with every request: read once, known by their bytes. */
export class SimpleGets {
  readonly #known = new Map<string, HeaderFacts>()
  readonly #maxKnown: number

  constructor(maxKnown = 1_024) {
    this.#maxKnown = maxKnown
  }

  /** `last` are the facts of the connection's request before. Undefined: not simple. Never throws. */
  read(bytes: Buffer, last: HeaderFacts | undefined): SimpleGet | undefined {
    if (bytes.length > maxRequestBytes) return undefined
    const text = bytes.toString('latin1')
    const lineEnd = text.indexOf('\r\n')
    if (lineEnd < 0 || !text.startsWith(method)) return undefined
    if (!text.startsWith(version, lineEnd - version.length)) return undefined
    const target = text.slice(method.length, lineEnd - version.length)
    const facts = this.#facts(text, lineEnd + 2, last)
    return facts && targetForm.test(target) ? { target, facts } : undefined
  }

  #facts(text: string, start: number, last: HeaderFacts | undefined): HeaderFacts | undefined {
    if (last && text.length - start === last.block.length && text.endsWith(last.block)) return last
    const block = text.slice(start)
    const known = this.#known.get(block)
    if (known) return known
    const facts = readHeaders(block)
    if (!facts) return undefined
    if (this.#known.size >= this.#maxKnown) this.#known.clear()
    this.#known.set(facts.block, facts)
    return facts
  }
}

function readHeaders(block: string): HeaderFacts | undefined {
  if (!block.endsWith('\r\n\r\n')) return undefined
  const lines = block.slice(0, -4).split('\r\n')
  if (lines.length > maxHeaders) return undefined
  let hosts = 0
  let agent = ''
  let isLast = false
  let acceptEncoding: string | undefined
  for (const line of lines) {
    const match = headerForm.exec(line)
    if (!match) return undefined
    const name = match[1]!.toLowerCase()
    const value = match[2]!
    if (notSimple.has(name)) return undefined
    switch (name) {
      case 'host':
        if (++hosts > 1 || !isHost(value)) return undefined
        break
      case 'connection':
        if (isLast || !/^(?:keep-alive|close)$/i.test(value)) return undefined
        isLast = value.length === 'close'.length
        break
      case 'accept-encoding':
        // Lines of one name are one list (RFC 9110 §5.3).
        acceptEncoding = acceptEncoding === undefined ? value : `${acceptEncoding},${value}`
        break
      case 'user-agent':
        agent = value
        break
    }
  }
  if (hosts !== 1) return undefined
  const takesGzip = acceptsCoding(acceptEncoding, 'gzip')
  return { block: detached(block), takesGzip, agent, isLast }
}

/** A slice keeps the whole text that it was cut from alive. */
function detached(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1')
}
