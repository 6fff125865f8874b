// A port that hands every publisher's socket to the relay under test.
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'

export class PublisherDoor implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  url = ''

  constructor(onSocket: (socket: Socket) => void) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
      onSocket(socket)
    })
  }

  async listen(): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    this.url = `rtmp://127.0.0.1:${(this.#server.address() as { port: number }).port}/live`
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
