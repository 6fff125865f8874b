// A listening socket with a cap on connections, and an end that waits for them, but not for ever.
import type { AddressInfo, Server, Socket } from 'node:net'
import type { Clock } from '../clock.ts'
import type { Logger } from '../log.ts'
import { type ListenTarget, listen } from './listen.ts'

export interface ListenerOptions {
  server: Server
  maxConnections: number
  /** How long connections may go on after the listener has been told to stop. */
  drainLimitMs: number
  clock: Clock
  log: Logger
  /** A connection was refused because there are too many. */
  onDropped?(): void
}

export class Listener implements AsyncDisposable {
  readonly #options: ListenerOptions
  readonly #sockets = new Set<Socket>()
  #address: AddressInfo | undefined
  #closed: Promise<void> | undefined
  #dropped = 0

  constructor(options: ListenerOptions) {
    this.#options = options
    const { server, maxConnections, log } = options
    server.maxConnections = maxConnections
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    server.on('drop', () => {
      options.onDropped?.()
      // The first and then every thousandth: a flood must not fill the log.
      if (this.#dropped++ % 1_000 === 0) {
        log.warn({ maxConnections, dropped: this.#dropped }, 'too many connections')
      }
    })
  }

  async start(target: ListenTarget): Promise<AddressInfo> {
    this.#address = await listen(this.#options.server, target)
    this.#options.server.on('error', (err) => this.#options.log.error({ err }, 'listener failed'))
    return this.#address
  }

  /** Defined once started. */
  get address(): AddressInfo | undefined {
    return this.#address
  }

  get connections(): number {
    return this.#sockets.size
  }

  /** New connections are refused from now on; those that are there go on. Resolves when none is left. */
  stopAccepting(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      if (this.#options.server.listening) this.#options.server.close(() => resolve())
      else resolve()
    })
    return this.#closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.stopAccepting()
    const limit = this.#options.clock.setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy()
    }, this.#options.drainLimitMs)
    await closed
    limit.cancel()
  }
}
