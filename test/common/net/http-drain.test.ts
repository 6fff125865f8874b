// Connections of viewers while their node drains: told to go on elsewhere, never closed under a request.
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect, createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLogger } from '../../../common/log.ts'
import { HttpConnections } from '../../../common/net/http-connections.ts'
import { frame, frameType, getFrame, Http2FrameClient } from '../../support/http2-frames.ts'
import { until } from '../../support/until.ts'

let stack: AsyncDisposableStack
let http: HttpConnections
let held: (() => void)[]

beforeEach(() => {
  stack = new AsyncDisposableStack()
  held = []
  const onRequest: ConstructorParameters<typeof HttpConnections>[0]['handlers']['onRequest'] = (
    req,
    res,
  ) => {
    const answer = () => res.end('here')
    if (req.url === '/held') held.push(answer)
    else answer()
  }
  http = stack.use(new HttpConnections({ handlers: { onRequest }, log: silentLogger }))
})

afterEach(() => stack.disposeAsync())

async function open(accept: 'acceptHttp1' | 'acceptHttp2'): Promise<number> {
  const server = createServer((socket) => http[accept](socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  stack.defer(() => void server.close())
  return (server.address() as { port: number }).port
}

describe('HTTP/1.1', () => {
  async function client() {
    const socket = connect(await open('acceptHttp1'), '127.0.0.1')
    stack.defer(() => void socket.destroy())
    socket.setEncoding('latin1')
    const said = { text: '', isOver: false }
    socket.on('data', (piece: string) => {
      said.text += piece
    })
    socket.on('end', () => {
      said.isOver = true
    })
    const ask = (path: string) => socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
    return { socket, said, ask }
  }

  test('an idle connection stays for its next request, whose answer says that it is the last', async () => {
    const { socket, said, ask } = await client()
    ask('/')
    await once(socket, 'data')
    http.announceDrain()
    const other = await client()
    other.ask('/')
    await once(other.socket, 'end')
    // The end of another connection has not taken this one along.
    expect(said).toMatchObject({ isOver: false, text: expect.stringContaining('keep-alive') })
    said.text = ''
    ask('/')
    await once(socket, 'end')
    expect(said.text).toMatch(/^HTTP\/1.1 200 .*\r\nconnection: close\r\n/is)
  })

  test('a request that is held is answered, before and after idle connections end', async () => {
    const { socket, said, ask } = await client()
    ask('/held')
    while (held.length === 0) await new Promise(setImmediate)
    http.announceDrain()
    http.drain()
    expect(said.isOver).toBe(false)
    held[0]!()
    await once(socket, 'end')
    expect(said.text).toContain('here')
  })

  test('an idle connection ends with the drain', async () => {
    const { socket, ask } = await client()
    ask('/')
    await once(socket, 'data')
    http.announceDrain()
    http.drain()
    await once(socket, 'close')
  })
})

describe('HTTP/2', () => {
  test('is told once it has asked and is quiet, and what was asked meanwhile is answered', async () => {
    const session = connectHttp2(`http://127.0.0.1:${await open('acceptHttp2')}`)
    stack.defer(() => void session.destroy())
    let isTold = false
    const told = once(session, 'goaway').then(() => {
      isTold = true
    })
    const ask = async (path: string) => {
      const stream = session.request({ ':path': path })
      stream.setEncoding('latin1')
      let text = ''
      for await (const piece of stream) text += piece
      return text
    }
    expect(await ask('/')).toBe('here')
    http.announceDrain()
    expect(isTold).toBe(false)
    const slow = ask('/held')
    const quick = ask('/')
    // Chromium loses a request that it is about to send when it is told: not on the heels of one, nor of an answer.
    expect(await quick).toBe('here')
    expect(isTold).toBe(false)
    await told
    while (held.length === 0) await new Promise(setImmediate)
    held[0]!()
    expect(await slow).toBe('here')
    await once(session, 'close')
  })

  test('learns which of its requests nobody is going to answer, and has an answer to all others', async () => {
    using client = await Http2FrameClient.dial(await open('acceptHttp2'))
    const answered = (stream: number) =>
      client.until((it) => it.type === frameType.data && it.stream === stream)
    client.send(getFrame(1, '/held'))
    while (held.length === 0) await new Promise(setImmediate)
    http.announceDrain()
    client.send(getFrame(3, '/'))
    const lastStreams = () =>
      client.frames.flatMap(({ type, payload }) =>
        type === frameType.goaway ? [payload.readUInt32BE(0)] : [],
      )
    await until('a GOAWAY', () => lastStreams().length > 0)
    // As if it had been on its way then.
    client.send(getFrame(5, '/'), frame('ping', 0, 0, Buffer.alloc(8)))
    await client.until(({ type }) => type === frameType.ping)
    expect(client.frames.filter(({ stream }) => stream === 5)).toEqual([])
    expect(lastStreams()).toEqual([2 ** 31 - 1, 3])
    expect(await answered(3)).toBeDefined()
    // Somebody who asks for one thing at a time has none on the way while it waits.
    const at = (isIt: (it: (typeof client.frames)[number]) => boolean) =>
      client.frames.findIndex(isIt)
    expect(at(({ type }) => type === frameType.goaway)).toBeLessThan(
      at(({ stream }) => stream === 3),
    )
    held[0]!()
    expect(await answered(1)).toBeDefined()
  })
})
