// New connections are told apart by their first bytes, and none of those is lost.
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type AcceptOptions, acceptConnection } from '../../../common/net/first-bytes.ts'
import { listen } from '../../../common/net/listen.ts'
import { encodeProxyHeader } from '../../../common/net/proxy-protocol.ts'
import { FakeClock } from '../../support/fake-clock.ts'

let server: Server
let client: Socket
let accepted: Socket
let clock: FakeClock

beforeEach(async () => {
  clock = new FakeClock()
  server = createServer({ allowHalfOpen: false })
  const { port } = await listen(server, { host: '127.0.0.1', port: 0 })
  const arrival = once(server, 'connection')
  client = connect({ host: '127.0.0.1', port, noDelay: true })
  client.on('error', () => {})
  accepted = ((await arrival) as [Socket])[0]
})
afterEach(() => {
  client.destroy()
  accepted.destroy()
  server.close()
})

const accept = (proxy: AcceptOptions['proxy'] = 'none') =>
  acceptConnection(accepted, { deadlineMs: 10_000, clock, proxy })

async function readBytes(socket: Socket, length: number): Promise<Buffer> {
  let bytes = Buffer.alloc(0)
  for await (const chunk of socket) {
    bytes = Buffer.concat([bytes, chunk as Buffer])
    if (bytes.length >= length) break
  }
  return bytes
}

const header = encodeProxyHeader({
  source: { address: '203.0.113.9', port: 40_000 },
  destination: { address: '192.0.2.1', port: 443 },
  tlvs: [{ type: 0xe0, value: Buffer.from('pop-1') }],
})

describe('acceptConnection', () => {
  it.each([
    ['rtmp', Buffer.from([3, 0, 0, 0, 0])],
    ['http', Buffer.from('GET / HTTP/1.1\r\n')],
    ['http', Buffer.from([0x16, 0x03, 0x01])],
  ])('sees %s and gives every byte to the next owner', async (protocol, bytes) => {
    client.write(bytes)
    expect(await accept()).toEqual({ protocol, proxy: undefined })
    client.write('and more')
    const all = await readBytes(accepted, bytes.length + 8)
    expect(all.toString('latin1')).toBe(`${bytes.toString('latin1')}and more`)
  })

  it('takes the PROXY header away, however it is cut', async () => {
    const decided = accept('optional')
    const bytes = Buffer.concat([header, Buffer.from([3]), Buffer.from('rest')])
    for (const byte of bytes) {
      client.write(Buffer.from([byte]))
      await new Promise((resolve) => setImmediate(resolve))
    }
    const result = await decided
    expect(result).toMatchObject({
      protocol: 'rtmp',
      proxy: { source: { address: '203.0.113.9', port: 40_000 } },
    })
    expect((await readBytes(accepted, 5)).toString()).toBe('\x03rest')
  })

  it('does without a PROXY header where it is optional', async () => {
    client.write('GET /')
    expect(await accept('optional')).toEqual({ protocol: 'http', proxy: undefined })
  })

  it.each([
    ['required', Buffer.from('GET /'), 'proxy-missing'],
    ['optional', Buffer.from('0d0a0d0a000d0a515549540affff0000', 'hex'), 'proxy-invalid'],
  ] as const)('closes a connection whose header is %s but wrong', async (proxy, bytes, reason) => {
    client.write(bytes)
    expect(await accept(proxy)).toMatchObject({ protocol: 'closed', reason })
    expect(accepted.destroyed).toBe(true)
  })

  it('does not look for a PROXY header where there is none to be', async () => {
    client.write(header)
    expect(await accept('none')).toEqual({ protocol: 'http', proxy: undefined })
  })

  it('destroys a silent connection at the deadline, not before', async () => {
    const decided = accept()
    await clock.advance(9_999)
    expect(accepted.destroyed).toBe(false)
    await clock.advance(1)
    expect(await decided).toEqual({ protocol: 'closed', reason: 'silent' })
    expect(accepted.destroyed).toBe(true)
  })

  it('counts a connection that sends only its PROXY header as silent', async () => {
    const decided = accept('required')
    client.write(header)
    await once(accepted, 'readable')
    await clock.advance(10_000)
    expect(await decided).toEqual({ protocol: 'closed', reason: 'silent' })
  })

  it.each(['end', 'resetAndDestroy'] as const)('notices a peer that leaves by %s', async (how) => {
    const decided = accept()
    client[how]()
    expect(await decided).toEqual({ protocol: 'closed', reason: 'left' })
    await clock.advance(20_000)
  })

  it('says so when the connection was gone already', async () => {
    accepted.destroy()
    expect(await accept()).toEqual({ protocol: 'closed', reason: 'left' })
  })
})
