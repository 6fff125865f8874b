// The RTMP receiver: node-media-server in a process of its own, reduced to ending RTMP for our gateways.
//
// What is used of it: the RTMP session (handshake, chunks, commands) and the broadcast that hands a
// publisher's packets to subscribers. It never listens itself, since its listener takes no free port and
// ends the process on a taken one; it has no HTTP, no store, no playing, no recording, no relaying.
// What is put around each session, and why:
// - `publish` asks the parent before Start is sent; as shipped, Start comes first and a refusal is a FIN.
// - `play` is refused.
// - The parser is guarded: one malformed message would end the process and every stream with it.
// - Each connection has a stream path of its own, so the 30 s resume by address never finds a path again,
//   and a publisher that comes back by another gateway is not refused for its own half-open past.
// - Media leaves by a subscriber into a pipe to the parent. When the pipe is full, the publisher's socket is
//   paused: subscribers as shipped buffer without bound. What the pipe took is acknowledged.
// - The end of a stream is the close of its socket, not the server's own event 30 s later.
import { createRequire } from 'node:module'
import { connect, createServer, type NetConnectOpts, type Socket } from 'node:net'
import { systemClock, type Timer } from '../../common/clock.ts'
import { messageOf, ServiceError } from '../../common/errors.ts'
import { createNetworkList } from '../../common/net/allowed-networks.ts'
import { listen } from '../../common/net/listen.ts'
import type { FromReceiver, StartReceiver, ToReceiver } from './receiver-messages.ts'

interface PublishCommand {
  cmd: string
  streamName: unknown
}

interface NmsRtmp {
  streamApp: string
  streamHost: string
  streamName: string
  streamQuery: Record<string, unknown>
  streamId: number
  parserPacket: { header: { stream_id: number } }
  parserData(bytes: Buffer): string | null
  sendACK(sequenceNumber: number): void
  onPublish(command: PublishCommand): void
  onPlay(command: PublishCommand): void
  onConnectCallback(request: object): void
  onPushCallback(): void
  respondPublish(): void
  sendStatusMessage(streamId: number, level: string, code: string, description: string): void
}

interface NmsSession {
  id: string
  isPublisher: boolean
  socket: Socket
  rtmp: NmsRtmp
  broadcast: { publishGraceMs: number; postPlay(subscriber: object): string | null }
}

interface NmsModules {
  Server: new (config: object) => { rtmpServer: { handleRequest(socket: Socket): void } }
  sessions: Map<string, NmsSession>
  logger: { level: string; log(message: string, level?: string): void }
}

const publishTimeoutMs = 10_000
/** A gateway that vanished without a FIN is noticed after this. */
const idleTimeoutMs = 15_000
/** Time for the status to be read before the socket goes. */
const refusalLingerMs = 500
const pipeBufferBytes = 1024 * 1024
/** The gateway learns how far its bytes have come this often; as shipped, the server never says. */
const acknowledgeEveryBytes = 128 * 1024

function send(message: FromReceiver): void {
  if (process.connected) process.send?.(message)
}

function loadNms(): NmsModules {
  const require = createRequire(import.meta.url)
  const logger: NmsModules['logger'] = require('node-media-server/src/core/logger.js')
  logger.log = (message, level = 'info') => {
    if (level !== 'trace' && level !== 'debug') {
      send({ type: 'log', level: level === 'info' ? 'debug' : (level as 'warn'), message })
    }
  }
  return {
    Server: require('node-media-server'),
    sessions: require('node-media-server/src/core/context.js').sessions,
    logger,
  }
}

/** One connection of a gateway. */
class ReceiverConnection {
  readonly id: string
  readonly #session: NmsSession
  readonly #mediaSocket: string
  #streamId = 0
  #state: 'idle' | 'asking' | 'publishing' | 'ended' = 'idle'
  #pipe: Socket | undefined
  #isPaused = false
  #receivedBytes = 0
  #acknowledgedBytes = 0
  readonly #publishTimer: Timer

  constructor(session: NmsSession, mediaSocket: string, onClosed: () => void) {
    this.id = session.id
    this.#session = session
    this.#mediaSocket = mediaSocket
    const { rtmp, socket } = session
    const parse = rtmp.parserData.bind(rtmp)
    rtmp.parserData = (bytes) => {
      if (this.#state === 'ended') return null
      this.#receivedBytes += bytes.length
      try {
        const error = parse(bytes)
        this.#acknowledge()
        return error
      } catch (err) {
        this.drop()
        return String(err)
      }
    }
    rtmp.onPublish = (command) => this.#onPublish(command)
    rtmp.onPlay = () => this.refuse('NetStream.Play.Failed', 'Nothing is played here.')
    socket.setKeepAlive(true, 5_000)
    socket.setNoDelay(true)
    this.#publishTimer = systemClock.setTimeout(() => this.drop(), publishTimeoutMs)
    socket.setTimeout(idleTimeoutMs, () => {
      if (!this.#isPaused) this.drop()
    })
    socket.once('close', () => {
      this.#publishTimer.cancel()
      this.#state = 'ended'
      this.#pipe?.end()
      send({ type: 'closed', connection: this.id })
      onClosed()
    })
  }

  #onPublish({ streamName }: PublishCommand): void {
    const { rtmp } = this.#session
    if (this.#state !== 'idle' || typeof streamName !== 'string') {
      this.drop()
      return
    }
    this.#state = 'asking'
    // Another message may be parsed while the parent decides, so the id is kept now.
    this.#streamId = rtmp.parserPacket.header.stream_id
    const [name = '', query = ''] = streamName.split('?', 2)
    const ticket = new URLSearchParams(query).get('ticket') ?? ''
    rtmp.streamName = name
    rtmp.streamQuery = {}
    const address = this.#session.socket.remoteAddress ?? ''
    const app = String(rtmp.streamApp)
    send({ type: 'publish', connection: this.id, app, name, ticket, address })
  }

  accept(): void {
    if (this.#state !== 'asking') return
    this.#publishTimer.cancel()
    const options = { path: this.#mediaSocket, writableHighWaterMark: pipeBufferBytes }
    const pipe = connect(options as NetConnectOpts)
    this.#pipe = pipe
    pipe.on('error', () => {})
    pipe.once('close', () => {
      // After a refusal the socket stays a moment, so that the status is read.
      if (this.#state !== 'ended') this.drop()
    })
    pipe.on('drain', () => this.#resume())
    pipe.resume()
    pipe.write(`${this.id}\n`)
    this.#start()
  }

  #start(): void {
    const session = this.#session
    const { rtmp } = session
    this.#state = 'publishing'
    rtmp.streamId = this.#streamId
    rtmp.respondPublish()
    rtmp.onConnectCallback({
      app: rtmp.streamApp,
      name: this.id,
      host: rtmp.streamHost,
      query: {},
    })
    rtmp.onPushCallback()
    if (!session.isPublisher) {
      this.drop()
      return
    }
    // Nothing is kept for a resume that cannot come.
    session.broadcast.publishGraceMs = 0
    session.broadcast.postPlay({
      id: `pipe-${this.id}`,
      ip: '',
      protocol: 'flv',
      sendBuffer: (bytes: Buffer) => this.#forward(bytes),
    })
  }

  #forward(bytes: Buffer): void {
    if (this.#state !== 'publishing' || !this.#pipe?.writable) return
    if (this.#pipe.write(bytes) || this.#isPaused) return
    this.#isPaused = true
    this.#session.socket.pause()
  }

  #resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#session.socket.resume()
    this.#acknowledge()
  }

  /** Only what the parent's pipe has taken counts as received. */
  #acknowledge(): void {
    if (this.#state !== 'publishing' || this.#isPaused) return
    if (this.#receivedBytes - this.#acknowledgedBytes < acknowledgeEveryBytes) return
    this.#acknowledgedBytes = this.#receivedBytes
    this.#session.rtmp.sendACK(this.#receivedBytes % 2 ** 32)
  }

  refuse(code: string, description: string): void {
    if (this.#state === 'ended') return
    const { rtmp, socket } = this.#session
    const streamId = this.#streamId || rtmp.parserPacket.header.stream_id
    this.#state = 'ended'
    this.#pipe?.end()
    // The server counts a string's characters where the format wants bytes.
    rtmp.sendStatusMessage(streamId, 'error', code, description.replace(/[^ -~]/g, '?'))
    // What still arrives is read and thrown away, so that the status is not lost in a reset.
    socket.resume()
    systemClock.setTimeout(() => socket.destroy(), refusalLingerMs)
  }

  drop(): void {
    this.#state = 'ended'
    this.#session.socket.destroy()
  }
}

async function startReceiver(settings: StartReceiver): Promise<(message: ToReceiver) => void> {
  const { Server, sessions } = loadNms()
  const nms = new Server({ webadmin: { enable: false }, record: { auto: false } })
  const trusted = createNetworkList(settings.trustedNetworks)
  const connections = new Map<string, ReceiverConnection>()
  const server = createServer((socket) => {
    if (!trusted.includes(socket.remoteAddress)) {
      socket.destroy()
      return
    }
    // Errors of a socket end that connection alone.
    socket.on('error', () => {})
    nms.rtmpServer.handleRequest(socket)
    const session = [...sessions.values()].findLast((it) => it.socket === socket)
    if (!session) {
      socket.destroy()
      return
    }
    const connection = new ReceiverConnection(session, settings.mediaSocket, () =>
      connections.delete(session.id),
    )
    connections.set(connection.id, connection)
  })
  // Without the parent there is nobody to receive for.
  process.once('disconnect', () => {
    server.close()
    for (const connection of connections.values()) connection.drop()
  })
  const { port } = await listen(server, settings)
  send({ type: 'listening', port })
  return (message) => {
    if (message.type === 'start') return
    const connection = connections.get(message.connection)
    if (message.type === 'accept') connection?.accept()
    else if (message.type === 'refuse') connection?.refuse(message.code, message.description)
    else connection?.drop()
  }
}

process.once('message', (first: ToReceiver) => {
  if (first.type !== 'start') return process.disconnect?.()
  startReceiver(first).then(
    (onMessage) => process.on('message', onMessage),
    (err: unknown) => {
      const code = err instanceof ServiceError ? err.code : 'listen-failed'
      send({
        type: 'listen-failed',
        code,
        message: messageOf(err),
      })
      process.exitCode = 1
      process.disconnect?.()
    },
  )
})
// Signals go to the whole process group; the parent decides when we stop.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})
