// The L and S corpora: first bytes that are no good TLS, and peers that say or take too little. Each is hung up on by a
// deadline of the door, made short here, and hurts nobody.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tlsCases } from '../../corpus/tls.ts'
import { RawClient } from '../../support/raw-client.ts'
import { Bystander, StrictEdge } from './support.ts'

const limits = {
  handshakeTimeoutMs: 700,
  headersTimeoutMs: 700,
  keepAliveTimeoutMs: 300,
  idleTimeoutMs: 12_000,
}
let edge: StrictEdge
let bystander: Bystander

beforeAll(async () => {
  edge = await StrictEdge.start({ limits })
  bystander = await Bystander.start(edge, edge.tls)
})

afterAll(async () => {
  bystander?.[Symbol.dispose]()
  await edge?.[Symbol.asyncDispose]()
})

/** A record of the handshake whose first message is a ServerHello. */
const isServerHello = (text: string) => text.charCodeAt(0) === 22 && text.charCodeAt(5) === 2

describe('on the TLS port', () => {
  it.each(tlsCases)('$name: $outcome', async ({ bytes, outcome }) => {
    using client = await RawClient.dial({ port: edge.door.port })
    await client.send(bytes)
    await client.until(isServerHello)
    expect(isServerHello(client.received) ? 'hello' : 'refused').toBe(outcome)
    await bystander.feed()
  })
})

const head = 'GET /live/demo/index.m3u8 HTTP/1.1\r\nHost: a\r\n'
/** Each piece comes when 50 ms have passed since the last one, for as long as anybody listens. */
const slow: [string, string[]][] = [
  ['nothing', []],
  ['an empty line again and again', Array(200).fill('\r\n')],
  ['a request line byte by byte', [...head.repeat(5)]],
  ['one header after the other', [head, ...Array(200).fill('X: a\r\n')]],
  ['one letter of a header after the other', [`${head}X: `, ...Array(200).fill('a')]],
  ['headers that stop', [head]],
  ['a body that stops', [`${head}Content-Length: 100\r\n\r\n`, 'a']],
  ['a body byte by byte', [`${head}Content-Length: 100\r\n\r\n`, ...Array(100).fill('a')]],
  [
    'chunks, one after the other',
    [`${head}Transfer-Encoding: chunked\r\n\r\n`, ...Array(100).fill('1\r\na\r\n')],
  ],
  ['a good request, then half of one', [`${head}\r\n`, head]],
  ['a good request, then nothing', [`${head}\r\n`]],
]

describe.each(['plain', 'tls'] as const)('slowly, %s', (kind) => {
  it.concurrent.each(slow)('%s: is hung up on', async (_name, pieces) => {
    using client = await RawClient.dial(edge[kind])
    let at = 0
    const trickle = setInterval(() => {
      if (at < pieces.length && client.socket.writable) client.socket.write(pieces[at++]!)
    }, 50)
    try {
      // Without a byte the TLS port waits for the first one, whose deadline is another test's.
      if (pieces.length > 0 || kind === 'plain') await client.toEnd()
      expect(client.received).toMatch(/^(?:HTTP\/1\.1 [24]\d\d |$)/)
      expect(at).toBeLessThan(150)
    } finally {
      clearInterval(trickle)
    }
  })
})

it('does not let a connection get further ahead than 64 requests', async () => {
  edge.reset()
  const held: (() => void)[] = []
  const { respond } = edge.origin
  edge.origin.respond = (request, socket) => held.push(() => respond(request, socket))
  using client = await RawClient.dial(edge.plain)
  const requests = Array.from(
    { length: 2_000 },
    (_, i) => `GET /live/demo/abcdef12-1/720p/${i}.m4s HTTP/1.1\r\nHost: a\r\n\r\n`,
  )
  await client.send(Buffer.from(requests.join('')))
  // More than a thousand behind the one that is refused: that is no mistake any more.
  await client.toEnd()
  await bystander.feed()
  expect(edge.origin.requests.length).toBeLessThanOrEqual(64)
  edge.origin.respond = respond
  for (const release of held) release()
})

it('has hurt nobody else', async () => {
  const { sent, arrived } = await bystander.finish()
  expect(sent.length).toBeGreaterThan(50_000)
  expect(arrived === sent).toBe(true)
})
