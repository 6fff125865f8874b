// An address that has been sent too much is told to come again, whatever road its requests take; what it has begun it gets.
import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:http2'
import { request as requestTls } from 'node:https'
import { expect, test } from 'vitest'
import { silentLogger } from '../../../common/log.ts'
import { edgeConfigSchema } from '../../../config/schema.ts'
import { Admission } from '../../../edge/admission/admission.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { StrictEdge } from '../strict-door/support.ts'

const path = '/live/demo/abcdef12-1/720p/1.m4s'
const body = Buffer.alloc(100_000, 'x')

/** One connection to the edge, and the answer to each request over it. */
interface Viewer extends Disposable {
  get(headers: Record<string, string>): Promise<{ status: number; bytes: number }>
}

async function read(status: number, stream: AsyncIterable<Buffer>) {
  let bytes = 0
  for await (const piece of stream) bytes += piece.length
  return { status, bytes }
}

function viewerH1(ask: typeof request, options: Record<string, unknown>): Viewer {
  return {
    async get(headers) {
      const req = ask({ host: '127.0.0.1', path, headers, agent: false, ...options }).end()
      const [res] = await once(req, 'response')
      return read(res.statusCode, res)
    },
    [Symbol.dispose]() {},
  }
}

function viewerH2({ port, ca }: { port: number; ca: string }): Viewer {
  const session = connect(`https://localhost:${port}`, { ca })
  return {
    async get(headers) {
      const stream = session.request({ ':path': path, ...headers })
      const [{ ':status': status }] = await once(stream, 'response')
      return read(status, stream)
    },
    [Symbol.dispose]: () => session.destroy(),
  }
}

const roads: Record<string, (edge: StrictEdge) => Viewer> = {
  'HTTP/1.1': ({ door }) => viewerH1(request, { port: door.httpPort }),
  'HTTP/1.1 over TLS': ({ door }) =>
    viewerH1(requestTls, { port: door.port, ca: door.ca, servername: 'localhost' }),
  'HTTP/2': ({ door }) => viewerH2(door),
}

async function started(limits: Record<string, unknown>) {
  const clock = new FakeClock()
  const { admission: given } = edgeConfigSchema.parse({
    role: 'edge',
    node: { id: 'pop-1' },
    cluster: { coordinator: 'http://127.0.0.1:1', secret: 'x'.repeat(32) },
    admission: limits,
  })
  const admission = new Admission({ limits: given, clock, log: silentLogger })
  const edge = await StrictEdge.start({ admission, delivery: { pace: admission.requests, clock } })
  edge.origin.respond = (_request, socket) => {
    const head = `content-length: ${body.length}\r\ncache-control: max-age=31536000, immutable`
    socket.write(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n`)
    socket.write(body)
  }
  return { clock, edge }
}

test.each(
  Object.keys(roads).flatMap((road) => [
    { road, kind: 'a simple request', headers: {} },
    { road, kind: 'any other', headers: { 'if-none-match': '"other"' } },
  ]),
)('over $road, $kind', async ({ road, headers }) => {
  // A kilobyte a second, ten of them at once.
  const address = { viewerBitsPerSecond: 8_000 }
  const { clock, edge } = await started({ exempt: [], address })
  await using _edge = edge
  using viewer = roads[road]!(edge)
  const whole = { status: 200, bytes: body.length }
  expect(await viewer.get(headers)).toEqual(whole)
  await clock.advance(1_000)
  expect((await viewer.get(headers)).status).toBe(503)
  await clock.advance(85_000)
  expect((await viewer.get(headers)).status).toBe(503)
  // And what handshakes have taken.
  await clock.advance(60_000)
  expect(await viewer.get(headers)).toEqual(whole)
})

test.each([
  ['none is set', { exempt: [] }],
  ['it is exempt', { address: { viewerBitsPerSecond: 8_000 } }],
])('an address has no such limit where %s', async (_why, limits) => {
  const { clock, edge } = await started(limits)
  await using _edge = edge
  using viewer = roads['HTTP/1.1']!(edge)
  for (let i = 0; i < 3; i++) {
    expect((await viewer.get({})).status).toBe(200)
    await clock.advance(1_000)
  }
})
