// A publish towards the next hop: dials, publishes by RTMP, then takes media with back-pressure.
import { connect, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { RtmpClientSession } from '../../media/rtmp/client-session.ts'
import type { MediaMessage } from '../../media/rtmp/message.ts'
import type { Clock, Timer } from '../clock.ts'
import { type Refusal, refusalFromDescription } from '../contract/refusal.ts'

export interface UpstreamTarget {
  host: string
  port: number
  /** A unix-domain socket to dial instead. */
  path?: string
  app: string
  /** Name and query that are published; may hold a secret, so it is never logged. */
  streamName: string
  /** Bytes that go before the RTMP handshake: a PROXY header. */
  preface?: Buffer
  /** RTMPS where present. */
  tls?: ConnectionOptions
}

export interface UpstreamOptions {
  clock: Clock
  connectTimeoutMs: number
  publishTimeoutMs: number
}

/** A status that the next hop sent after the publish had started. */
export interface UpstreamStatus {
  level: string
  code: string
  description: string
}

export type UpstreamOutcome =
  | { started: UpstreamPublisher }
  /** The next hop answered no; asking another one would not help. */
  | { refused: Refusal }
  /** The next hop did not answer: another one may. */
  | { failed: string }

/** What may wait for the end of a turn of the event loop, so that a socket is written to once. */
const gatherBytes = 64 * 1024

const closedByPeer = 'closed by the next hop'
const notBelieved =
  'closed by the next hop right after the TLS handshake: it does not believe the certificate that it was shown, or stops'

/** While a publisher's media waits in a memory, a next hop that is not there must not take long to find out. */
export const againLimits = { connectTimeoutMs: 1_000, publishTimeoutMs: 5_000 }

export class UpstreamPublisher {
  /** TCP, or a unix-domain socket. */
  readonly #wire: Socket
  /** What RTMP goes by: the wire, or TLS on it. */
  #socket: Socket
  readonly #session: RtmpClientSession
  readonly #send = () => void this.#flush()
  readonly #closed = Promise.withResolvers<string>()
  #closeReason = closedByPeer
  #gatheredBytes = 0
  #isGathering = false
  /** Called when a `send` that returned false may be followed by the next. */
  onDrain: () => void = () => {}
  onStatus: (status: UpstreamStatus) => void = () => {}

  private constructor(wire: Socket, session: RtmpClientSession) {
    this.#wire = this.#socket = wire
    this.#session = session
  }

  /** Resolves with the reason once the connection is gone. */
  get closed(): Promise<string> {
    return this.#closed.promise
  }

  /** Never rejects; `timeoutMs` bounds each of connecting and publishing. */
  static open(target: UpstreamTarget, options: UpstreamOptions): Promise<UpstreamOutcome> {
    const { host, port, path, tls } = target
    const wire = connect(path === undefined ? { host, port } : { path })
    if (path === undefined) wire.setNoDelay(true)
    const session = new RtmpClientSession({
      app: target.app,
      tcUrl: `${tls ? 'rtmps' : 'rtmp'}://${host}:${port}/${target.app}`,
      streamName: target.streamName,
    })
    const publisher = new UpstreamPublisher(wire, session)
    return publisher.#start(target, options)
  }

  #start(target: UpstreamTarget, options: UpstreamOptions): Promise<UpstreamOutcome> {
    const { promise, resolve } = Promise.withResolvers<UpstreamOutcome>()
    const { clock } = options
    const where = target.path ?? `${target.host}:${target.port}`
    const settle = (outcome: UpstreamOutcome) => {
      deadline.cancel()
      resolve(outcome)
      if (!('started' in outcome)) this.#socket.destroy()
    }
    const expire = (what: string) => () => settle({ failed: `${where} did not ${what} in time` })
    let deadline: Timer = clock.setTimeout(expire('accept a connection'), options.connectTimeoutMs)
    let lastError = ''

    const begin = () => {
      deadline.cancel()
      deadline = clock.setTimeout(expire('answer the publish'), options.publishTimeoutMs)
      // By TLS 1.3 a client has shown its certificate before anybody has looked at it.
      if (target.tls) this.#closeReason = notBelieved
      if (target.preface) this.#socket.write(target.preface)
      this.#session.start()
      this.#flush()
    }
    const onData = (bytes: Buffer) => {
      if (this.#closeReason === notBelieved) this.#closeReason = closedByPeer
      for (const event of this.#session.receive(bytes)) {
        if (event.type === 'started') settle({ started: this })
        else if (event.type === 'status') this.#handleStatus(event, settle)
        else if (event.type === 'error') {
          lastError = event.error.message
          this.#socket.destroy()
        }
      }
      this.#flush()
    }
    const onError = (err: NodeJS.ErrnoException) => {
      lastError = err.code ?? err.message
    }
    const onClose = () => {
      const isRefused = this.#closeReason === notBelieved && lastError === 'ECONNRESET'
      const reason = isRefused ? notBelieved : lastError || this.#closeReason
      settle({ failed: `${where}: ${reason}` })
      this.#closed.resolve(reason)
    }
    this.#wire.on('error', onError)
    this.#wire.on('close', onClose)
    this.#wire.once('connect', () => {
      if (target.tls) {
        // It says more of why it closes than the wire does.
        this.#wire.off('close', onClose)
        this.#socket = connectTls({ ...target.tls, host: target.host, socket: this.#wire })
        this.#socket.on('error', onError)
        this.#socket.on('close', onClose)
        this.#socket.once('secureConnect', begin)
      }
      this.#socket.on('data', onData)
      this.#socket.on('drain', () => this.onDrain())
      this.#socket.on('end', () => this.#socket.end())
      if (!target.tls) begin()
    })
    return promise
  }

  /** An error ends the publish, before the start as its outcome, after it as a status to the owner. */
  #handleStatus(status: UpstreamStatus, settle: (outcome: UpstreamOutcome) => void): void {
    this.onStatus(status)
    if (status.level === 'error') settle({ refused: refusalOf(status) })
  }

  /** False: the socket's buffer is full; wait for `onDrain` before reading more from the publisher. */
  send(message: MediaMessage): boolean {
    this.#session.sendMedia(message)
    this.#gatheredBytes += message.payload.length
    if (this.#gatheredBytes >= gatherBytes) return this.#flush()
    if (!this.#isGathering) {
      this.#isGathering = true
      setImmediate(this.#send)
    }
    return !this.#socket.writableNeedDrain
  }

  /** Ends the publish as an encoder would, then closes. */
  unpublish(): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) return
    this.#closeReason = 'unpublished'
    this.#session.unpublish()
    this.#flush()
    this.#socket.end()
  }

  destroy(): void {
    this.#flush()
    this.#closeReason = 'destroyed'
    this.#socket.destroy()
  }

  /** Resets the connection: a peer that has only stood still reads no more of it. */
  abandon(): void {
    this.#closeReason = 'given up'
    // TLS cannot be reset itself, and goes with what it is on.
    this.#wire.resetAndDestroy()
  }

  #flush(): boolean {
    this.#isGathering = false
    this.#gatheredBytes = 0
    if (this.#socket.destroyed) return true
    const output = this.#session.takeOutput()
    if (output.length === 0) return !this.#socket.writableNeedDrain
    this.#socket.cork()
    for (const bytes of output) this.#socket.write(bytes)
    this.#socket.uncork()
    return !this.#socket.writableNeedDrain
  }
}

/** The refusal inside a status, also when it comes from a peer that does not use our descriptions. */
export function refusalOf(status: UpstreamStatus): Refusal {
  return (
    refusalFromDescription(status.description) ?? {
      code: 'transcoder-failed',
      message: status.description || status.code,
    }
  )
}
