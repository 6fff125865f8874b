// Who gets into a gateway: trusted networks, the cluster credential, and what a PROXY header is worth.
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import { createClusterAuth } from '../../../common/cluster/cluster-auth.ts'
import { silentLogger } from '../../../common/log.ts'
import { createNetworkList } from '../../../common/net/allowed-networks.ts'
import { encodeProxyHeader } from '../../../common/net/proxy-protocol.ts'
import { proxyTlv } from '../../../common/relay/proxy-tlvs.ts'
import { GatewayDoor } from '../../../origin/gateway/gateway-door.ts'
import type { RelayedPublisher } from '../../../origin/gateway/publish-ingest.ts'

const auth = createClusterAuth('ncs_for_tests_only_0123456789abcdef')
const stranger = createClusterAuth('ncs_of_somebody_else_0123456789abcdef')

let door: GatewayDoor
let port: number
let publishers: RelayedPublisher[]
let asked: string[]

async function open(trusted: string[]): Promise<void> {
  publishers = []
  asked = []
  door = new GatewayDoor({
    trusted: createNetworkList(trusted),
    auth,
    firstByteTimeoutMs: 5_000,
    clock: systemClock,
    log: silentLogger,
    onRtmp(socket, publisher) {
      publishers.push(publisher)
      socket.destroy()
    },
    onRequest(req, res) {
      asked.push(req.url ?? '')
      res.end('served')
    },
  })
  port = await door.start({ host: '127.0.0.1', port: 0 })
}

/** Everything that was answered before the gateway hung up. */
async function say(...bytes: (Buffer | string)[]): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  let answer = ''
  socket.on('data', (piece: Buffer) => {
    answer += piece.toString('latin1')
  })
  for (const piece of bytes) socket.write(piece)
  await once(socket, 'close')
  return answer
}

const rtmp = Buffer.from([3])
const get = (more = '') =>
  `GET /live/demo/index.m3u8 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${more}\r\n`
const proxy = (token?: string) =>
  encodeProxyHeader({
    source: { address: '10.0.0.1', port: 4_000 },
    tlvs: [
      { type: proxyTlv.popId, value: Buffer.from('pop-1') },
      ...(token === undefined ? [] : [{ type: proxyTlv.nodeToken, value: Buffer.from(token) }]),
    ],
  })

beforeEach(() => open(['10.0.0.0/8']))

afterEach(async () => {
  await door[Symbol.asyncDispose]()
})

test('a stranger cannot publish', async () => {
  expect(await say(rtmp)).toBe('')
  expect(publishers).toEqual([])
})

test.each([
  ['none', undefined],
  ['junk', 'junk'],
  ['one of another cluster', await stranger.issueNodeToken('pop-1', 'edge')],
])(
  'a stranger who says to be in a trusted network cannot either, with the credential %s',
  async (_, token) => {
    expect(await say(proxy(token), rtmp)).toBe('')
    expect(await say('PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n', rtmp)).toBe('')
    expect(publishers).toEqual([])
  },
)

test('a stranger with the credential of the cluster publishes for the address it tells', async () => {
  await say(proxy(await auth.issueNodeToken('pop-1', 'edge')), rtmp)
  expect(publishers).toEqual([{ clientAddress: '10.0.0.1', pop: 'pop-1' }])
})

test('a stranger is served by HTTP with the credential only, whatever a PROXY header says', async () => {
  expect(await say(get())).toMatch(/^HTTP\/1\.1 403 /)
  expect(await say(proxy(), get())).toMatch(/^HTTP\/1\.1 403 /)
  expect(await say(proxy(await auth.issueNodeToken('pop-1', 'edge')), get())).toMatch(/ 403 /)
  expect(await say(get('X-Forwarded-For: 10.0.0.1\r\n'))).toMatch(/ 403 /)
  expect(
    await say(get(`Authorization: Bearer ${await stranger.issueNodeToken('a', 'edge')}\r\n`)),
  ).toMatch(/ 403 /)
  expect(asked).toEqual([])
  expect(
    await say(get(`Authorization: Bearer ${await auth.issueNodeToken('a', 'edge')}\r\n`)),
  ).toMatch(/served$/)
})

test('a ticket is no credential', async () => {
  const ticket = await auth.signTicket({
    liveId: 'demo',
    broadcastId: '5a3ee1a8-6d5f-4c30-9a5e-2f2a34a4ad10',
    broadcastTag: 'abcdefgh',
    broadcastStartedAt: 0,
    epoch: 1,
    nonce: 'abcdefghijklmnop',
    connection: 'abcdefghijklmnop',
    transcoder: 'tc-1',
    instance: '5a3ee1a8-6d5f-4c30-9a5e-2f2a34a4ad10',
    record: false,
    takes: 0,
  })
  expect(await say(proxy(ticket), rtmp)).toBe('')
  expect(await say(get(`Authorization: Bearer ${ticket}\r\n`))).toMatch(/ 403 /)
  expect(publishers).toEqual([])
})
