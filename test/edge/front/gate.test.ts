// Before every public port: PROXY headers of trusted load balancers, and who is let in at all.
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { describe, expect, test } from 'vitest'
import { encodeProxyHeader } from '../../../common/net/proxy-protocol.ts'
import type { ConnectionInfo } from '../../../edge/front/connection-info.ts'
import type { FrontDoorHandlers } from '../../../edge/front/front-door.ts'
import { type DoorOptions, openDoor, readToEnd, type TestDoor } from './support.ts'

const trusted = { config: { trustedProxies: ['127.0.0.0/8'] } }
const source = { address: '203.0.113.7', port: 40_000 }
const destination = { address: '198.51.100.1', port: 443 }
const headers = {
  v1: Buffer.from('PROXY TCP4 203.0.113.7 198.51.100.1 40000 443\r\n'),
  v2: encodeProxyHeader({ source, destination }),
}
const versions = ['v1', 'v2'] as const

async function tcp(port: number, first: Buffer = Buffer.alloc(0)): Promise<Socket> {
  const socket = connectTcp({ host: '127.0.0.1', port })
  // What is refused may be reset.
  socket.on('error', () => {})
  await once(socket, 'connect')
  if (first.length > 0) socket.write(first)
  return socket
}

async function tlsBehind(door: TestDoor, header: Buffer, ALPNProtocols: string[] = []) {
  const socket = connectTls({
    socket: await tcp(door.port, header),
    servername: 'localhost',
    ca: door.ca,
    ALPNProtocols,
  })
  await once(socket, 'secureConnect')
  return socket
}

/** Tells each caller whom the door takes it for. */
async function openTelling(options: DoorOptions = {}): Promise<TestDoor> {
  const publishers: FrontDoorHandlers['onRtmp'] = (socket, info) => {
    socket.end(JSON.stringify(info))
  }
  const test: TestDoor = await openDoor({
    ...options,
    handlers: {
      onRtmp: publishers,
      onRequest: (req, res) => res.end(test.door.addressOf(req)),
    },
  })
  return test
}

const ask = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
const bodyOf = (answer: string) => answer.slice(answer.indexOf('\r\n\r\n') + 4)

describe.each(versions)('a PROXY header %s of a trusted load balancer', (version) => {
  test('names the publisher on the TLS port', async () => {
    await using door = await openTelling(trusted)
    const socket = await tlsBehind(door, headers[version])
    socket.write(Buffer.from([3, 0, 0]))
    const info = JSON.parse(await readToEnd(socket)) as ConnectionInfo
    expect(info).toEqual({
      remoteAddress: '203.0.113.7',
      remotePort: 40_000,
      localAddress: '198.51.100.1',
      localPort: 443,
      serverName: 'localhost',
    })
  })

  test('names the publisher on the plain port', async () => {
    await using door = await openTelling(trusted)
    const socket = await tcp(door.rtmpPort, Buffer.concat([headers[version], Buffer.from([3, 0])]))
    expect(JSON.parse(await readToEnd(socket))).toMatchObject({ remoteAddress: '203.0.113.7' })
  })

  test('names the viewer by HTTP, with and without TLS', async () => {
    await using door = await openTelling(trusted)
    const plain = await tcp(door.httpPort, Buffer.concat([headers[version], Buffer.from(ask)]))
    expect(bodyOf(await readToEnd(plain))).toContain('203.0.113.7')
    const secure = await tlsBehind(door, headers[version], ['http/1.1'])
    secure.write(ask)
    expect(bodyOf(await readToEnd(secure))).toContain('203.0.113.7')
  })

  test('names the viewer by HTTP/2', async () => {
    await using door = await openTelling(trusted)
    const socket = await tlsBehind(door, headers[version], ['h2'])
    const session = connectHttp2('https://localhost', { createConnection: () => socket })
    const stream = session.request({ ':path': '/' })
    expect(await readToEnd(stream)).toBe('203.0.113.7')
    session.close()
    await once(session, 'close')
  })

  test('may come in single bytes', async () => {
    await using door = await openTelling(trusted)
    const socket = await tcp(door.rtmpPort)
    socket.setNoDelay(true)
    for (const byte of [...headers[version], 3]) {
      await new Promise((resolve) => socket.write(Buffer.from([byte]), resolve))
    }
    expect(JSON.parse(await readToEnd(socket))).toMatchObject({ remoteAddress: '203.0.113.7' })
  })

  test.each(['tls', 'http', 'rtmp'])('is an error from anybody else: %s', async (kind) => {
    await using door = await openTelling()
    const port = { tls: door.port, http: door.httpPort, rtmp: door.rtmpPort }[kind]!
    const socket = await tcp(port, Buffer.concat([headers[version], Buffer.from(ask)]))
    const answer = await readToEnd(socket).catch(() => '')
    expect(answer).not.toContain('203.0.113.7')
    expect(answer).not.toContain('200 OK')
    // A TLS alert, a 400, or nothing.
    expect(['', '\u0015', 'H']).toContain(answer.slice(0, 1))
    if (answer.startsWith('H')) expect(answer).toMatch(/^HTTP\/1\.1 400/)
  })
})

test('a load balancer that speaks for itself keeps its own address', async () => {
  await using door = await openTelling(trusted)
  const socket = await tcp(
    door.rtmpPort,
    Buffer.concat([encodeProxyHeader({}), Buffer.from([3, 0])]),
  )
  expect(JSON.parse(await readToEnd(socket))).toMatchObject({ remoteAddress: '127.0.0.1' })
})

test.each([
  ['no header', Buffer.from([3, 0, 0]), 'absent'],
  ['a broken one', Buffer.from('PROXY TCP9 a b c d\r\n'), 'broken line'],
])('a trusted load balancer with %s is not let in', async (_name, bytes, detail) => {
  await using door = await openTelling(trusted)
  const socket = await tcp(door.rtmpPort, bytes)
  expect(await readToEnd(socket).catch(() => '')).toBe('')
  const line = await door.logged.until('no PROXY header')
  expect(line).toMatchObject({ peer: expect.stringContaining('127.0.0.1'), detail })
})

test('one that says nothing is closed in time', async () => {
  await using door = await openTelling({ ...trusted, limits: { handshakeTimeoutMs: 30 } })
  const socket = await tcp(door.port)
  expect(await readToEnd(socket).catch(() => '')).toBe('')
  expect(await door.logged.until('no PROXY header')).toMatchObject({ detail: 'silent' })
})

describe('admission', () => {
  test('is asked for the address behind the load balancer, before TLS', async () => {
    const asked: string[] = []
    await using door = await openTelling({
      ...trusted,
      admission: {
        connect: (address) => {
          asked.push(address)
          return { refused: 'address-banned' }
        },
      },
    })
    await expect(tlsBehind(door, headers.v2)).rejects.toThrow()
    expect(asked).toEqual(['203.0.113.7'])
  })

  test.each(['tls', 'http', 'rtmp'])('refuses before a byte is read: %s', async (kind) => {
    await using door = await openTelling({
      admission: { connect: () => ({ refused: 'address-banned' }) },
    })
    const port = { tls: door.port, http: door.httpPort, rtmp: door.rtmpPort }[kind]!
    expect(await readToEnd(await tcp(port)).catch(() => '')).toBe('')
  })

  test('lets wait, then serves', async () => {
    await using door = await openTelling({
      admission: { connect: () => ({ admitted: { waitMs: 20, release: () => {} } }) },
    })
    const socket = await tcp(door.httpPort, Buffer.from(ask))
    expect(bodyOf(await readToEnd(socket))).toContain('127.0.0.1')
  })

  test('is told when a connection has gone, also one that leaves while it waits', async () => {
    const admitted = Promise.withResolvers<void>()
    const released = Promise.withResolvers<void>()
    await using door = await openTelling({
      admission: {
        connect: () => {
          admitted.resolve()
          return { admitted: { waitMs: 600_000, release: released.resolve } }
        },
      },
    })
    const socket = await tcp(door.port)
    await admitted.promise
    socket.resetAndDestroy()
    await released.promise
  })
})
