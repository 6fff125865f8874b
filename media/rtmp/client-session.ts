// The client's end of one RTMP connection that publishes one stream: events and bytes, no socket, no clock.
//
// Life: idle → handshake → connecting → creating → publishing → started → unpublished; a refusal by the server
// is a `status` of level error, a protocol error an `error` event; both end it. `receive` never throws.
import { randomBytes } from 'node:crypto'
import { type Command, type RtmpStatus, statusOf } from './command.ts'
import { type RtmpError, rtmpError } from './error.ts'
import { ClientHandshake } from './handshake.ts'
import { defaultRtmpLimits, maxChunkSizeBytes, type RtmpLimits } from './limits.ts'
import { Link } from './link.ts'
import type { MediaMessage } from './message.ts'

export interface RtmpClientOptions {
  app: string
  tcUrl: string
  /** With its query, if any. */
  streamName: string
  flashVer?: string
  /** Payload bytes per chunk that we send: 128 to 65536. */
  chunkSize?: number
  /** Signs the handshake in the way of Flash, by the schema with this digest base. */
  digestSchema?: 8 | 772
  limits?: Partial<RtmpLimits>
  /** Gives a new buffer each time. */
  random?: (sizeBytes: number) => Buffer
  nowMs?: () => number
}

export type ClientEvent =
  | { type: 'started' }
  /** Every `onStatus`, before and after the start, and the reason of a refused connect. */
  | ({ type: 'status' } & RtmpStatus)
  | { type: 'error'; error: RtmpError }

export type ClientState =
  | 'idle'
  | 'handshake'
  | 'connecting'
  | 'creating'
  | 'publishing'
  | 'started'
  | 'ended'
  | 'failed'

const transaction = {
  connect: 1,
  releaseStream: 2,
  fcPublish: 3,
  createStream: 4,
  publish: 5,
  fcUnpublish: 6,
}

export class RtmpClientSession {
  readonly #options: RtmpClientOptions
  readonly #handshake: ClientHandshake
  readonly #link: Link
  #state: ClientState = 'idle'
  #events: ClientEvent[] = []
  #streamId = 0

  constructor(options: RtmpClientOptions) {
    this.#options = options
    const handshake = {
      random: options.random ?? randomBytes,
      nowMs: options.nowMs ?? (() => 0),
    }
    this.#handshake = new ClientHandshake(handshake, options.digestSchema)
    this.#link = new Link(
      { ...defaultRtmpLimits, ...options.limits },
      { onCommand: (command) => this.#obey(command), onMedia: () => false },
    )
  }

  get state(): ClientState {
    return this.#state
  }

  /** How far the server says it has read, modulo 2^32; 0 when it never says. */
  get bytesAcknowledged(): number {
    return this.#link.peerAcknowledged
  }

  /** Once, when the connection stands. */
  start(): void {
    if (this.#state !== 'idle') return
    this.#state = 'handshake'
    this.#handshake.start(this.#link.out)
  }

  receive(bytes: Uint8Array): ClientEvent[] {
    if (this.#state === 'failed' || this.#state === 'ended' || this.#state === 'idle') return []
    this.#link.count(bytes.length)
    const error = this.#read(Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes))
    if (error) {
      this.#state = 'failed'
      this.#events.push({ type: 'error', error })
    }
    const events = this.#events
    if (events.length > 0) this.#events = []
    return events
  }

  /** Bytes for the socket since the last call. Refers to the payloads that were sent. */
  takeOutput(): readonly Buffer[] {
    return this.#link.takeOutput()
  }

  /** Ignored unless the publish has started. */
  sendMedia(message: MediaMessage): void {
    if (this.#state === 'started') this.#link.sendMedia(message, this.#streamId)
  }

  /** Ends the publish as an encoder would. */
  unpublish(): void {
    if (this.#state === 'started' || this.#state === 'publishing') {
      const { streamName } = this.#options
      this.#link.sendCommand(0, 'FCUnpublish', transaction.fcUnpublish, null, streamName)
      this.#link.sendCommand(0, 'deleteStream', 0, null, this.#streamId)
    }
    if (this.#state !== 'failed') this.#state = 'ended'
  }

  #read(bytes: Buffer): RtmpError | undefined {
    let offset = 0
    if (this.#state === 'handshake') {
      offset = this.#handshake.take(bytes, 0, this.#link.out)
      if (this.#handshake.error) return this.#handshake.error
      if (!this.#handshake.isDone) return undefined
      this.#state = 'connecting'
      this.#connect()
    }
    return this.#link.read(bytes, offset)
  }

  #connect(): void {
    const { app, tcUrl, flashVer, chunkSize } = this.#options
    this.#link.sendChunkSize(chunkSize ?? maxChunkSizeBytes)
    this.#link.sendCommand(0, 'connect', transaction.connect, {
      app,
      type: 'nonprivate',
      flashVer: flashVer ?? 'FMLE/3.0 (compatible; nearcast)',
      tcUrl,
    })
  }

  #obey(command: Command): RtmpError | undefined {
    switch (command.name) {
      case '_result':
        return this.#advance(command)
      case '_error':
        return this.#handleError(command)
      case 'onStatus':
        return this.#handleStatus(command)
      default:
        return undefined
    }
  }

  #advance(command: Command): RtmpError | undefined {
    if (this.#state === 'connecting' && command.transactionId === transaction.connect) {
      this.#state = 'creating'
      const { streamName } = this.#options
      this.#link.sendWindow()
      this.#link.sendCommand(0, 'releaseStream', transaction.releaseStream, null, streamName)
      this.#link.sendCommand(0, 'FCPublish', transaction.fcPublish, null, streamName)
      this.#link.sendCommand(0, 'createStream', transaction.createStream, null)
      return undefined
    }
    if (this.#state !== 'creating' || command.transactionId !== transaction.createStream) {
      return undefined
    }
    const [streamId] = command.arguments
    if (!isStreamId(streamId)) {
      return rtmpError('command-invalid', 'the server did not answer with a stream id')
    }
    this.#state = 'publishing'
    this.#streamId = streamId
    const { streamName } = this.#options
    this.#link.sendCommand(streamId, 'publish', transaction.publish, null, streamName, 'live')
    return undefined
  }

  #handleError(command: Command): RtmpError | undefined {
    const { transactionId } = command
    if (transactionId === transaction.connect && this.#state === 'connecting') {
      this.#state = 'ended'
      this.#events.push({ type: 'status', ...statusOf(command.arguments[0]), level: 'error' })
    } else if (transactionId === transaction.createStream && this.#state === 'creating') {
      return rtmpError('command-unexpected', 'the server refused to create a stream')
    }
    // Servers may know nothing of releaseStream and FCPublish.
    return undefined
  }

  #handleStatus(command: Command): RtmpError | undefined {
    const status = statusOf(command.arguments[0])
    this.#events.push({ type: 'status', ...status })
    if (this.#state === 'publishing' && status.code === 'NetStream.Publish.Start') {
      this.#state = 'started'
      this.#events.push({ type: 'started' })
    } else if (this.#state === 'publishing' && status.level === 'error') {
      this.#state = 'ended'
    }
    return undefined
  }
}

function isStreamId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) > 0 && (value as number) < 2 ** 32
}
