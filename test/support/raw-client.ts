// A client that sends any bytes at all by TCP or TLS, and reads what comes back as strictly as RFC 9112 has it.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

export interface RawAnswer {
  status: number
  headers: Record<string, string>
  body: string
}

export interface RawDoor {
  port: number
  /** By TLS, with the authority that is trusted. */
  ca?: string
}

/** Throws where the bytes are not whole answers one behind the other. `head`: of these requests the answers have no body. */
export function parseAnswers(bytes: string, isHead: (index: number) => boolean): RawAnswer[] {
  const answers: RawAnswer[] = []
  let rest = bytes
  while (rest !== '') {
    const match = /^HTTP\/1\.1 (\d{3}) [^\r\n]*\r\n((?:[^:\r\n]+:[^\r\n]*\r\n)*)\r\n/.exec(rest)
    if (!match) throw new Error(`not an answer: ${JSON.stringify(rest.slice(0, 80))}`)
    const status = Number(match[1])
    const headers = Object.fromEntries(
      match[2]!
        .split('\r\n')
        .slice(0, -1)
        .map((line) => {
          const colon = line.indexOf(':')
          return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
        }),
    )
    const start = match[0].length
    const isBare = status < 200 || status === 204 || status === 304 || isHead(answers.length)
    // Only the parser of node:http, which answers nobody else, leaves the length to the end of the connection.
    const announced = Number(headers['content-length'] ?? rest.length - start)
    // Who refuses what cannot be read does not know that it was a HEAD.
    const isRefusal = status >= 400 && start + announced === rest.length
    // A line cut short may be one, too, to whoever still knows HTTP/0.9.
    const isBareRefusal = status >= 400 && start === rest.length
    const length = (isBare && !isRefusal) || isBareRefusal ? 0 : announced
    if (start + length > rest.length) throw new Error('an answer is cut short')
    answers.push({ status, headers, body: rest.slice(start, start + length) })
    rest = rest.slice(start + length)
  }
  return answers
}

export class RawClient implements Disposable {
  readonly socket: Socket
  readonly #changed = new Set<() => void>()
  #received = ''
  #isClosed = false

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => {})
    socket.on('data', (bytes: Buffer) => {
      this.#received += bytes.toString('latin1')
      this.#wake()
    })
    socket.once('end', () => this.#close())
    socket.once('close', () => this.#close())
  }

  static async dial({ port, ca }: RawDoor): Promise<RawClient> {
    const host = '127.0.0.1'
    const socket =
      ca === undefined
        ? connect({ host, port })
        : connectTls({ host, port, ca, servername: 'localhost', ALPNProtocols: ['http/1.1'] })
    // Else a piece waits for what was sent before it to be acknowledged.
    socket.setNoDelay()
    const client = new RawClient(socket)
    await once(socket, ca === undefined ? 'connect' : 'secureConnect')
    return client
  }

  get received(): string {
    return this.#received
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Each piece is read before the next is sent: both ends share a loop, and loopback delivers at once. */
  async send(...pieces: Uint8Array[]): Promise<void> {
    for (const [at, piece] of pieces.entries()) {
      if (at > 0) for (let turn = 0; turn < 4; turn++) await new Promise((r) => setImmediate(r))
      this.socket.write(piece)
    }
  }

  /** Resolves when the test holds, or the connection has ended. */
  until(holds: (received: string) => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = () => {
        if (!this.#isClosed && !holds(this.#received)) return
        this.#changed.delete(check)
        resolve()
      }
      this.#changed.add(check)
      check()
    })
  }

  /** All that has come when the other side ends. */
  async toEnd(): Promise<string> {
    await this.until(() => false)
    return this.#received
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }

  #close(): void {
    this.#isClosed = true
    this.#wake()
  }

  #wake(): void {
    for (const check of [...this.#changed]) check()
  }
}
