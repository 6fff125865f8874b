// An origin on a bare socket: it keeps the bytes of each request as they came, and answers with bytes that a test
// chooses, whether they are HTTP or not.
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'

export type RawAnswer = (request: string, socket: Socket) => void

/** A whole answer that says which path it is of. */
export const echoPath: RawAnswer = (request, socket) => {
  socket.write(wholeAnswer(pathOf(request)))
}

export function wholeAnswer(body: string, more = ''): string {
  return `HTTP/1.1 200 OK\r\ncontent-length: ${Buffer.byteLength(body)}\r\n${more}\r\n${body}`
}

export function pathOf(request: string): string {
  return request.split(' ', 2)[1] ?? ''
}

export class RawOrigin implements AsyncDisposable {
  /** Each with its empty line. */
  readonly requests: string[] = []
  respond: RawAnswer = echoPath
  connections = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor() {
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket))
  }

  static async start(): Promise<RawOrigin> {
    const origin = new RawOrigin()
    origin.#server.listen(0, '127.0.0.1')
    await once(origin.#server, 'listening')
    return origin
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  get paths(): string[] {
    return this.requests.map(pathOf)
  }

  /** Ends every connection, so that the next request comes by a new one. */
  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
    this.hangUp()
    if (this.#server.listening) await once(this.#server, 'close')
  }

  #accept(socket: Socket): void {
    this.connections++
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => this.#sockets.delete(socket))
    let text = ''
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1')
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const request = text.slice(0, end + 4)
        text = text.slice(end + 4)
        this.requests.push(request)
        this.respond(request, socket)
      }
    })
  }
}
