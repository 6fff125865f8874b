// An RTMP or RTMPS server that takes or refuses publishes and remembers what came.
import { createServer, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import type { MediaMessage } from '../../media/rtmp/message.ts'
import { RtmpServerSession, type StatusInfo } from '../../media/rtmp/server-session.ts'

/** Without the addresses and TLVs, whose length stands in its last two bytes. */
const proxyHeaderBytes = 16

export interface RtmpSinkOptions {
  tls?: { cert: string; key: string }
  /** Connections begin with a PROXY v2 header, as those of an edge do. */
  isBehindProxy?: boolean
  /** Answers a publish: undefined takes it. Asked with the number of the connection, from 1. */
  refuse?: (name: string, connection: number) => StatusInfo | undefined
  /** Cuts the connection, or sends an error status, after so many media messages. */
  after?: { messages: number; connection: number; status?: StatusInfo }
}

export interface SinkConnection {
  app: string
  name: string
  query: string
  media: MediaMessage[]
  unpublished: boolean
  closed: boolean
}

export class RtmpSink implements AsyncDisposable {
  readonly connections: SinkConnection[] = []
  readonly #options: RtmpSinkOptions
  readonly #sockets = new Set<Socket>()
  readonly #server: ReturnType<typeof createServer>
  #changed: () => void = () => {}

  constructor(options: RtmpSinkOptions = {}) {
    this.#options = options
    const onSocket = (socket: Socket) => this.#serve(socket)
    this.#server = options.tls
      ? createTlsServer({ ...options.tls }, onSocket)
      : createServer(onSocket)
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return (this.#server.address() as { port: number }).port
  }

  /** Resolves once `test` holds; looks again after everything that arrives. */
  async until(test: (connections: SinkConnection[]) => boolean): Promise<void> {
    while (!test(this.connections)) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve
      })
    }
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    const session = new RtmpServerSession()
    const seen: SinkConnection = {
      app: '',
      name: '',
      query: '',
      media: [],
      unpublished: false,
      closed: false,
    }
    this.connections.push(seen)
    const number = this.connections.length
    const flush = () => {
      for (const bytes of session.takeOutput()) socket.write(bytes)
    }
    let isHead = this.#options.isBehindProxy === true
    socket.on('data', (chunk: Buffer) => {
      const bytes = isHead ? chunk.subarray(proxyHeaderBytes + chunk.readUInt16BE(14)) : chunk
      isHead = false
      for (const event of session.receive(bytes)) {
        if (event.type === 'connect') seen.app = event.app
        else if (event.type === 'unpublish') seen.unpublished = true
        else if (event.type === 'media') this.#take(seen, event.message, number, session, socket)
        else if (event.type === 'publish') {
          seen.name = event.name
          seen.query = event.query
          const refusal = this.#options.refuse?.(event.name, number)
          if (refusal) session.refusePublish(event.streamId, refusal)
          else session.acceptPublish(event.streamId)
        }
      }
      flush()
      this.#changed()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      seen.closed = true
      this.#sockets.delete(socket)
      this.#changed()
    })
  }

  #take(
    seen: SinkConnection,
    message: MediaMessage,
    number: number,
    session: RtmpServerSession,
    socket: Socket,
  ): void {
    seen.media.push(message)
    const { after } = this.#options
    if (after?.connection !== number || after.messages !== seen.media.length) return
    if (after.status) session.sendStatus(1, { level: 'error', ...after.status })
    else socket.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
