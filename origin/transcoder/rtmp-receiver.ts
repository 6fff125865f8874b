// The transcoder's side of its RTMP receiver: starts and restarts the child, decides about each publish, and
// gets the media of each stream as a socket that pushes back.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Clock, Timer } from '../../common/clock.ts'
import { type Refusal, statusCodeOf, statusDescription } from '../../common/contract/refusal.ts'
import { ServiceError } from '../../common/errors.ts'
import type { Logger } from '../../common/log.ts'
import type { ProcessGuard } from './process-guard.ts'
import type { FromReceiver, ToReceiver } from './receiver-messages.ts'

export interface PublishAttempt {
  /** Names this one connection; media comes under it. */
  connection: string
  app: string
  name: string
  ticket: string
  address: string
}

/** A publish that was let in. */
export interface ReceivedStream {
  connection: string
  /** FLV bytes; ends when the publisher's connection ends. Not reading it slows the publisher down. */
  media: Socket
  /** A status for the publisher, then the end of its connection. */
  refuse(refusal: Refusal): void
  drop(): void
}

export interface RtmpReceiverOptions {
  host: string
  port: number
  trustedNetworks: readonly string[]
  /** Kept short: the path of a unix-domain socket has about 100 bytes. */
  runFolder: string
  guard: ProcessGuard
  clock: Clock
  log: Logger
  /** `undefined` lets the publish start. */
  decide: (attempt: PublishAttempt) => Promise<Refusal | undefined>
  onStream: (stream: ReceivedStream) => void
}

const childFile = fileURLToPath(new URL('./rtmp-receiver-child.ts', import.meta.url))
const firstRestartMs = 250
const longestRestartMs = 5_000
const stopMs = 2_000
const firstLineTimeoutMs = 5_000
const maxFirstLineBytes = 128
const maxSocketPathBytes = 100

export class RtmpReceiver implements AsyncDisposable {
  readonly #options: RtmpReceiverOptions
  readonly #mediaServer: Server
  readonly #mediaSockets = new Set<Socket>()
  /** Connections that were let in and whose media has not come yet. */
  readonly #expected = new Set<string>()
  #folder = ''
  #mediaPath = ''
  #child: ChildProcess | undefined
  #port = 0
  #restartTimer: Timer | undefined
  #restartMs = firstRestartMs
  #isStopping = false
  #isListening = false

  constructor(options: RtmpReceiverOptions) {
    this.#options = options
    this.#mediaServer = createServer((socket) => this.#onMediaSocket(socket))
  }

  /** The real one, also when 0 was asked for. */
  get port(): number {
    return this.#port
  }

  get isListening(): boolean {
    return this.#isListening
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Rejects with a `ServiceError` that names the port when it cannot be had. */
  async start(): Promise<void> {
    await this.#makeFolder()
    this.#mediaServer.listen(this.#mediaPath)
    await once(this.#mediaServer, 'listening')
    try {
      await this.#startChild(this.#options.port)
    } catch (err) {
      await this[Symbol.asyncDispose]()
      throw err
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true
    this.#restartTimer?.cancel()
    await this.#stopChild()
    for (const socket of this.#mediaSockets) socket.destroy()
    if (this.#mediaServer.listening) {
      this.#mediaServer.close()
      await once(this.#mediaServer, 'close')
    }
    if (this.#folder !== '') await rm(this.#folder, { recursive: true, force: true })
  }

  async #makeFolder(): Promise<void> {
    const own = this.#options.runFolder
    if (Buffer.byteLength(join(own, 'media.sock')) <= maxSocketPathBytes) {
      await rm(own, { recursive: true, force: true })
      await mkdir(own, { recursive: true, mode: 0o700 })
      this.#folder = own
    } else {
      this.#folder = await mkdtemp(join(tmpdir(), 'nearcast-'))
    }
    this.#mediaPath = join(this.#folder, 'media.sock')
  }

  #startChild(port: number): Promise<void> {
    const { guard, log, host, trustedNetworks } = this.#options
    const [execPath, execArgs] = guard.wrap(process.execPath, [])
    // `fork` runs `execPath ...execArgv file`, so the guard goes in front of Node.
    const child = fork(childFile, [], {
      execPath,
      execArgv: execArgs,
      cwd: this.#folder,
      // Nothing of our environment: it parses bytes from the network and needs no secret.
      env: {},
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    this.#child = child
    const started = Promise.withResolvers<void>()
    let errors = ''
    child.stderr?.setEncoding('utf8')
    child.stderr?.on('data', (text: string) => {
      errors = (errors + text).slice(-2_000)
    })
    child.on('message', (message: FromReceiver) => {
      if (message.type === 'listening') {
        this.#port = message.port
        this.#isListening = true
        this.#restartMs = firstRestartMs
        started.resolve()
      } else if (message.type === 'listen-failed') {
        const { code } = message
        started.reject(new ServiceError(message.message, { code, source: 'internal' }))
      } else this.#onMessage(message)
    })
    child.once('error', (err) => started.reject(err))
    child.once('exit', (code, signal) => {
      this.#isListening = false
      if (this.#child === child) this.#child = undefined
      const reason = signal ?? `exit code ${code}`
      started.reject(new Error(`the RTMP receiver ended: ${reason} ${errors}`))
      if (this.#isStopping || this.#port === 0) return
      log.error({ reason, errors }, 'the RTMP receiver ended; starting it again')
      this.#restartSoon()
    })
    this.#send({ type: 'start', host, port, mediaSocket: this.#mediaPath, trustedNetworks })
    return started.promise
  }

  #restartSoon(): void {
    this.#restartTimer = this.#options.clock.setTimeout(() => {
      this.#restartMs = Math.min(this.#restartMs * 2, longestRestartMs)
      this.#startChild(this.#port).catch((err) => {
        this.#options.log.error({ err }, 'the RTMP receiver does not start')
      })
    }, this.#restartMs)
  }

  async #stopChild(): Promise<void> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    const timer = this.#options.clock.setTimeout(() => child.kill('SIGKILL'), stopMs)
    // Losing its parent's channel is the child's sign to go.
    if (child.connected) child.disconnect()
    else child.kill('SIGKILL')
    await exited
    timer.cancel()
  }

  #send(message: ToReceiver): void {
    // The exit of a child that cannot be told anything is handled where it is noticed.
    if (this.#child?.connected) this.#child.send(message, () => {})
  }

  #onMessage(message: FromReceiver): void {
    if (message.type === 'publish') void this.#decide(message)
    else if (message.type === 'closed') this.#expected.delete(message.connection)
    else if (message.type === 'log') this.#options.log[message.level](message.message)
  }

  async #decide(attempt: FromReceiver & { type: 'publish' }): Promise<void> {
    const { connection } = attempt
    const refused = await this.#options.decide(attempt)
    if (refused) this.#refuse(connection, refused, statusCodeOf(refused.code))
    else {
      this.#expected.add(connection)
      this.#send({ type: 'accept', connection })
    }
  }

  #refuse(connection: string, refused: Refusal, code: string): void {
    this.#send({ type: 'refuse', connection, code, description: statusDescription(refused) })
  }

  #onMediaSocket(socket: Socket): void {
    this.#mediaSockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => this.#mediaSockets.delete(socket))
    const timer = this.#options.clock.setTimeout(() => socket.destroy(), firstLineTimeoutMs)
    let head = Buffer.alloc(0)
    const onReadable = () => {
      for (;;) {
        const bytes: Buffer | null = socket.read()
        if (bytes === null) return
        head = Buffer.concat([head, bytes])
        const end = head.indexOf(0x0a)
        if (end < 0 && head.length <= maxFirstLineBytes) continue
        timer.cancel()
        socket.off('readable', onReadable)
        const connection = head.toString('latin1', 0, Math.max(0, end))
        if (end < 0 || !this.#expected.delete(connection)) return socket.destroy()
        if (end + 1 < head.length) socket.unshift(head.subarray(end + 1))
        return this.#options.onStream({
          connection,
          media: socket,
          refuse: (refused) => this.#refuse(connection, refused, 'NetStream.Publish.Rejected'),
          drop: () => this.#send({ type: 'drop', connection }),
        })
      }
    }
    socket.on('readable', onReadable)
    socket.once('close', () => timer.cancel())
  }
}
