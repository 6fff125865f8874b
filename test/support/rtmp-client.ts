// A bare RTMP publisher for tests: it sends whatever media it is told to and remembers what it was answered.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { RtmpClientSession } from '../../media/rtmp/client-session.ts'
import type { MediaMessage } from '../../media/rtmp/message.ts'
import { until } from './until.ts'

export class RtmpTestClient implements AsyncDisposable {
  readonly socket: Socket
  readonly session: RtmpClientSession
  readonly statuses: { level: string; code: string; description: string }[] = []
  isStarted = false

  private constructor(socket: Socket, session: RtmpClientSession) {
    this.socket = socket
    this.session = session
    socket.on('error', () => {})
    socket.on('data', (bytes: Buffer) => {
      for (const event of session.receive(bytes)) {
        if (event.type === 'started') this.isStarted = true
        if (event.type === 'status') this.statuses.push(event)
      }
      this.flush()
    })
  }

  /** Resolves when the publish has started, was refused, or the connection is gone. */
  static async publish(server: string, streamName: string): Promise<RtmpTestClient> {
    const { hostname, port, pathname } = new URL(server)
    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    const app = pathname.slice(1)
    const client = new RtmpTestClient(
      socket,
      new RtmpClientSession({ app, tcUrl: server, streamName }),
    )
    client.session.start()
    client.flush()
    await until('an answer to the publish', () => {
      return client.isStarted || client.statuses.length > 0 || client.isClosed
    })
    return client
  }

  get isClosed(): boolean {
    return this.socket.destroyed || this.socket.readableEnded
  }

  /** False when the kernel takes no more. */
  send(message: MediaMessage): boolean {
    this.session.sendMedia(message)
    return this.flush()
  }

  flush(): boolean {
    let isTaken = true
    for (const bytes of this.session.takeOutput()) isTaken = this.socket.write(bytes)
    return isTaken
  }

  /** As a user who presses stop: everything that was sent arrives. */
  async leave(): Promise<void> {
    this.session.unpublish()
    this.flush()
    this.socket.end()
    await this.closed()
  }

  async closed(): Promise<void> {
    if (!this.socket.destroyed) await once(this.socket, 'close')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy()
  }
}
