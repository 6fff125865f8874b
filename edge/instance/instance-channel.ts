// How a running edge and one that starts on the same data directory speak: a socket in that directory, one JSON value
// a line, a question and its answer by turns.
import { chmodSync, rmSync } from 'node:fs'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { type Clock, delay } from '../../common/clock.ts'
import { messageOf } from '../../common/errors.ts'
import type { Logger } from '../../common/log.ts'

export interface InstanceListener {
  host: string
  port: number
}

/** What an edge tells of itself. */
export interface InstanceFacts {
  pid: number
  node: string
  version: string
  listeners: InstanceListener[]
}

type Question = { ask: 'facts' | 'take-over' | 'serve'; pid: number }
export type Answer = { facts: InstanceFacts } | { released: true } | { refused: string }

const maxLineBytes = 64 * 1024

export interface InstanceServerOptions {
  facts: InstanceFacts
  /** The other one serves: lets go of all that it needs. Resolves when that is done. */
  release: () => Promise<void>
  log: Logger
}

/** The end of the edge that runs. */
export class InstanceServer implements Disposable {
  readonly #options: InstanceServerOptions
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  /** May say that it serves; forgotten when it goes before it has. */
  #successor: { socket: Socket; pid: number } | undefined

  constructor(options: InstanceServerOptions) {
    this.#options = options
    this.#server = createServer((socket) => this.#accept(socket))
  }

  /** Whatever has that name is an earlier one's: whoever calls this holds the lock. */
  async listen(path: string): Promise<void> {
    rmSync(path, { force: true })
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(path, resolve)
    })
    chmodSync(path, 0o600)
  }

  /** Takes the name away as well. */
  [Symbol.dispose](): void {
    if (this.#server.listening) this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => {
      this.#sockets.delete(socket)
      if (this.#successor?.socket !== socket) return
      const { pid } = this.#successor
      this.#successor = undefined
      this.#options.log.warn({ pid }, 'the process that was to take over is gone; this one goes on')
    })
    readLines(socket, (line) => {
      this.#answer(socket, JSON.parse(line) as Question).then(
        (answer) => socket.write(`${JSON.stringify(answer)}\n`),
        (err) => {
          this.#options.log.warn({ detail: messageOf(err) }, 'a question of another process failed')
          socket.destroy()
        },
      )
    })
  }

  async #answer(socket: Socket, { ask, pid }: Question): Promise<Answer> {
    const { facts, release, log } = this.#options
    const successor = this.#successor
    if (ask === 'facts') return { facts }
    if (ask === 'take-over') {
      if (successor) return { refused: `process ${successor.pid} is taking over from it` }
      this.#successor = { socket, pid }
      log.info({ pid }, 'another process is starting to take over')
      return { facts }
    }
    if (successor?.socket !== socket) return { refused: 'it was not asked to hand over' }
    log.info({ pid }, 'another process serves; handing over')
    this.#successor = undefined
    // The name is free before the other one hears that it may have it.
    this.#server.close()
    await release()
    return { released: true }
  }
}

/** The end of the edge that starts. */
export class InstanceClient implements Disposable {
  readonly #socket: Socket
  readonly #clock: Clock
  #heard: ((line: string | undefined) => void) | undefined

  private constructor(socket: Socket, clock: Clock) {
    this.#socket = socket
    this.#clock = clock
    socket.on('close', () => this.#heard?.(undefined))
    readLines(socket, (line) => this.#heard?.(line))
  }

  /** Undefined: nobody is there. */
  static connect(path: string, clock: Clock): Promise<InstanceClient | undefined> {
    return new Promise((resolve) => {
      const socket = createConnection(path)
      socket.on('error', () => resolve(undefined))
      socket.once('connect', () => resolve(new InstanceClient(socket, clock)))
    })
  }

  /** Undefined: the other one has left, or was silent for so long. */
  async ask(ask: Question['ask'], limitMs: number): Promise<Answer | undefined> {
    if (this.#socket.destroyed) return undefined
    const stop = new AbortController()
    const heard = new Promise<string | undefined>((resolve) => {
      this.#heard = resolve
    })
    const question: Question = { ask, pid: process.pid }
    this.#socket.write(`${JSON.stringify(question)}\n`)
    const line = await Promise.race([heard, delay(this.#clock, limitMs, stop.signal)])
    stop.abort()
    return typeof line === 'string' ? (JSON.parse(line) as Answer) : undefined
  }

  [Symbol.dispose](): void {
    this.#socket.destroy()
  }
}

function readLines(socket: Socket, onLine: (line: string) => void): void {
  let text = ''
  socket.setEncoding('utf8')
  socket.on('data', (piece: string) => {
    text += piece
    const lines = text.split('\n')
    text = lines.pop() ?? ''
    try {
      if (text.length > maxLineBytes) throw new Error('a line without an end')
      for (const line of lines) onLine(line)
    } catch {
      socket.destroy()
    }
  })
}
