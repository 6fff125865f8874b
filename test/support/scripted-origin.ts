// An HTTP origin that says nothing by itself: a test takes each request and answers it byte by byte.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export class OriginExchange {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  /** Resolves when the asking side has gone away before the answer was finished. */
  readonly abandoned: Promise<void>

  constructor(req: IncomingMessage, res: ServerResponse) {
    this.req = req
    this.res = res
    this.abandoned = new Promise((resolve) =>
      res.once('close', () => res.writableFinished || resolve()),
    )
  }

  head(status: number, headers: Record<string, string | number> = {}): this {
    this.res.writeHead(status, headers)
    this.res.flushHeaders()
    return this
  }

  write(bytes: string | Uint8Array): this {
    this.res.write(bytes)
    return this
  }

  end(bytes: string | Uint8Array = ''): void {
    this.res.end(bytes)
  }

  /** Cuts the connection. */
  cut(): void {
    this.res.destroy()
  }
}

export class ScriptedOrigin implements AsyncDisposable {
  readonly requests: string[] = []
  /** Answers every request where it is set; the test takes them by `next()` where it is not. */
  respond: ((exchange: OriginExchange) => void) | undefined
  readonly #server: Server
  readonly #arrived: OriginExchange[] = []
  readonly #waiting: ((exchange: OriginExchange) => void)[] = []

  private constructor() {
    this.#server = createServer((req, res) => {
      this.requests.push(req.url!)
      const exchange = new OriginExchange(req, res)
      if (this.respond) this.respond(exchange)
      else if (this.#waiting.length > 0) this.#waiting.shift()!(exchange)
      else this.#arrived.push(exchange)
    })
  }

  static async start(): Promise<ScriptedOrigin> {
    const origin = new ScriptedOrigin()
    origin.#server.listen(0, '127.0.0.1')
    await once(origin.#server, 'listening')
    return origin
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** The next request that arrives, or has arrived and was not taken yet. */
  next(): Promise<OriginExchange> {
    const arrived = this.#arrived.shift()
    if (arrived) return Promise.resolve(arrived)
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }
}
