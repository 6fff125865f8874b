// H60: frames that no good HTTP/2 client sends. A flood ends its connection, a request that cannot be is refused, and neither
// reaches upstream beyond a bound nor touches anybody else.
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  flag,
  frame,
  frameType,
  getFrame,
  Http2FrameClient,
  headerBlock,
  requestFields,
  uint32,
} from '../../support/http2-frames.ts'
import { readToEnd } from '../front/support.ts'
import { canonicalRequest } from './canonical.ts'
import { Bystander, StrictEdge } from './support.ts'

const pathOf = (number: number) => `/live/demo/abcdef12-1/720p/${number}.m4s`
const times = <T>(count: number, make: (index: number) => T) =>
  Array.from({ length: count }, (_, i) => make(i))

/** Asks, and makes the server or itself take it back, on one stream after the other. */
function askAndReset(behind: (stream: number) => Uint8Array) {
  return (client: Http2FrameClient) =>
    client.flood(
      (round) =>
        times(20, (i) => {
          const stream = 2 * (round * 20 + i) + 1
          return Buffer.concat([getFrame(stream, pathOf(stream)), behind(stream)])
        }),
      500,
    )
}

function repeat(make: (index: number) => Uint8Array, first?: Uint8Array) {
  return (client: Http2FrameClient) => {
    if (first) client.send(first)
    return client.flood(() => times(100, make), 5_000)
  }
}

function just(...frames: Uint8Array[]) {
  return async (client: Http2FrameClient) => client.send(...frames)
}

const openHeaders = frame('headers', flag.endStream, 1, headerBlock(requestFields(pathOf(1))))
const openBody = frame('headers', flag.endHeaders, 1, headerBlock(requestFields(pathOf(1))))
const priority = (on: number) => Buffer.concat([uint32(on), Buffer.from([1])])

const attacks: [string, (client: Http2FrameClient) => Promise<unknown>][] = [
  ['rapid reset', askAndReset((stream) => frame('rstStream', 0, stream, uint32(8)))],
  ['a window that grows by nothing', askAndReset((s) => frame('windowUpdate', 0, s, uint32(0)))],
  ['a window beyond 2^31', askAndReset((s) => frame('windowUpdate', 0, s, uint32(0x7fffffff)))],
  ['a body behind the end', askAndReset((s) => frame('data', flag.endStream, s, Buffer.from('x')))],
  ['headers behind the end', askAndReset((stream) => getFrame(stream, pathOf(stream)))],
  ['a stream that depends on itself', askAndReset((s) => frame('priority', 0, s, priority(s)))],
  ['a priority cut short', askAndReset((stream) => frame('priority', 0, stream, Buffer.alloc(1)))],
  ['a reset cut short', askAndReset((stream) => frame('rstStream', 0, stream, Buffer.alloc(1)))],
  [
    'CONTINUATION without end',
    repeat(() => frame('continuation', 0, 1, headerBlock([['x', 'y'.repeat(1_000)]])), openHeaders),
  ],
  ['empty CONTINUATION without end', repeat(() => frame('continuation', 0, 1), openHeaders)],
  ['empty DATA without end', repeat(() => frame('data', 0, 1), openBody)],
  ['SETTINGS without end', repeat(() => frame('settings'))],
  [
    'SETTINGS that change without end',
    repeat((i) => frame('settings', 0, 0, Buffer.from([0, 1, 0, 0, 0, i]))),
  ],
  ['acknowledged SETTINGS without end', repeat(() => frame('settings', flag.ack))],
  ['PING without end', repeat(() => frame('ping', 0, 0, Buffer.alloc(8)))],
  ['answered PING without end', repeat(() => frame('ping', flag.ack, 0, Buffer.alloc(8)))],
  ['PRIORITY without end', repeat((i) => frame('priority', 0, 2 * i + 1, priority(0)))],
  ['unknown frames without end', repeat(() => frame(77, 0, 0, Buffer.alloc(100)))],
  ['GOAWAY without end', repeat(() => frame('goaway', 0, 0, Buffer.alloc(8)))],
  [
    'a connection window beyond 2^31',
    just(...times(2, () => frame('windowUpdate', 0, 0, uint32(0x7fffffff)))),
  ],
  [
    'an initial window beyond 2^31',
    just(frame('settings', 0, 0, Buffer.from([0, 4, 255, 255, 255, 255]))),
  ],
  [
    '300 requests that nobody reads',
    just(
      frame('settings', 0, 0, Buffer.from([0, 4, 0, 0, 0, 0])),
      ...times(300, (i) => getFrame(2 * i + 1, pathOf(i))),
    ),
  ],
  [
    'an index that is not in the table',
    just(frame('headers', 5, 1, Buffer.from([0xff, 0xff, 0x7f]))),
  ],
  [
    'a table larger than agreed',
    just(frame('headers', 5, 1, Buffer.from([0x3f, 0xff, 0xff, 0x7f]))),
  ],
  ['a frame larger than agreed', just(frame('data', 0, 1, Buffer.alloc(20_000)))],
  [
    'a promise of a client',
    just(frame('pushPromise', 4, 1, Buffer.concat([uint32(2), headerBlock(requestFields('/'))]))),
  ],
  ['a stream of the server', just(getFrame(2, '/'))],
  ['headers of no stream', just(getFrame(0, '/'))],
  ['data of no stream', just(frame('data', 0, 0, Buffer.from('x')))],
  ['SETTINGS of a stream', just(frame('settings', 0, 1))],
  ['SETTINGS of five bytes', just(frame('settings', 0, 0, Buffer.alloc(5)))],
  ['PING of seven bytes', just(frame('ping', 0, 0, Buffer.alloc(7)))],
  [
    'padding longer than the frame',
    just(frame('headers', 5 | flag.padded, 1, Buffer.from([200, 0]))),
  ],
  [
    'something between HEADERS and CONTINUATION',
    just(openHeaders, frame('ping', 0, 0, Buffer.alloc(8))),
  ],
  ['the preface, again', just(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'))],
  ['HTTP/1.1', just(Buffer.from('GET /live/demo/index.m3u8 HTTP/1.1\r\nHost: a\r\n\r\n'))],
]

const path = '/live/demo/index.m3u8'
const fields = (changes: Record<string, string>) =>
  Object.entries({ ...Object.fromEntries(requestFields(path)), ...changes })
const bomb = Buffer.concat([
  headerBlock(requestFields(path)),
  Buffer.from([0x40, 1, 0x78, 127, ((3_000 - 127) & 127) | 128, (3_000 - 127) >> 7]),
  Buffer.alloc(3_000, 'x'),
  // Each byte stands for these 3 000 once more.
  Buffer.alloc(12_000, 0xbe),
])
const refused: [string, Buffer[]][] = [
  ['a path with CR LF', [headers(fields({ ':path': '/live/a\r\nX: b' }))]],
  ['a path with a space', [headers(fields({ ':path': '/live/a b' }))]],
  ['a path with NUL', [headers(fields({ ':path': '/live/a\0b' }))]],
  ['a path with a fragment', [headers(fields({ ':path': `${path}#a` }))]],
  ['a path without a slash', [headers(fields({ ':path': 'live/demo/index.m3u8' }))]],
  ['a path that is empty', [headers(fields({ ':path': '' }))]],
  ['a path of dots', [headers(fields({ ':path': '/live/../live/demo/index.m3u8' }))]],
  [
    'a path of a whole URL',
    [headers(fields({ ':path': 'http://evil.example/live/demo/index.m3u8' }))],
  ],
  ['a query of 2 049 bytes', [headers(fields({ ':path': `${path}?${'a'.repeat(2_049)}` }))]],
  ['no path', [headers(fields({}).filter(([name]) => name !== ':path'))]],
  ['two paths', [headers([...fields({}), [':path', '/b']])]],
  ['a path behind the headers', [headers([['x', 'y'], ...fields({})])]],
  ['a field of its own kind', [headers([[':evil', 'a'], ...fields({})])]],
  ['the asterisk', [headers(fields({ ':method': 'OPTIONS', ':path': '*' }))]],
  ['a transfer coding', [headers(fields({ 'transfer-encoding': 'chunked' }))]],
  ['a Connection header', [headers(fields({ connection: 'close' }))]],
  ['an Upgrade header', [headers(fields({ upgrade: 'h2c' }))]],
  ['a TE other than trailers', [headers(fields({ te: 'gzip' }))]],
  ['a name in upper case', [headers(fields({ 'X-A': 'b' }))]],
  ['two authorities', [headers(fields({ host: 'evil.example' }))]],
  ['a list of authorities', [headers(fields({ ':authority': 'a, b' }))]],
  ['an authority with a user', [headers(fields({ ':authority': 'u:p@a' }))]],
  ['no authority', [headers(fields({}).filter(([name]) => name !== ':authority'))]],
  ['POST', [headers(fields({ ':method': 'POST' }))]],
  ['TRACE', [headers(fields({ ':method': 'TRACE' }))]],
  ['a method in lower case', [headers(fields({ ':method': 'get' }))]],
  ['an expectation', [headers(fields({ expect: '100-continue' }))]],
  ['a length without a body', [headers(fields({ 'content-length': '5' }))]],
  [
    'a body longer than its length',
    [
      headers(fields({ 'content-length': '1' }), false),
      frame('data', flag.endStream, 1, Buffer.from('GET /')),
    ],
  ],
  [
    'a body shorter than its length',
    [
      headers(fields({ 'content-length': '9' }), false),
      frame('data', flag.endStream, 1, Buffer.from('GET /')),
    ],
  ],
  [
    'a body without a length',
    [headers(fields({}), false), frame('data', flag.endStream, 1, Buffer.from('GET /'))],
  ],
  ['a body that never comes', [headers(fields({}), false)]],
  [
    '120 headers',
    [headers([...fields({}), ...times(120, (i): [string, string] => [`x-${i}`, 'a'])])],
  ],
  ['headers of 20 KiB, told in 15', [frame('headers', 5, 1, bomb)]],
]

function headers(list: [string, string][], isWhole = true): Buffer {
  return frame('headers', flag.endHeaders | (isWhole ? flag.endStream : 0), 1, headerBlock(list))
}

function answersOf({ frames }: Http2FrameClient): number {
  return frames.filter(({ type, flags, stream }) => {
    return (
      stream > 0 &&
      (type === frameType.data || type === frameType.headers) &&
      flags & flag.endStream
    )
  }).length
}

let edge: StrictEdge
let bystander: Bystander

beforeAll(async () => {
  edge = await StrictEdge.start()
  bystander = await Bystander.start(edge, edge.tls)
})

afterAll(async () => {
  bystander?.[Symbol.dispose]()
  await edge?.[Symbol.asyncDispose]()
})

const dial = () => Http2FrameClient.dial(edge.door.port, edge.door.ca)

describe('ends the connection of', () => {
  it.each(attacks)('%s', async (_name, attack) => {
    edge.reset()
    const other = connectHttp2(`https://localhost:${edge.door.port}`, { ca: edge.door.ca })
    await once(other, 'remoteSettings')
    using client = await dial()
    await attack(client)
    await client.closed()
    await edge.settled()
    // nghttp2 takes a hundred resets at once, and whatever else was sent with them; who takes answers may ask.
    expect(edge.origin.requests.length).toBeLessThanOrEqual(300 + answersOf(client))
    expect(edge.origin.requests.filter((request) => !canonicalRequest.test(request))).toEqual([])
    expect(await readToEnd(other.request({ ':path': '/live/other/index.m3u8' }))).toBe(
      '/live/other/index.m3u8',
    )
    other.destroy()
    await bystander.feed()
  })
})

describe('refuses, and nothing but', () => {
  it.each(refused)('%s', async (_name, frames) => {
    edge.reset()
    using client = await dial()
    client.send(...frames)
    const isAnswer = ({ type, stream }: { type: number; stream: number }) =>
      stream === 1 && (type === frameType.headers || type === frameType.rstStream)
    const answer = await client.until(isAnswer)
    // Index 8 of the static table is status 200, 9 and 10 are 204 and 206.
    if (answer?.type === frameType.headers)
      expect([8, 9, 10]).not.toContain(answer.payload[0]! & 0x7f)
    client.send(getFrame(3, '/livez'))
    const next = await client.until(({ stream, type }) => stream === 3 && type === frameType.data)
    expect(next?.payload.toString() ?? 'connection ended').toMatch(/^(?:ok\n|connection ended)$/)
    expect(edge.origin.requests).toEqual([])
  })
})

// nghttp2 leaves such a field out, against RFC 9113 §8.2.1, which has the whole request refused.
it.each([
  ['a name with CR LF', 'x\r\ny', 'b'],
  ['a value with CR LF', 'x', 'a\r\nHost: evil.example'],
  ['a value with NUL', 'x', 'a\0b'],
])('answers %s as if it were not there', async (_name, name, value) => {
  edge.reset()
  using client = await dial()
  client.send(headers(fields({ [name]: value })))
  const body = await client.until(({ stream, type }) => stream === 1 && type === frameType.data)
  expect(body?.payload.toString()).toBe(path)
  expect(edge.origin.requests).toEqual([expect.stringMatching(canonicalRequest)])
})

it('has hurt nobody else', async () => {
  const { sent, arrived } = await bystander.finish()
  expect(sent.length).toBeGreaterThan(50_000)
  expect(arrived === sent).toBe(true)
})
