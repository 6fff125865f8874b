// The one TLS port and its plain neighbours, asked through real connections.
import { once } from 'node:events'
import { connect as connectHttp2, constants } from 'node:http2'
import { request } from 'node:https'
import { connect as connectTcp, createServer } from 'node:net'
import { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { describe, expect, it } from 'vitest'
import type { ConnectionInfo } from '../../../edge/front/connection-info.ts'
import { openDoor, readToEnd, type TestDoor, tlsClient } from './support.ts'

function get(door: TestDoor, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const req = request(
      {
        host: '127.0.0.1',
        servername: 'localhost',
        port: door.port,
        path,
        ca: door.ca,
        agent: false,
      },
      async (res) => resolve({ status: res.statusCode ?? 0, body: await readToEnd(res) }),
    )
    req.on('error', reject).end()
  })
}

describe('protocols on the TLS port', () => {
  it('serves HTTP/1.1', async () => {
    await using door = await openDoor()
    const { status, body } = await get(door, '/live/demo/index.m3u8?a=1')
    expect(status).toBe(200)
    expect(JSON.parse(body)).toEqual({
      version: '1.1',
      method: 'GET',
      url: '/live/demo/index.m3u8?a=1',
    })
  })

  it('keeps an HTTP/1.1 connection for the next request', async () => {
    await using door = await openDoor()
    const socket = await tlsClient(door)
    socket.write(
      'GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    )
    const answers = await readToEnd(socket)
    expect(answers.match(/"url":"\/\d"/g)).toEqual(['"url":"/1"', '"url":"/2"'])
  })

  it('serves HTTP/2 by ALPN, with bounds on streams and headers', async () => {
    await using door = await openDoor()
    const session = connectHttp2(`https://localhost:${door.port}`, { ca: door.ca })
    const [settings] = await once(session, 'remoteSettings')
    expect(settings).toMatchObject({ maxConcurrentStreams: 100, maxHeaderListSize: 16_384 })
    const stream = session.request({ ':path': '/x' })
    expect(JSON.parse(await readToEnd(stream))).toMatchObject({ version: '2.0', url: '/x' })
    session.close()
    await once(session, 'close')
  })

  it('speaks HTTP/1.1 to whoever offers both where HTTP/2 is off', async () => {
    await using door = await openDoor({ tls: { http2: false } })
    const client = await tlsClient(door, { ALPNProtocols: ['h2', 'http/1.1'] })
    expect(client.alpnProtocol).toBe('http/1.1')
    client.destroy()
  })

  it('hands RTMP over, whole, with who it is', async () => {
    const arrival = Promise.withResolvers<[Duplex, ConnectionInfo]>()
    await using door = await openDoor({ handlers: { onRtmp: (...args) => arrival.resolve(args) } })
    const client = await tlsClient(door)
    const hello = Buffer.concat([Buffer.from([3]), Buffer.alloc(1_536, 7)])
    client.write(hello.subarray(0, 1))
    client.write(hello.subarray(1))
    const [socket, info] = await arrival.promise
    expect(info).toEqual({
      remoteAddress: '127.0.0.1',
      remotePort: client.localPort,
      localAddress: '127.0.0.1',
      localPort: door.port,
      serverName: 'localhost',
    })
    let bytes = Buffer.alloc(0)
    for await (const chunk of socket) {
      bytes = Buffer.concat([bytes, chunk])
      if (bytes.length >= hello.length) break
    }
    expect(bytes.equals(hello)).toBe(true)
    client.destroy()
  })

  it('speaks RTMP both ways to a client without SNI', async () => {
    await using door = await openDoor()
    const client = await tlsClient(door, { servername: '', checkServerIdentity: () => undefined })
    client.write(Buffer.from([3, 1, 2]))
    const [echoed] = await once(client, 'data')
    expect([...echoed]).toEqual([3, 1, 2])
    client.destroy()
  })

  it.each(['rtmp', 'h3', 'x'.repeat(200)])(
    'refuses a client that offers only ALPN %s',
    async (name) => {
      await using door = await openDoor()
      const attempt = tlsClient(door, { ALPNProtocols: [name] })
      await expect(attempt).rejects.toMatchObject({ code: /ALERT_NO_APPLICATION_PROTOCOL/ })
    },
  )

  it.each(['TLSv1', 'TLSv1.1'] as const)('refuses %s', async (version) => {
    await using door = await openDoor()
    const attempt = tlsClient(door, {
      minVersion: version,
      maxVersion: version,
      ciphers: 'DEFAULT@SECLEVEL=0',
    })
    await expect(attempt).rejects.toMatchObject({ code: /PROTOCOL_VERSION/ })
  })

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('takes %s', async (version) => {
    await using door = await openDoor()
    const client = await tlsClient(door, { minVersion: version, maxVersion: version })
    expect(client.getProtocol()).toBe(version)
    client.destroy()
  })

  it.each([
    ['TLSv1.2', 'neither server name nor ALPN', { servername: '' }],
    ['TLSv1.3', 'only ALPN', { servername: '', ALPNProtocols: ['http/1.1'] }],
    ['TLSv1.3', 'only a server name', {}],
  ])('gives %s to a client with %s', async (version, _says, options) => {
    await using door = await openDoor()
    const client = await tlsClient(door, { checkServerIdentity: () => undefined, ...options })
    expect(client.getProtocol()).toBe(version)
    client.destroy()
  })

  it('takes a ClientHello in single bytes', async () => {
    await using door = await openDoor()
    const raw = connectTcp({ port: door.port, host: '127.0.0.1', noDelay: true })
    const trickle = new Duplex({
      read() {},
      async write(chunk: Buffer, _encoding, done) {
        const slowly = raw.bytesWritten === 0 ? chunk : []
        for (const byte of slowly) {
          raw.write(Buffer.from([byte]))
          await new Promise((resolve) => setImmediate(resolve))
        }
        if (slowly !== chunk) raw.write(chunk)
        done()
      },
    })
    raw.on('data', (chunk) => trickle.push(chunk))
    const client = connectTls({ socket: trickle, ca: door.ca, servername: 'localhost' })
    await once(client, 'secureConnect')
    expect(client.authorized).toBe(true)
    client.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    expect(await readToEnd(client)).toMatch(/^HTTP\/1\.1 200 /)
    raw.destroy()
  })

  it('does not repeat a handshake for a client', async () => {
    await using door = await openDoor()
    const client = await tlsClient(door, { maxVersion: 'TLSv1.2' })
    const refused = new Promise((resolve) => client.renegotiate({}, resolve))
    expect(
      await Promise.race([refused, once(client, 'error').then(([err]) => err)]),
    ).toBeInstanceOf(Error)
    client.destroy()
  })
})

describe('WebSocket upgrades', () => {
  const upgrade =
    'GET /live/demo.flv HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'

  it('reach their handler with the bytes that followed', async () => {
    await using door = await openDoor({
      handlers: {
        onUpgrade(req, socket, head) {
          socket.end(`HTTP/1.1 101 Switching Protocols\r\n\r\n${req.url} ${head}`)
        },
      },
    })
    const client = await tlsClient(door)
    client.write(`${upgrade}frame`)
    expect(await readToEnd(client)).toBe(
      'HTTP/1.1 101 Switching Protocols\r\n\r\n/live/demo.flv frame',
    )
  })

  it('are answered 404 without a handler, and the connection ends', async () => {
    await using door = await openDoor()
    const client = await tlsClient(door)
    client.write(upgrade)
    expect(await readToEnd(client)).toMatch(/^HTTP\/1\.1 404 Not Found\r\n/)
  })

  it('end with the connection when the handler throws', async () => {
    await using door = await openDoor({
      handlers: {
        onUpgrade() {
          throw new Error('broken handler')
        },
      },
    })
    const client = await tlsClient(door)
    client.write(upgrade)
    await readToEnd(client).catch(() => '')
    expect(await door.logged.until('upgrade failed')).toBeDefined()
  })

  it('to something else are ordinary requests', async () => {
    await using door = await openDoor()
    const client = await tlsClient(door)
    client.write(
      'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n',
    )
    expect(await readToEnd(client)).toMatch(/^HTTP\/1\.1 200 /)
  })
})

describe('time limits', () => {
  it('closes a connection that never starts its handshake', async () => {
    await using door = await openDoor({ limits: { handshakeTimeoutMs: 100 } })
    const client = connectTcp(door.port, '127.0.0.1')
    await once(client, 'close')
    await door.logged.until('TLS handshake failed')
  })

  it('closes a connection that says nothing after its handshake', async () => {
    await using door = await openDoor({ config: { ingest: { firstByteTimeoutMs: 100 } } })
    const client = await tlsClient(door)
    client.on('error', () => {}).resume()
    await once(client, 'close')
    expect(await door.logged.until('connection closed')).toMatchObject({ reason: 'silent' })
  })

  it.each(['tls', 'plain'])('closes slow headers on the %s port', async (kind) => {
    await using door = await openDoor({ limits: { headersTimeoutMs: 200 } })
    const client = kind === 'tls' ? await tlsClient(door) : connectTcp(door.httpPort, '127.0.0.1')
    client.write('GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ')
    const answer = await readToEnd(client)
    expect(answer).toMatch(/^HTTP\/1\.1 408 /)
  })

  it('closes a plain HTTP connection that says nothing', async () => {
    await using door = await openDoor({ limits: { headersTimeoutMs: 200 } })
    const client = connectTcp(door.httpPort, '127.0.0.1')
    client.resume()
    await once(client, 'close')
  })

  it('closes an idle HTTP/1.1 and an idle HTTP/2 connection', async () => {
    await using door = await openDoor({ limits: { keepAliveTimeoutMs: 50, idleTimeoutMs: 200 } })
    const client = await tlsClient(door)
    client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    const session = connectHttp2(`https://localhost:${door.port}`, { ca: door.ca })
    session.on('error', () => {})
    await Promise.all([readToEnd(client), once(session, 'close')])
  })

  it('closes a reader that has stopped reading', async () => {
    const closed = Promise.withResolvers<void>()
    await using door = await openDoor({
      limits: { idleTimeoutMs: 200 },
      handlers: {
        onRequest(_req, res) {
          res.on('close', () => closed.resolve())
          const more = () => {
            while (res.write(Buffer.alloc(65_536)));
          }
          res.on('drain', more)
          more()
        },
      },
    })
    const client = await tlsClient(door)
    client.on('error', () => {})
    client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await once(client, 'readable')
    await closed.promise
    client.destroy()
  })
})

describe('limits', () => {
  it('refuses headers beyond 16 KiB', async () => {
    await using door = await openDoor()
    const client = connectTcp(door.httpPort, '127.0.0.1')
    client.write(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(16_500)}\r\n\r\n`)
    expect(await readToEnd(client)).toMatch(/^HTTP\/1\.1 431 /)
  })

  it('refuses connections beyond the cap and goes on serving', async () => {
    await using door = await openDoor({ config: { ingest: { maxConnections: 1 } } })
    const first = await tlsClient(door)
    const second = connectTcp(door.port, '127.0.0.1')
    second.on('error', () => {}).resume()
    await once(second, 'close')
    await door.logged.until('too many connections')
    first.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    expect(await readToEnd(first)).toMatch(/^HTTP\/1\.1 200 /)
  })

  it('ends an HTTP/2 connection that opens and resets streams without end', async () => {
    await using door = await openDoor({ handlers: { onRequest: () => {} } })
    const session = connectHttp2(`https://localhost:${door.port}`, { ca: door.ca })
    session.on('error', () => {})
    const ended = new Promise((resolve) => session.once('close', resolve))
    await once(session, 'connect')
    while (!session.destroyed && !session.closed) {
      const stream = session.request({ ':path': '/' })
      stream.on('error', () => {})
      stream.close(constants.NGHTTP2_CANCEL)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await ended
  })
})

describe('requests that can be read in two ways', () => {
  const host = 'Host: a\r\n'
  it.each([
    ['two hosts', `GET / HTTP/1.1\r\n${host}Host: b\r\n`, 400],
    ['an empty host', 'GET / HTTP/1.1\r\nHost:\r\n', 400],
    ['no host', 'GET / HTTP/1.1\r\n', 400],
    ['a host with a path', 'GET / HTTP/1.1\r\nHost: a/b?c\r\n', 400],
    ['a host with a user', 'GET / HTTP/1.1\r\nHost: u:p@a\r\n', 400],
    ['a list of hosts', 'GET / HTTP/1.1\r\nHost: a, b\r\n', 400],
    ['an absolute target of another host', `GET http://b/ HTTP/1.1\r\n${host}`, 400],
    ['a fragment', `GET /a#b HTTP/1.1\r\n${host}`, 400],
    ['the asterisk target', `OPTIONS * HTTP/1.1\r\n${host}`, 400],
    ['HTTP/0.9', 'GET /\r\n', /^(4|5)\d\d/],
    ['HTTP/2.0 in words', `GET / HTTP/2.0\r\n${host}`, /^(4|5)\d\d/],
    ['HTTP/1.9', `GET / HTTP/1.9\r\n${host}`, /^(4|5)\d\d/],
    ['a body on GET', `GET / HTTP/1.1\r\n${host}Content-Length: 4\r\n\r\nGET `, 400],
    ['a padded length', `GET / HTTP/1.1\r\n${host}Content-Length: 0000000001\r\n\r\nx`, 400],
    ['a chunked body', `GET / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n0\r\n`, 400],
    [
      'an odd coding list',
      `GET / HTTP/1.1\r\n${host}Transfer-Encoding: ,chunked\r\n\r\n0\r\n`,
      400,
    ],
    [
      'a coding in HTTP/1.0',
      `GET / HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\n\r\n0\r\n`,
      400,
    ],
    ['an expectation', `GET / HTTP/1.1\r\n${host}Expect: 100-continue\r\n`, 417],
    ['a strange expectation', `GET / HTTP/1.1\r\n${host}Expect: y 100-continue\r\n`, 417],
    ['TRACE', `TRACE / HTTP/1.1\r\n${host}`, 405],
    ['POST', `POST / HTTP/1.1\r\n${host}Content-Length: 0\r\n`, 405],
  ] as const)('%s: refused and closed', async (_name, head, status) => {
    await using door = await openDoor()
    const client = connectTcp(door.httpPort, '127.0.0.1')
    client.write(`${head}\r\n`)
    client.write(`GET /second HTTP/1.1\r\n${host}\r\n`)
    const answer = await readToEnd(client)
    const [, first] = answer.split(' ')
    if (typeof status === 'number') expect(first).toBe(String(status))
    else expect(first).toMatch(status)
    expect(answer).not.toContain('/second')
  })

  it.each([
    ['HTTP/1.0 without a host', 'GET /x HTTP/1.0\r\n'],
    ['the absolute form', 'GET http://A:80/x HTTP/1.1\r\nHost: a:80\r\nConnection: close\r\n'],
    ['an IPv6 host', 'GET /x HTTP/1.1\r\nHost: [::1]:8080\r\nConnection: close\r\n'],
    ['an empty body', `GET /x HTTP/1.1\r\n${host}Content-Length: 0\r\nConnection: close\r\n`],
  ])('%s: served', async (_name, head) => {
    await using door = await openDoor()
    const client = connectTcp(door.httpPort, '127.0.0.1')
    client.write(`${head}\r\n`)
    const answer = await readToEnd(client)
    expect(answer).toMatch(/^HTTP\/1\.1 200 /)
    expect(answer).toContain('"url":"/x"')
  })

  it.each([
    ['POST', { ':method': 'POST' }, 405],
    ['a body', { 'content-length': '3' }, 400],
    ['two authorities', { ':authority': 'a,b' }, 400],
    ['an expectation', { expect: 'y 100-continue' }, 417],
  ])('HTTP/2 with %s is refused, the connection stays', async (_name, headers, status) => {
    await using door = await openDoor()
    const session = connectHttp2(`https://localhost:${door.port}`, { ca: door.ca })
    const stream = session.request({ ':path': '/', ...headers }, { endStream: false })
    const [answer] = await once(stream, 'response')
    expect(answer[':status']).toBe(status)
    stream.close()
    const next = session.request({ ':path': '/next' })
    expect(await readToEnd(next)).toContain('/next')
    session.close()
  })
})

describe('handlers that fail', () => {
  it.each([
    [
      'throw',
      () => {
        throw new Error('broken handler')
      },
    ],
    ['reject', () => Promise.reject(new Error('broken handler'))],
  ])('and %s are answered 500', async (_name, onRequest) => {
    await using door = await openDoor({ handlers: { onRequest } })
    expect(await get(door, '/')).toMatchObject({ status: 500, body: '500 internal error\n' })
    expect(await door.logged.until('request failed')).toBeDefined()
  })
})

describe('plain ports', () => {
  it('serve HTTP', async () => {
    await using door = await openDoor()
    const client = connectTcp(door.httpPort, '127.0.0.1')
    client.write('GET /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    expect(await readToEnd(client)).toContain('"url":"/plain"')
  })

  it('take RTMP where that is on, and nothing else there', async () => {
    await using door = await openDoor()
    const rtmp = connectTcp(door.rtmpPort, '127.0.0.1')
    rtmp.write(Buffer.from([3, 9]))
    const [echoed] = await once(rtmp, 'data')
    expect([...echoed]).toEqual([3, 9])
    rtmp.destroy()
    const http = connectTcp(door.rtmpPort, '127.0.0.1')
    http.write('GET / HTTP/1.1\r\n\r\n')
    http.on('error', () => {}).resume()
    await once(http, 'close')
  })

  it('stay shut where they are off', async () => {
    await using door = await openDoor({ config: { http: { enabled: false }, rtmp: {} } })
    expect(door.door.address).toMatchObject({ httpPort: undefined, rtmpPort: undefined })
  })

  it('are opened all or none, and the error names the port', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as { port: number }
    const attempt = openDoor({ config: { rtmp: { enabled: true, host: '127.0.0.1', port } } })
    await expect(attempt).rejects.toThrow(`Port ${port} on 127.0.0.1 is already in use`)
    taken.close()
  })
})

describe('closing', () => {
  it('lets an answer finish, ends idle connections and takes no new ones', async () => {
    const asked = Promise.withResolvers<() => void>()
    const door = await openDoor({
      limits: { drainLimitMs: 10_000 },
      handlers: {
        onRequest(_req, res) {
          res.write('first ')
          asked.resolve(() => res.end('last'))
        },
      },
    })
    const [busy, idle] = [await tlsClient(door), await tlsClient(door)]
    busy.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    const session = connectHttp2(`https://localhost:${door.port}`, { ca: door.ca })
    await once(session, 'remoteSettings')
    const finish = await asked.promise
    const all = readToEnd(busy)
    idle.destroy()
    const closed = door[Symbol.asyncDispose]()
    await once(session, 'close')
    await expect(tlsClient(door)).rejects.toThrow('ECONNREFUSED')
    finish()
    expect(await all).toContain('last')
    await closed
  })

  it('ends what does not end by itself', async () => {
    const door = await openDoor({ limits: { drainLimitMs: 50 } })
    const rtmp = connectTls({
      port: door.port,
      host: '127.0.0.1',
      ca: door.ca,
      servername: 'localhost',
    })
    rtmp.on('error', () => {})
    rtmp.write(Buffer.from([3]))
    await once(rtmp, 'data')
    const ended = once(rtmp, 'close')
    await door[Symbol.asyncDispose]()
    await ended
  })
})
