// The RTMP receiver: node-media-server in a process of its own, reduced to ending RTMP for its parent.
//
// What is used of it: the RTMP session (handshake, chunks, commands) and the broadcast that hands a
// publisher's packets to subscribers. It never listens itself, since its listener takes no free port and
// ends the process on a taken one; it has no HTTP, no store, no playing, no recording, no relaying.
// It hears nobody but its parent, by a socket in the parent's folder: its reader has no bounds, takes memory
// for what a header claims, and can be kept busy for seconds by one message. Whatever a peer sent has been
// read within bounds and written anew before.
// What is put around each session, and why:
// - Every publish may start: the parent has decided before it came here.
// - `play` ends the connection.
// - Metadata is passed on unread: as shipped, each is decoded, without a bound on what that costs.
// - Nothing is kept for subscribers that come later: as shipped, all since the last keyframe is, twice.
// - Each connection's stream path is its own, so the 30 s resume by address never finds a path again.
// - Media leaves by a subscriber into a pipe to the parent. When the pipe is full, the publisher's socket is
//   paused: subscribers as shipped buffer without bound.
// - The end of a stream is the close of its socket, not the server's own event 30 s later.
import { createRequire } from 'node:module'
import { connect, createServer, type NetConnectOpts, type Socket } from 'node:net'
import { messageOf } from '../../common/errors.ts'
import type { FromReceiver, StartReceiver } from './receiver-messages.ts'

interface NmsPacket {
  codec_type: number
  flags: number
}

interface NmsRtmp {
  streamApp: string
  streamHost: string
  streamName: string
  streamId: number
  parserPacket: { header: { stream_id: number } }
  parserData(bytes: Buffer): string | null
  onPublish(command: { streamName: unknown }): void
  onPlay(): void
  onConnectCallback(request: object): void
  onPushCallback(): void
  onPacketCallback(packet: NmsPacket): void
  respondPublish(): void
}

interface NmsBroadcast {
  publishGraceMs: number
  flvGopCache: unknown
  rtmpGopCache: unknown
  postPlay(subscriber: object): string | null
}

interface NmsSession {
  id: string
  isPublisher: boolean
  socket: Socket
  rtmp: NmsRtmp
  broadcast: NmsBroadcast
}

interface NmsModules {
  Server: new (config: object) => { rtmpServer: { handleRequest(socket: Socket): void } }
  sessions: Map<string, NmsSession>
}

const pipeBufferBytes = 1024 * 1024
const scriptTag = 18
/** A packet that is handed to subscribers and otherwise left alone. */
const passOn = 6

function send(message: FromReceiver): void {
  if (process.connected) process.send?.(message)
}

function loadNms(): NmsModules {
  const require = createRequire(import.meta.url)
  const logger = require('node-media-server/src/core/logger.js')
  logger.log = (message: string, level = 'info') => {
    if (level === 'warn' || level === 'error') send({ type: 'log', level, message })
    else if (level === 'info') send({ type: 'log', level: 'debug', message })
  }
  return {
    Server: require('node-media-server'),
    sessions: require('node-media-server/src/core/context.js').sessions,
  }
}

/** One publish, as the parent writes it. */
class ReceiverConnection {
  readonly #session: NmsSession
  readonly #mediaSocket: string
  #pipe: Socket | undefined
  #isPaused = false

  constructor(session: NmsSession, mediaSocket: string) {
    this.#session = session
    this.#mediaSocket = mediaSocket
    const { rtmp, socket } = session
    const parse = rtmp.parserData.bind(rtmp)
    rtmp.parserData = (bytes) => {
      if (socket.destroyed) return null
      try {
        return parse(bytes)
      } catch (err) {
        socket.destroy()
        return String(err)
      }
    }
    const onPacket = rtmp.onPacketCallback
    rtmp.onPacketCallback = (packet) => {
      if (packet.codec_type === scriptTag) packet.flags = passOn
      if (this.#pipe) onPacket(packet)
    }
    rtmp.onPublish = ({ streamName }) => this.#onPublish(streamName)
    rtmp.onPlay = () => socket.destroy()
    socket.once('close', () => this.#pipe?.end())
  }

  #onPublish(streamName: unknown): void {
    const { rtmp, socket } = this.#session
    if (this.#pipe || typeof streamName !== 'string') {
      socket.destroy()
      return
    }
    rtmp.streamName = streamName
    rtmp.streamId = rtmp.parserPacket.header.stream_id
    const options = { path: this.#mediaSocket, writableHighWaterMark: pipeBufferBytes }
    const pipe = connect(options as NetConnectOpts)
    this.#pipe = pipe
    pipe.on('error', () => {})
    pipe.once('close', () => socket.destroy())
    pipe.on('drain', () => this.#resume())
    pipe.resume()
    pipe.write(`${streamName}\n`)
    this.#start()
  }

  #start(): void {
    const session = this.#session
    const { rtmp } = session
    rtmp.respondPublish()
    rtmp.onConnectCallback({
      app: rtmp.streamApp,
      name: rtmp.streamName,
      host: rtmp.streamHost,
      query: {},
    })
    rtmp.onPushCallback()
    if (!session.isPublisher) {
      session.socket.destroy()
      return
    }
    // Nothing is kept for a resume that cannot come.
    session.broadcast.publishGraceMs = 0
    session.broadcast.postPlay({
      id: `pipe-${session.id}`,
      ip: '',
      protocol: 'flv',
      sendBuffer: (bytes: Buffer) => this.#forward(bytes),
    })
  }

  #forward(bytes: Buffer): void {
    const { broadcast, socket } = this.#session
    broadcast.flvGopCache = null
    broadcast.rtmpGopCache = null
    if (!this.#pipe?.writable || this.#pipe.write(bytes) || this.#isPaused) return
    this.#isPaused = true
    socket.pause()
  }

  #resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#session.socket.resume()
  }
}

function startReceiver({ rtmpSocket, mediaSocket }: StartReceiver): void {
  const { Server, sessions } = loadNms()
  const nms = new Server({ webadmin: { enable: false }, record: { auto: false } })
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    // Errors of a socket end that connection alone.
    socket.on('error', () => {})
    nms.rtmpServer.handleRequest(socket)
    const session = [...sessions.values()].findLast((it) => it.socket === socket)
    if (session) new ReceiverConnection(session, mediaSocket)
    else socket.destroy()
  })
  // Without the parent there is nobody to receive for.
  process.once('disconnect', () => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  server.once('error', (err) => {
    send({ type: 'listen-failed', message: messageOf(err) })
    process.exitCode = 1
    process.disconnect?.()
  })
  server.listen(rtmpSocket, () => send({ type: 'listening' }))
}

process.once('message', (first: StartReceiver) => startReceiver(first))
// Signals go to the whole process group; the parent decides when we stop.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})
