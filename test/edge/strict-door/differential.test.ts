// Whatever bytes come, each answer belongs to one request that a strict reader finds in them, in their order, and upstream is
// asked for nothing but what these requests name.
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { targetOf } from '../../../common/cache/cache-key.ts'
import { classify } from '../../../common/cache/media-path.ts'
import { corpusBytes, corpusCases, corpusFiles } from '../../corpus/http.ts'
import { parseAnswers, RawClient, type RawDoor } from '../../support/raw-client.ts'
import { canonicalRequest } from './canonical.ts'
import { type ModelRequest, readRequests } from './request-model.ts'
import { StrictEdge } from './support.ts'

const host = 'a'
const good = [
  `GET /live/one/index.m3u8 HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
  `GET /live/two/abcdef12-1/720p/2.m4s?token=x HTTP/1.1\r\nHost: ${host}\r\nAccept: */*\r\n\r\n`,
  `HEAD /live/three/abcdef12-1/720p/p3.m4s HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
  `GET /live/four/720p.m3u8?_HLS_msn=4&_HLS_part=1 HTTP/1.1\r\nHost: ${host}\r\nRange: bytes=0-\r\n\r\n`,
  `OPTIONS /live/five/index.m3u8 HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
  `GET http://${host}/live/six/index.m3u8 HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
  `GET /live/seven/index.m3u8 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`,
  `GET /nothing HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
]
const hostile = corpusFiles()
  .flatMap(corpusCases)
  .map((one) => corpusBytes(one, host).toString('latin1'))
  .filter(({ length }) => length < 1_500)
const last = `\r\n\r\nGET /livez HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`

const inserted = fc.constantFrom(
  ...[
    '\r\n',
    '\r',
    '\n',
    '\0',
    ' ',
    '\t',
    ':',
    ',',
    ';',
    '/',
    '%',
    '\x0b',
    '\x7f',
    '\xff',
    '0',
    '#',
  ],
  ...['\r\n\r\n', '\n\n', '\r\n ', 'GET ', ' HTTP/1.1', 'Host: b\r\n', 'Connection: close\r\n'],
  ...['Content-Length: 5\r\n', 'Content-Length: 0\r\n', 'Transfer-Encoding: chunked\r\n'],
  ...['0\r\n\r\n', 'Upgrade: x\r\n', 'Expect: 100-continue\r\n', 'X: '],
)
const share = fc.double({ min: 0, max: 1, noNaN: true })
const mutation = fc.oneof(
  fc.record({ do: fc.constant('insert' as const), at: share, text: inserted }),
  fc.record({
    do: fc.constant('remove' as const),
    at: share,
    length: fc.integer({ min: 1, max: 30 }),
  }),
  fc.record({
    do: fc.constant('repeat' as const),
    at: share,
    length: fc.integer({ min: 1, max: 60 }),
  }),
)
const input = fc.record({
  requests: fc.array(
    fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(...good) },
      { weight: 2, arbitrary: fc.constantFrom(...hostile) },
    ),
    { minLength: 1, maxLength: 4 },
  ),
  mutations: fc.array(mutation, { maxLength: 3 }),
  cuts: fc.array(share, { maxLength: 2 }),
})
type Input = typeof input extends fc.Arbitrary<infer T> ? T : never

function textOf({ requests, mutations }: Input): string {
  let text = requests.join('')
  for (const change of mutations) {
    const at = Math.floor(change.at * text.length)
    if (change.do === 'insert') text = text.slice(0, at) + change.text + text.slice(at)
    else if (change.do === 'remove') text = text.slice(0, at) + text.slice(at + change.length)
    else text = text.slice(0, at + change.length) + text.slice(at)
  }
  return text + last
}

/** What upstream may be asked for the sake of a request. */
function keyOf({ method, target }: ModelRequest): string | undefined {
  if (method !== 'GET' && method !== 'HEAD') return undefined
  const [path = '', query = ''] = target.replace(/^https?:\/\/[^/]*/i, '').split(/\?(.*)/s)
  const media = classify(path)
  const found = media && targetOf(media, path, query)
  return found && 'key' in found ? found.key : undefined
}

async function faultOf(edge: StrictEdge, door: RawDoor, given: Input): Promise<string | undefined> {
  edge.reset()
  const text = textOf(given)
  const { requests, isBroken } = readRequests(text)
  const bytes = Buffer.from(text, 'latin1')
  const cuts = given.cuts.map((cut) => Math.floor(cut * bytes.length)).sort((a, b) => a - b)
  using client = await RawClient.dial(door)
  await client.send(
    ...[0, ...cuts].map((start, i) => bytes.subarray(start, cuts[i] ?? bytes.length)),
  )
  const answers = parseAnswers(await client.toEnd(), (i) => requests[i]?.method === 'HEAD')

  if (answers.length > requests.length + (isBroken ? 1 : 0)) return 'more answers than requests'
  const keys: string[] = []
  for (const [i, { status, headers, body }] of answers.entries()) {
    const request = requests[i]
    const isLast = i === answers.length - 1
    const saysSo = headers.connection?.toLowerCase() === 'close'
    if (saysSo && !isLast) return `an answer behind the last one (${i})`
    if (isLast && !saysSo) return 'the connection ended without having said so'
    if (!request) {
      if (status < 400) return `what is no request was answered ${status}`
      continue
    }
    const key = keyOf(request)
    if (key !== undefined && (status < 400 || status === 416)) keys.push(key)
    if (key !== undefined && request.method === 'GET') {
      // The origin answers with the key.
      const isIts = status === 200 ? body === key : status !== 206 || key.includes(body)
      if (!isIts) return `${request.target} was answered ${body}`
    }
    if (key === undefined && (status === 200 || status === 206)) {
      if (!/^(?:https?:\/\/[^/]+)?\/livez(?:$|\?)/i.test(request.target)) {
        return `${request.target} was answered ${status}`
      }
    }
  }
  if (answers.length === 0) return 'no answer'
  const asked = edge.origin.paths
  const wanted = new Set(keys)
  // A live playlist is looked at before it is waited for.
  const looks = new Set(keys.filter((key) => key.includes('?')).map((key) => key.split('?')[0]))
  const isExplained = asked.every((key) => wanted.has(key) || looks.has(key))
  if (
    !isExplained ||
    new Set(asked).size !== asked.length ||
    wanted.difference(new Set(asked)).size > 0
  ) {
    return `upstream was asked for ${asked}`
  }
  const odd = edge.origin.requests.find((request) => !canonicalRequest.test(request))
  return odd && `upstream was asked ${odd}`
}

describe.each([
  ['plain', 3_000],
  ['TLS', 300],
] as const)('%s', (kind, numRuns) => {
  let edge: StrictEdge

  beforeAll(async () => {
    edge = await StrictEdge.start({
      limits: { headersTimeoutMs: 4_000, keepAliveTimeoutMs: 1_500 },
    })
  })

  afterAll(async () => {
    await edge?.[Symbol.asyncDispose]()
  })

  it('answers each request that there is, once, in order, and asks for no other', async () => {
    await fc.assert(
      fc.asyncProperty(input, async (given) => {
        // By its first byte that is RTMP (§5.2.1 of its specification), which comes in by the same port.
        fc.pre(kind === 'plain' || !textOf(given).startsWith('\x03'))
        expect(await faultOf(edge, kind === 'plain' ? edge.plain : edge.tls, given)).toBe(undefined)
      }),
      { numRuns, interruptAfterTimeLimit: 60_000, markInterruptAsFailure: true },
    )
  }, 90_000)
})
