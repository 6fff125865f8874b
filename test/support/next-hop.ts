// The next hop of a relay, for tests.
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { refusal, statusCodeOf, statusDescription } from '../../common/contract/refusal.ts'
import type { MediaMessage } from '../../media/rtmp/message.ts'
import { RtmpServerSession } from '../../media/rtmp/server-session.ts'

/** A next hop that accepts every publish and keeps what it gets. */
export class NextHop implements Disposable {
  readonly received: MediaMessage[] = []
  readonly names: string[] = []
  #server: Server | undefined
  #socket: Socket | undefined
  #session = new RtmpServerSession()
  #streamId = 0
  #waiting: { count: number; resolve: () => void } | undefined
  port = 0

  static async start(): Promise<NextHop> {
    const hop = new NextHop()
    hop.#server = createServer((socket) => hop.#serve(socket))
    hop.#server.listen(0, '127.0.0.1')
    await once(hop.#server, 'listening')
    hop.port = (hop.#server.address() as { port: number }).port
    return hop
  }

  [Symbol.dispose](): void {
    this.#server?.close()
    this.#socket?.destroy()
  }

  #serve(socket: Socket): void {
    this.#socket = socket
    socket.on('error', () => {})
    socket.on('data', (bytes: Buffer) => {
      for (const event of this.#session.receive(bytes)) {
        if (event.type === 'publish') {
          this.#streamId = event.streamId
          this.names.push(event.name)
          this.#session.acceptPublish(event.streamId)
        } else if (event.type === 'media') {
          this.received.push(event.message)
        }
      }
      this.#flush()
      if (this.#waiting && this.received.length >= this.#waiting.count) this.#waiting.resolve()
    })
  }

  #flush(): void {
    for (const bytes of this.#session.takeOutput()) this.#socket?.write(bytes)
  }

  has(count: number): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting = { count, resolve }
      if (this.received.length >= count) resolve()
    })
  }

  refuse(code: 'codec-unsupported'): void {
    const reason = refusal(code)
    this.#session.sendStatus(this.#streamId, {
      level: 'error',
      code: statusCodeOf(code),
      description: statusDescription(reason),
    })
    this.#flush()
  }

  stopReading(): void {
    this.#socket?.pause()
  }

  die(): void {
    this.#socket?.resetAndDestroy()
  }
}
