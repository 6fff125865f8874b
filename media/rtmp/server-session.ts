// The server's end of one RTMP connection that publishes: bytes in; events and bytes out. No socket, no clock.
//
// Life: handshake → connecting (connect is awaited) → connected → publishing (asked, the owner decides)
//       → live (accepted) → connected again after unpublish; any error → failed, for good.
//
// Rules: `receive` never throws. After an `error` event nothing is read any more; what is left in `takeOutput`
// may still tell the peer why. One publish at a time per connection. Deadlines are the socket owner's.
import { randomBytes } from 'node:crypto'
import { type AmfValue, isAmfString } from './amf-value.ts'
import type { Command } from './command.ts'
import { type RtmpError, rtmpError } from './error.ts'
import { ServerHandshake } from './handshake.ts'
import { defaultRtmpLimits, type RtmpLimits } from './limits.ts'
import { Link, u32, windowBytes } from './link.ts'
import { type MediaMessage, messageType } from './message.ts'

export interface ConnectRequest {
  app: string
  tcUrl: string
  flashVer: string
}

export interface StatusInfo {
  code: string
  description: string
}

export interface RtmpServerOptions {
  limits?: Partial<RtmpLimits>
  /** Gives a new buffer each time. */
  random?: (sizeBytes: number) => Buffer
  /** For the time field of the handshake. */
  nowMs?: () => number
  /** Asked before `connect` is answered; an answer refuses it. Without it every application is let in. */
  checkConnect?: (request: ConnectRequest) => StatusInfo | undefined
}

export type ServerEvent =
  | ({ type: 'connect' } & ConnectRequest)
  /** To be answered by `acceptPublish` or `refusePublish`. `query` is what follows the first `?`. */
  | { type: 'publish'; streamId: number; name: string; query: string; kind: string }
  | { type: 'media'; message: MediaMessage }
  | { type: 'unpublish'; streamId: number }
  | { type: 'error'; error: RtmpError }

export type ServerState =
  | 'handshake'
  | 'connecting'
  | 'connected'
  | 'publishing'
  | 'live'
  | 'failed'

/** Our answers are small; this keeps each of them in one chunk. */
const chunkSizeBytes = 4096
/** Limit type "dynamic" of Set Peer Bandwidth. */
const dynamicLimit = 2

export class RtmpServerSession {
  readonly #limits: RtmpLimits
  readonly #checkConnect: RtmpServerOptions['checkConnect']
  readonly #handshake: ServerHandshake
  readonly #link: Link
  readonly #streams = new Set<number>()
  #nextStreamId = 1
  #state: ServerState = 'handshake'
  #events: ServerEvent[] = []
  #publishedId = 0
  #publishedName = ''
  #wantsFcPublish = false

  constructor(options: RtmpServerOptions = {}) {
    this.#limits = { ...defaultRtmpLimits, ...options.limits }
    this.#checkConnect = options.checkConnect
    this.#handshake = new ServerHandshake({
      random: options.random ?? randomBytes,
      nowMs: options.nowMs ?? (() => 0),
    })
    this.#link = new Link(this.#limits, {
      onCommand: (command, streamId) => this.#obey(command, streamId),
      onMedia: (message, streamId) => this.#handleMedia(message, streamId),
    })
  }

  get state(): ServerState {
    return this.#state
  }

  get bytesReceived(): number {
    return this.#link.receivedBytes
  }

  /** Memory held for messages that are not complete. */
  get partialBytes(): number {
    return this.#link.partialBytes
  }

  receive(bytes: Uint8Array): ServerEvent[] {
    if (this.#state === 'failed') return []
    this.#link.count(bytes.length)
    const error = this.#read(asBuffer(bytes))
    if (error) {
      this.#state = 'failed'
      this.#events.push({ type: 'error', error })
    }
    const events = this.#events
    if (events.length > 0) this.#events = []
    return events
  }

  /** Bytes for the socket since the last call. */
  takeOutput(): readonly Buffer[] {
    return this.#link.takeOutput()
  }

  acceptPublish(streamId: number): void {
    if (this.#state !== 'publishing' || streamId !== this.#publishedId) return
    this.#state = 'live'
    this.#link.raiseLimits(this.#limits)
    const code = 'NetStream.Publish.Start'
    this.#link.sendStreamBegin(streamId)
    if (this.#wantsFcPublish) {
      this.#link.sendCommand(0, 'onFCPublish', 0, null, { code, description: 'Started publishing' })
    }
    this.sendStatus(streamId, { level: 'status', code, description: 'Started publishing' })
  }

  refusePublish(streamId: number, status: StatusInfo): void {
    if (this.#state !== 'publishing' || streamId !== this.#publishedId) return
    this.#state = 'connected'
    this.#publishedId = 0
    this.sendStatus(streamId, { level: 'error', ...status })
  }

  sendStatus(streamId: number, status: StatusInfo & { level: string }): void {
    if (this.#state === 'handshake' || this.#state === 'failed') return
    this.#link.sendCommand(streamId, 'onStatus', 0, null, { ...status })
  }

  #read(bytes: Buffer): RtmpError | undefined {
    let offset = 0
    if (this.#state === 'handshake') {
      offset = this.#handshake.take(bytes, 0, this.#link.out)
      if (this.#handshake.error) return this.#handshake.error
      if (!this.#handshake.isDone) return undefined
      this.#state = 'connecting'
    }
    return this.#link.read(bytes, offset)
  }

  #handleMedia(message: MediaMessage, streamId: number): boolean {
    // Some clients send media on stream 0 whatever id they were given.
    const isPublished =
      this.#publishedId !== 0 && (streamId === this.#publishedId || streamId === 0)
    if (isPublished) this.#events.push({ type: 'media', message })
    return isPublished
  }

  #obey(command: Command, streamId: number): RtmpError | undefined {
    if (command.name === 'connect') return this.#connect(command)
    if (this.#state === 'connecting') {
      return rtmpError('command-unexpected', 'a command before connect')
    }
    switch (command.name) {
      case 'createStream':
        return this.#createStream(command)
      case 'publish':
        return this.#publish(command, streamId)
      case 'FCPublish':
        this.#wantsFcPublish = true
        return this.#answer(command, undefined)
      case 'releaseStream':
      case '_checkbw':
        return this.#answer(command, undefined)
      case 'getStreamLength':
        return this.#answer(command, 0)
      case 'FCUnpublish':
        return this.#fcUnpublish(command)
      case 'closeStream':
        this.#unpublish(streamId)
        return undefined
      case 'deleteStream':
        return this.#deleteStream(command)
      case 'play':
      case 'play2':
        return this.#refusePlay(streamId)
      default:
        // Results, statuses and calls that nobody waits for.
        return undefined
    }
  }

  #answer(command: Command, value: AmfValue): RtmpError | undefined {
    // RTMP 1.0 §7.2.1.2: transaction 0 expects no answer.
    if (command.transactionId === 0) return undefined
    this.#link.sendCommand(0, '_result', command.transactionId, null, value)
    return undefined
  }

  #connect(command: Command): RtmpError | undefined {
    if (this.#state !== 'connecting') return rtmpError('command-unexpected', 'a second connect')
    const { app, tcUrl, flashVer } = command.object ?? {}
    if (!isAmfString(app) || !isCleanName(app, this.#limits.nameCharacters)) {
      const description = 'The application is missing or not a name.'
      this.#refuseConnect(command, { code: 'NetConnection.Connect.Rejected', description })
      return rtmpError('command-invalid', 'connect without a proper application')
    }
    const request = {
      app,
      tcUrl: isAmfString(tcUrl) ? tcUrl : '',
      flashVer: isAmfString(flashVer) ? flashVer : '',
    }
    const refused = this.#checkConnect?.(request)
    if (refused) {
      this.#refuseConnect(command, refused)
      return rtmpError('app-refused', 'the application was refused')
    }
    this.#acceptConnect(command)
    this.#state = 'connected'
    this.#events.push({ type: 'connect', ...request })
    return undefined
  }

  #refuseConnect(command: Command, status: StatusInfo): void {
    const information = { level: 'error', ...status }
    this.#link.sendCommand(0, '_error', command.transactionId, null, information)
  }

  #acceptConnect(command: Command): void {
    const link = this.#link
    link.sendWindow()
    link.sendControl(
      messageType.setPeerBandwidth,
      Buffer.concat([u32(windowBytes), Buffer.from([dynamicLimit])]),
    )
    link.sendChunkSize(chunkSizeBytes)
    const properties = { fmsVer: 'FMS/3,5,7,7009', capabilities: 31, mode: 1 }
    // Object encoding 0 keeps everybody at AMF0, also those who offered AMF3.
    const information = {
      level: 'status',
      code: 'NetConnection.Connect.Success',
      description: 'Connection succeeded.',
      objectEncoding: 0,
    }
    link.sendCommand(0, '_result', command.transactionId, properties, information)
  }

  #createStream(command: Command): RtmpError | undefined {
    if (this.#streams.size >= this.#limits.messageStreams) {
      return rtmpError('too-many-streams', `more than ${this.#limits.messageStreams} streams`)
    }
    const streamId = this.#nextStreamId++
    this.#streams.add(streamId)
    return this.#answer(command, streamId)
  }

  #publish(command: Command, streamId: number): RtmpError | undefined {
    const [target, kind] = command.arguments
    if (!isAmfString(target) || !isCleanName(target, this.#limits.nameCharacters)) {
      this.#refuseOn(streamId, 'NetStream.Publish.BadName', 'The stream name is not a name.')
      return rtmpError('command-invalid', 'publish without a proper name')
    }
    if (!this.#streams.has(streamId)) {
      return rtmpError('command-unexpected', 'publish on a stream that was not created')
    }
    if (this.#publishedId !== 0) {
      this.#refuseOn(streamId, 'NetStream.Publish.BadName', 'This connection already publishes.')
      return undefined
    }
    const queryAt = target.indexOf('?')
    this.#publishedName = target
    this.#publishedId = streamId
    this.#state = 'publishing'
    this.#link.raiseLimits({
      messageBytes: this.#limits.messageBytesBeforePublish,
      partialBytes: this.#limits.partialBytesBeforePublish,
    })
    this.#events.push({
      type: 'publish',
      streamId,
      name: queryAt < 0 ? target : target.slice(0, queryAt),
      query: queryAt < 0 ? '' : target.slice(queryAt + 1),
      kind: isAmfString(kind) ? kind : 'live',
    })
    return undefined
  }

  #refusePlay(streamId: number): RtmpError | undefined {
    this.#refuseOn(streamId, 'NetStream.Play.StreamNotFound', 'This server does not play by RTMP.')
    return undefined
  }

  #refuseOn(streamId: number, code: string, description: string): void {
    this.sendStatus(streamId, { level: 'error', code, description })
  }

  #fcUnpublish(command: Command): RtmpError | undefined {
    const code = 'NetStream.Unpublish.Success'
    const description = 'Stopped publishing'
    this.#link.sendCommand(0, 'onFCUnpublish', 0, null, { code, description })
    const [name] = command.arguments
    // Encoders differ in whether they repeat the query here.
    const isOurs = isAmfString(name) && sameName(name, this.#publishedName)
    if (isOurs) this.#unpublish(this.#publishedId)
    return undefined
  }

  #deleteStream(command: Command): RtmpError | undefined {
    const [streamId] = command.arguments
    if (typeof streamId !== 'number' || !this.#streams.delete(streamId)) return undefined
    this.#unpublish(streamId)
    return undefined
  }

  #unpublish(streamId: number): void {
    if (streamId === 0 || streamId !== this.#publishedId) return
    this.#publishedId = 0
    this.#publishedName = ''
    this.#wantsFcPublish = false
    this.#state = 'connected'
    this.#events.push({ type: 'unpublish', streamId })
  }
}

function sameName(a: string, b: string): boolean {
  return a.split('?', 1)[0] === b.split('?', 1)[0]
}

/** Control characters have no place in a name and would spoil logs. */
function isCleanName(name: string, maxCharacters: number): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  return name.length <= maxCharacters && !/[\u0000-\u001f\u007f]/.test(name)
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
