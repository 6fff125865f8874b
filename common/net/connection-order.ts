// Keeps the answers of an HTTP/1.1 connection in the order of its requests when one of these cannot be trusted: what was
// asked before is answered first, then comes one refusal, then the end. What lies behind is not looked at.
//
// Node alone writes the refusal of bytes that it cannot read at once, before answers that are still due: a client
// would take it for the answer to a good request. And it hands on every request behind a refused one.
import { type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'

/** Players do not pipeline; whoever does gets that far ahead of the answers. */
export const maxUnanswered = 64
/** Behind a refusal that waits for its turn, so many are overlooked before the connection is cut. */
const maxOverlooked = 1_000

interface Connection {
  unanswered: number
  overlooked: number
  isOver: boolean
  /** What is to be written when nothing is due any more. */
  refusal: string | undefined
}

export class ConnectionOrder {
  readonly #connections = new WeakMap<Duplex, Connection>()

  /** For each request as it comes: what to do with it. */
  admit(socket: Duplex, res: ServerResponse): 'serve' | 'refuse' | 'overlook' {
    const connection = this.#of(socket)
    if (connection.isOver) {
      if (++connection.overlooked > maxOverlooked) socket.destroy()
      return 'overlook'
    }
    connection.unanswered++
    res.once('close', () => {
      connection.unanswered--
      this.#refuse(socket, connection)
    })
    if (connection.unanswered <= maxUnanswered) return 'serve'
    return 'refuse'
  }

  /** The answer that was admitted last ends the connection. */
  end(socket: Duplex): void {
    this.#of(socket).isOver = true
  }

  /** Refuses what cannot be read as a request, once everything before it has been answered. */
  refuse(socket: Duplex, status: number, reason: string): void {
    const connection = this.#of(socket)
    // The answer that ends it is on its way.
    if (connection.isOver) return
    connection.isOver = true
    connection.refusal = refusalOf(status, reason)
    this.#refuse(socket, connection)
  }

  #of(socket: Duplex): Connection {
    const known = this.#connections.get(socket)
    if (known) return known
    const made = { unanswered: 0, overlooked: 0, isOver: false, refusal: undefined }
    this.#connections.set(socket, made)
    return made
  }

  #refuse(socket: Duplex, connection: Connection): void {
    if (connection.refusal === undefined || connection.unanswered > 0) return
    if (socket.writable) socket.end(connection.refusal, () => socket.destroy())
    else socket.destroy()
    connection.refusal = undefined
  }
}

function refusalOf(status: number, reason: string): string {
  const body = `${status} ${reason}\n`
  return (
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nContent-Type: text/plain; charset=utf-8\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n${body}`
  )
}

/** What a parser's or a deadline's error is told as; undefined for a connection that has failed by itself. */
export function refusalStatus(code: string | undefined): number | undefined {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return 408
    case 'HPE_HEADER_OVERFLOW':
      return 431
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return 413
    default:
      return code?.startsWith('HPE_') ? 400 : undefined
  }
}
