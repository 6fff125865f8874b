import { createHmac, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { RtmpClientSession } from '../../../media/rtmp/client-session.ts'
import { ClientHandshake, ServerHandshake } from '../../../media/rtmp/handshake.ts'
import { hex, Peer } from './wire.ts'

// The peer's half of the digests, written out here so that a mistake in the code is not made twice.
const tail = hex('f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae')
const player = Buffer.from('Genuine Adobe Flash Player 001')
const server = Buffer.from('Genuine Adobe Flash Media Server 001')
const hmac = (key: Buffer, ...data: Buffer[]) => {
  const sum = createHmac('sha256', key)
  for (const bytes of data) sum.update(bytes)
  return sum.digest()
}
const offsetOf = (packet: Buffer, base: number) =>
  (packet.subarray(base, base + 4).reduce((sum, byte) => sum + byte, 0) % 728) + base + 4
const digestAt = (packet: Buffer, at: number, key: Buffer) =>
  hmac(key, packet.subarray(0, at), packet.subarray(at + 32))

const options = { random: randomBytes, nowMs: () => 0x01020304 }

function signedC1(base: number): { c1: Buffer; digest: Buffer } {
  const c1 = randomBytes(1536)
  const at = offsetOf(c1, base)
  const digest = digestAt(c1, at, player)
  digest.copy(c1, at)
  return { c1, digest }
}

function serve(input: Buffer, step = input.length): { out: Buffer; handshake: ServerHandshake } {
  const handshake = new ServerHandshake(options)
  const out: Buffer[] = []
  for (let at = 0; at < input.length; at += step) {
    handshake.take(input.subarray(at, at + step), 0, out)
  }
  return { out: Buffer.concat(out), handshake }
}

test.each([1, 7, 1536, 4000])('a plain handshake is echoed, %i bytes at a time', (step) => {
  const c1 = Buffer.alloc(1536, 7)
  c1.fill(0, 4, 8)
  const input = Buffer.concat([Buffer.from([3]), c1, Buffer.alloc(1536)])
  const { out, handshake } = serve(input, step)
  expect(handshake.isDone).toBe(true)
  expect(out.length).toBe(1 + 1536 * 2)
  expect(out[0]).toBe(3)
  expect(out.readUInt32BE(1)).toBe(0x01020304)
  expect(out.readUInt32BE(5)).toBe(0)
  const s2 = out.subarray(1537)
  expect(s2.subarray(0, 4)).toEqual(c1.subarray(0, 4))
  expect(s2.subarray(8)).toEqual(c1.subarray(8))
})

test.each([8, 772])('a digest at base %i is answered by digests', (base) => {
  const { c1, digest } = signedC1(base)
  const { out } = serve(Buffer.concat([Buffer.from([3]), c1]))
  const s1 = out.subarray(1, 1537)
  const at = offsetOf(s1, base)
  expect(s1.subarray(at, at + 32)).toEqual(digestAt(s1, at, server))
  const s2 = out.subarray(1537)
  const key = hmac(Buffer.concat([server, tail]), digest)
  expect(s2.subarray(1504)).toEqual(hmac(key, s2.subarray(0, 1504)))
})

test.each([8, 772])('R04 a wrong digest at base %i gets a plain answer', (base) => {
  const { c1 } = signedC1(base)
  c1[offsetOf(c1, base)]! ^= 1
  const { out, handshake } = serve(Buffer.concat([Buffer.from([3]), c1, Buffer.alloc(1536)]))
  expect(out.subarray(1537 + 8)).toEqual(c1.subarray(8))
  expect(handshake.isDone).toBe(true)
})

test.each([8, 772] as const)('a client signs by base %i and its signatures hold', (base) => {
  const client = new ClientHandshake(options, base)
  const sent: Buffer[] = []
  client.start(sent)
  const c1 = sent[1]!
  const at = offsetOf(c1, base)
  expect(c1.subarray(at, at + 32)).toEqual(digestAt(c1, at, player))

  const { out } = serve(Buffer.concat(sent))
  const answer: Buffer[] = []
  client.take(out, 0, answer)
  expect(client.error).toBeUndefined()
  expect(client.isDone).toBe(true)
  const [c2] = answer
  const s1 = out.subarray(1, 1537)
  const s1Digest = s1.subarray(offsetOf(s1, base), offsetOf(s1, base) + 32)
  const key = hmac(Buffer.concat([player, tail]), s1Digest)
  expect(c2!.subarray(1504)).toEqual(hmac(key, c2!.subarray(0, 1504)))
})

test('a client refuses a server that signs S2 wrongly', () => {
  const client = new ClientHandshake(options, 8)
  const sent: Buffer[] = []
  client.start(sent)
  const { out } = serve(Buffer.concat(sent))
  out[out.length - 1]! ^= 1
  client.take(out, 0, [])
  expect(client.error).toMatchObject({ reason: 'handshake-failed' })
})

test('a signing client accepts a server that does not sign', () => {
  const client = new ClientHandshake(options, 8)
  client.start([])
  client.take(Buffer.concat([Buffer.from([3]), Buffer.alloc(3072)]), 0, [])
  expect(client.isDone).toBe(true)
})

test.each([
  ['R01 a byte that is no version', hex('00 06 1f 20 ff')],
  ['R01 the encrypted version', hex('06')],
  ['R05 an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n')],
  ['R05 a TLS hello', hex('16 03 01 02 00')],
  ['R05 an SSH banner', Buffer.from('SSH-2.0-x\r\n')],
  ['R05 RTMP tunnelled', Buffer.from('POST /open/1 HTTP/1.1\r\n\r\n')],
])('%s is refused at the first byte and gets no answer', (_, bytes) => {
  const peer = new Peer()
  expect(peer.send(bytes)).toMatchObject([
    { type: 'error', error: { reason: 'version-unsupported' } },
  ])
  expect(peer.answer.length).toBe(0)
  expect(peer.send(bytes)).toEqual([])
  expect(peer.session.state).toBe('failed')
})

test('R02, R03 a slow peer costs nothing but waiting', () => {
  const peer = new Peer()
  expect(peer.send(Buffer.from([3]))).toEqual([])
  for (let i = 0; i < 100; i++) expect(peer.send(Buffer.from([0]))).toEqual([])
  expect(peer.session.state).toBe('handshake')
  expect(peer.answer.length).toBe(0)
})

test('a client refuses a server of another protocol', () => {
  const client = new RtmpClientSession({ app: 'live', tcUrl: '', streamName: 'x' })
  client.start()
  expect(client.receive(Buffer.from('HTTP/1.1 400 Bad Request\r\n'))).toMatchObject([
    { type: 'error', error: { reason: 'version-unsupported' } },
  ])
  expect(client.receive(Buffer.from([3]))).toEqual([])
})
