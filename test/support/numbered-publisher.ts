// A publisher over RTMP or RTMPS that remembers every frame that it sent, and every connection that it lost.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { RtmpClientSession } from '../../media/rtmp/client-session.ts'
import { type FrameKind, frameOffset } from './numbered-media.ts'
import { NumberedSource } from './numbered-source.ts'
import { clip } from './publisher-clips.ts'
import { until } from './until.ts'

export interface SentFrame {
  kind: FrameKind
  number: number
  digest: string
  /** On the clock of `performance.now()`. */
  sentAtMs: number
}

export interface NumberedPublisherOptions {
  /** With the application: `rtmps://localhost:8443/live`. Each further one is for after a lost connection, by turns. */
  servers: readonly string[]
  streamKey: string
  /** PEM of the authority that is trusted; nobody is checked without it. */
  ca?: Buffer
  size?: string
  framesPerSecond?: number
  sampleRate?: number
  keyframeSeconds?: number
  /** Number of the first frame, where several publishers must be told apart. */
  firstNumber?: number
  /** As OBS does: so long after a lost connection it tries again. Stays away when absent. */
  reconnectAfterMs?: number
}

/** Whole frames of AAC at 48 kHz as at 16 kHz, and of video. */
const loopSeconds = 8
const tickMs = 10

export function digestOf(data: Buffer): string {
  return createHash('sha1').update(data).digest('base64')
}

export class NumberedPublisher implements AsyncDisposable {
  readonly sent: SentFrame[] = []
  readonly statuses: { level: string; code: string; description: string }[] = []
  /** Connections that ended although nobody here wanted it. */
  disconnects = 0
  /** Of publishes that were let in. */
  readonly startedAtMs: number[] = []
  /** The most that waited in this process because nobody read. */
  maxBacklogBytes = 0
  readonly #options: NumberedPublisherOptions
  readonly #source: NumberedSource
  #socket: Socket | undefined
  #session: RtmpClientSession | undefined
  #tick: NodeJS.Timeout | undefined
  #retry: NodeJS.Timeout | undefined
  #liveSinceMs = 0
  #dials = 0
  #isStopped = false

  private constructor(options: NumberedPublisherOptions, source: NumberedSource) {
    this.#options = options
    this.#source = source
  }

  /** Resolves when the publish was let in. */
  static async start(options: NumberedPublisherOptions): Promise<NumberedPublisher> {
    const { framesPerSecond = 30, sampleRate = 48_000 } = options
    const keyframes = framesPerSecond * (options.keyframeSeconds ?? 2)
    const made = await clip({
      seconds: loopSeconds,
      framesPerSecond,
      keyframes,
      size: options.size ?? '320x180',
      sampleRate,
    })
    const { firstNumber } = options
    const source = new NumberedSource({
      clip: made,
      framesPerSecond,
      sampleRate,
      ...(firstNumber !== undefined && { firstNumber }),
    })
    const publisher = new NumberedPublisher(options, source)
    publisher.#dial()
    try {
      await until('the publish to be let in', () => {
        const refused = publisher.statuses.find(({ level }) => level === 'error')
        if (refused) throw new Error(`refused: ${refused.code}, ${refused.description}`)
        return publisher.startedAtMs.length > 0
      })
    } catch (err) {
      await publisher[Symbol.asyncDispose]()
      throw err
    }
    return publisher
  }

  get isConnected(): boolean {
    return this.#liveSinceMs > 0
  }

  /** Where it publishes, or tries to. */
  get server(): string {
    const { servers } = this.#options
    return servers[(this.#dials - 1) % servers.length]!
  }

  /** Local port of the connection: another one means another connection. */
  get localPort(): number | undefined {
    return this.#socket?.localPort
  }

  /** As a user who restarts the encoder: gone, and back at once. Counts as no disconnect. */
  comeBack(): void {
    clearInterval(this.#tick)
    clearTimeout(this.#retry)
    this.#liveSinceMs = 0
    const before = this.#socket
    this.#dial()
    before?.destroy()
  }

  /** As a pulled cable would: nothing more is sent, nothing is said. */
  fallSilent(): void {
    clearInterval(this.#tick)
    this.#tick = undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true
    clearInterval(this.#tick)
    clearTimeout(this.#retry)
    const socket = this.#socket
    if (!socket || socket.closed) return
    const closed = once(socket, 'close')
    socket.destroy()
    await closed
  }

  #dial(): void {
    const { streamKey, ca } = this.#options
    this.#dials++
    const { server } = this
    const { protocol, hostname, port, pathname } = new URL(server)
    const target = { host: hostname, port: Number(port) }
    const isSecure = protocol === 'rtmps:'
    const socket = isSecure
      ? connectTls({ ...target, ...(ca ? { ca } : { rejectUnauthorized: false }) })
      : connect(target)
    socket.setNoDelay(true)
    const session = new RtmpClientSession({
      app: pathname.slice(1),
      tcUrl: server,
      streamName: streamKey,
    })
    this.#socket = socket
    this.#session = session
    socket.on('error', () => {})
    socket.once(isSecure ? 'secureConnect' : 'connect', () => {
      session.start()
      this.#flush()
    })
    socket.on('data', (bytes: Buffer) => {
      if (socket !== this.#socket) return
      for (const event of session.receive(bytes)) {
        if (event.type === 'started') this.#goLive()
        else if (event.type === 'status') this.statuses.push(event)
      }
      this.#flush()
    })
    socket.once('close', () => {
      if (socket === this.#socket) this.#lost()
    })
  }

  #goLive(): void {
    this.startedAtMs.push(performance.now())
    this.#liveSinceMs = performance.now()
    this.#source.restart()
    for (const message of this.#source.headers) {
      this.#session?.sendMedia({ ...message, timestampMs: 0 })
    }
    clearInterval(this.#tick)
    this.#tick = setInterval(() => this.#send(), tickMs)
  }

  #send(): void {
    const nowMs = performance.now()
    for (const { kind, number, message } of this.#source.framesUntil(nowMs - this.#liveSinceMs)) {
      const data = message.payload.subarray(frameOffset(message))
      this.sent.push({ kind, number, digest: digestOf(data), sentAtMs: nowMs })
      this.#session?.sendMedia(message)
    }
    this.#flush()
    const waiting = this.#socket?.writableLength ?? 0
    this.maxBacklogBytes = Math.max(this.maxBacklogBytes, waiting)
  }

  #flush(): void {
    for (const bytes of this.#session?.takeOutput() ?? []) this.#socket?.write(bytes)
  }

  #lost(): void {
    clearInterval(this.#tick)
    const wasLive = this.#liveSinceMs > 0
    this.#liveSinceMs = 0
    if (this.#isStopped) return
    if (wasLive) this.disconnects++
    const { reconnectAfterMs } = this.#options
    if (reconnectAfterMs !== undefined) {
      this.#retry = setTimeout(() => this.#dial(), reconnectAfterMs)
    }
  }
}
