import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { TcpProxy } from './tcp-proxy.ts'
import { until } from './until.ts'

/** Both ends of connections through a proxy. */
class Line implements AsyncDisposable {
  readonly proxy: TcpProxy
  readonly #server: ReturnType<typeof createServer>
  readonly #arrivals: Socket[]
  readonly #clients: Socket[] = []

  private constructor(
    proxy: TcpProxy,
    server: ReturnType<typeof createServer>,
    arrivals: Socket[],
  ) {
    this.proxy = proxy
    this.#server = server
    this.#arrivals = arrivals
  }

  static async start(): Promise<Line> {
    const arrivals: Socket[] = []
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {})
      arrivals.push(socket)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    return new Line(await TcpProxy.start({ host: '127.0.0.1', port }), server, arrivals)
  }

  async dial(): Promise<{ client: Socket; server: Socket }> {
    const count = this.#arrivals.length
    const client = this.open()
    await until('the other end', () => this.#arrivals.length > count)
    return { client, server: this.#arrivals.at(-1)! }
  }

  open(): Socket {
    const client = connect({ port: this.proxy.port, host: '127.0.0.1', allowHalfOpen: true })
    client.on('error', () => {})
    this.#clients.push(client)
    return client
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of [...this.#clients, ...this.#arrivals]) socket.destroy()
    await this.proxy[Symbol.asyncDispose]()
    this.#server.close()
  }
}

function heardBy(socket: Socket): { text: string } {
  const heard = { text: '' }
  socket.on('data', (bytes: Buffer) => {
    heard.text += bytes.toString()
  })
  return heard
}

test('bytes and ends pass in both directions', async () => {
  await using line = await Line.start()
  const { client, server } = await line.dial()
  const [atServer, atClient] = [heardBy(server), heardBy(client)]
  client.write('up')
  server.write('down')
  await until('both', () => atServer.text === 'up' && atClient.text === 'down')
  client.end()
  await once(server, 'end')
  server.end('last')
  await until('the last word', () => atClient.text === 'downlast')
  await until('no connection', () => line.proxy.connections === 0)
})

test('a reset is seen by both ends', async () => {
  await using line = await Line.start()
  const { client, server } = await line.dial()
  const errors = Promise.all([once(client, 'error'), once(server, 'error')])
  line.proxy.reset()
  expect((await errors).map(([err]) => err.code)).toEqual(['ECONNRESET', 'ECONNRESET'])
})

test('who is refused is reset, and who stands stays', async () => {
  await using line = await Line.start()
  const { client, server } = await line.dial()
  line.proxy.obey({ kind: 'refuse' })
  const [err] = await once(line.open(), 'error')
  expect(err.code).toBe('ECONNRESET')
  const heard = heardBy(server)
  client.write('still')
  await until('the word', () => heard.text === 'still')
})

test('a black hole of one direction lets the other pass, and gives up what it held', async () => {
  await using line = await Line.start()
  const { client, server } = await line.dial()
  const [atServer, atClient] = [heardBy(server), heardBy(client)]
  line.proxy.obey({ kind: 'black-hole', directions: ['up'] })
  client.write('held')
  server.write('passes')
  await until('what passes', () => atClient.text === 'passes')
  expect(atServer.text).toBe('')
  line.proxy.obey({ kind: 'pass' })
  await until('what was held', () => atServer.text === 'held')
})

test('a sender into a black hole finds its kernel full', async () => {
  await using line = await Line.start()
  const { client } = await line.dial()
  line.proxy.obey({ kind: 'black-hole', directions: ['up', 'down'] })
  const piece = Buffer.alloc(1024 * 1024)
  for (let i = 0; i < 32; i++) client.write(piece)
  expect(client.writableLength).toBeGreaterThan(0)
  expect(client.destroyed).toBe(false)
})

test('one half ends and the other goes on', async () => {
  await using line = await Line.start()
  const { client, server } = await line.dial()
  const ended = once(server, 'end')
  server.resume()
  line.proxy.endHalf('up')
  await ended
  const heard = heardBy(client)
  server.write('still here')
  await until('the word', () => heard.text === 'still here')
})

test('what is delayed comes in its order', async () => {
  await using line = await Line.start()
  const { client, server } = await line.dial()
  const heard = heardBy(server)
  line.proxy.obey({ kind: 'delay', ms: 30 })
  for (const word of ['a', 'b', 'c']) client.write(word)
  client.end()
  await once(server, 'end')
  expect(heard.text).toBe('abc')
})
