// One kept-alive connection to a server of the loopback address, a request at a time, on a bare socket: so little that
// thousands of them leave a core to the server's answers.
import { connect as connectPlain, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { AnswerReader } from './answer-reader.ts'
import { tlsName } from './bench-server.ts'

export interface RawTarget {
  port: number
  /** PEM of the certificate that is believed; without it there is no TLS. */
  certificate?: string | undefined
}

export interface RawAnswer {
  status: number
  head: string
  bodyBytes: number
  /** Empty unless it was to be kept. */
  body: Buffer
  /** When it was handed to the socket, on the clock of `performance.now()`. */
  sentAtMs: number
  firstByteAtMs: number
  endAtMs: number
}

interface Asked {
  reader: AnswerReader
  sentAtMs: number
  firstByteAtMs: number
  resolve(answer: RawAnswer): void
  reject(err: Error): void
}

export class RawConnection {
  readonly #socket: Socket
  #asked: Asked | undefined
  #isClosed = false

  constructor({ port, certificate }: RawTarget) {
    const where = { host: '127.0.0.1', port }
    this.#socket = certificate
      ? connectTls({ ...where, servername: tlsName, ca: certificate, ALPNProtocols: ['http/1.1'] })
      : connectPlain({ ...where, noDelay: true })
    this.#socket.on('data', (piece: Buffer) => this.#take(piece))
    this.#socket.on('error', (err) => this.#fail(err))
    this.#socket.on('close', () => this.#fail(new Error('the connection was closed')))
  }

  get isIdle(): boolean {
    return this.#asked === undefined && !this.#isClosed
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Resolves with the whole answer; rejects where the connection breaks before its end. */
  ask(path: string, { keepsBody = false }: { keepsBody?: boolean } = {}): Promise<RawAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<RawAnswer>()
    if (!this.isIdle) {
      reject(new Error('the connection is not free'))
      return promise
    }
    const sentAtMs = performance.now()
    const reader = new AnswerReader({ keepsBody })
    this.#asked = { reader, sentAtMs, firstByteAtMs: 0, resolve, reject }
    this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: ${tlsName}\r\nUser-Agent: bench\r\n\r\n`)
    return promise
  }

  close(): void {
    this.#isClosed = true
    this.#socket.destroy()
  }

  #take(piece: Buffer): void {
    const asked = this.#asked
    if (!asked) {
      this.#fail(new Error('an answer that nobody asked for'))
      return
    }
    const nowMs = performance.now()
    if (asked.firstByteAtMs === 0) asked.firstByteAtMs = nowMs
    const { reader } = asked
    try {
      if (!reader.take(piece)) return
    } catch (err) {
      this.#fail(err as Error)
      return
    }
    this.#asked = undefined
    const { status, head, bodyBytes, body } = reader
    const { sentAtMs, firstByteAtMs } = asked
    if (/\r\nconnection: *close/i.test(head)) this.close()
    asked.resolve({ status, head, bodyBytes, body, sentAtMs, firstByteAtMs, endAtMs: nowMs })
  }

  #fail(err: Error): void {
    this.close()
    const asked = this.#asked
    this.#asked = undefined
    asked?.reject(err)
  }
}
