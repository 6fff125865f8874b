// Viewers that never stop asking, each in its own way, and what became of every request: over a new connection each,
// plain and TLS; over connections that are kept; over HTTP/2. Each goes on elsewhere only where it was told to.
import { Agent, get } from 'node:http'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'

export interface StormOptions {
  host: string
  httpPort: number
  tlsPort: number
  ca: Buffer
  /** Answered 200 by whoever is asked. */
  path: string
  /** Default: as many as keep a core busy. */
  viewers?: Record<keyof Storm, number>
  /** Between two requests of one viewer; default: none where each has a connection of its own, else 5. */
  pauseMs?: number
}

export interface Tally {
  ok: number
  /** By what went wrong. */
  failed: Record<string, number>
}

export type Storm = Record<'plain' | 'tls' | 'kept' | 'http2', Tally>

const manyViewers = { plain: 32, tls: 4, kept: 8, http2: 4 }
const keptPauseMs = 5

export class RequestStorm {
  /** So many of those that are kept were opened. */
  readonly connections = { kept: 0, http2: 0 }
  readonly tally: Storm = { plain: none(), tls: none(), kept: none(), http2: none() }
  readonly #options: StormOptions
  readonly #viewers: Record<keyof Storm, number>
  readonly #agent: Agent
  readonly #running: Promise<void>[] = []
  #isOver = false

  constructor(options: StormOptions) {
    this.#options = options
    const { viewers = manyViewers, pauseMs = 0 } = options
    this.#viewers = viewers
    this.#agent = new Agent({ keepAlive: true, maxSockets: viewers.kept })
    this.#each('plain', () => this.#once(() => connect(this.#target(options.httpPort))), pauseMs)
    this.#each(
      'tls',
      () => {
        const tls = { ...this.#target(options.tlsPort), servername: 'localhost', ca: options.ca }
        return this.#once(() => connectTls(tls))
      },
      pauseMs,
    )
    this.#each('kept', () => this.#kept(), pauseMs || keptPauseMs)
    for (let i = 0; i < viewers.http2; i++) this.#running.push(this.#http2())
  }

  /** Everything that went wrong, in words. */
  get failures(): string[] {
    return Object.entries(this.tally).flatMap(([kind, { failed }]) =>
      Object.entries(failed).map(([what, count]) => `${kind}: ${count} × ${what}`),
    )
  }

  get requests(): number {
    return Object.values(this.tally).reduce((sum, { ok }) => sum + ok, 0)
  }

  async stop(): Promise<Storm> {
    this.#isOver = true
    await Promise.all(this.#running)
    this.#agent.destroy()
    return this.tally
  }

  #target(port: number) {
    return { host: this.#options.host, port }
  }

  #each(kind: keyof Storm, ask: () => Promise<void>, waitMs: number): void {
    for (let i = 0; i < this.#viewers[kind]; i++)
      this.#running.push(this.#repeat(kind, ask, waitMs))
  }

  async #repeat(kind: keyof Storm, ask: () => Promise<void>, waitMs: number): Promise<void> {
    while (!this.#isOver) {
      await this.#count(kind, ask)
      if (waitMs > 0) await pause(waitMs)
    }
  }

  async #count(kind: keyof Storm, ask: () => Promise<void>): Promise<void> {
    const tally = this.tally[kind]
    try {
      await ask()
      tally.ok++
    } catch (err) {
      const { code, message } = err as NodeJS.ErrnoException
      const what = code === undefined || code.startsWith('ERR_HTTP2') ? message : code
      tally.failed[what] = (tally.failed[what] ?? 0) + 1
    }
  }

  /** One request, one connection. */
  #once(open: () => ReturnType<typeof connect>): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = open()
      let text = ''
      socket.setEncoding('latin1')
      socket.on('error', reject)
      socket.on('data', (piece) => {
        text += piece
      })
      socket.on('end', () => {
        if (text.startsWith('HTTP/1.1 200')) resolve()
        else reject(new Error(text.slice(0, 20) || 'no answer'))
      })
      socket.write(`GET ${this.#options.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    })
  }

  #kept(): Promise<void> {
    return new Promise((resolve, reject) => {
      const { path, httpPort } = this.#options
      const req = get({ ...this.#target(httpPort), path, agent: this.#agent }, (res) => {
        if (!req.reusedSocket) this.connections.kept++
        res.resume()
        res.on('error', reject)
        res.on('end', () => {
          if (res.statusCode === 200) resolve()
          else reject(new Error(`status ${res.statusCode}`))
        })
      })
      req.on('error', reject)
    })
  }

  async #http2(): Promise<void> {
    const { tlsPort, ca, host, pauseMs = keptPauseMs } = this.#options
    let session: ClientHttp2Session | undefined
    while (!this.#isOver) {
      // Told to go on elsewhere, it is closed by itself for new requests.
      if (!session || session.closed || session.destroyed) {
        session = connectHttp2(`https://localhost:${tlsPort}`, {
          ca,
          createConnection: () =>
            connectTls({ host, port: tlsPort, servername: 'localhost', ca, ALPNProtocols: ['h2'] }),
        })
        session.on('error', () => {})
        this.connections.http2++
      }
      const current = session
      await this.#count('http2', () => this.#stream(current))
      await pause(pauseMs)
    }
    session?.destroy()
  }

  #stream(session: ClientHttp2Session): Promise<void> {
    return new Promise((resolve, reject) => {
      const stream = session.request({ ':path': this.#options.path })
      let status = 0
      stream.on('response', (headers) => {
        status = Number(headers[':status'])
      })
      stream.on('error', reject)
      stream.on('end', () => {
        if (status === 200) resolve()
        else reject(new Error(`status ${status}`))
      })
      stream.on('close', () => reject(new Error('closed without an answer')))
      stream.resume()
      stream.end()
    })
  }
}

function none(): Tally {
  return { ok: 0, failed: {} }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
