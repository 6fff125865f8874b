// ClientHellos of real TLS clients are read, at any cut; everything else is left to the TLS server.
import { once } from 'node:events'
import { createServer } from 'node:net'
import { type ConnectionOptions, connect } from 'node:tls'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { listen } from '../../../common/net/listen.ts'
import { parseClientHello } from '../../../edge/front/client-hello.ts'

/** What OpenSSL sends. */
async function helloOf(options: ConnectionOptions): Promise<Buffer> {
  const server = createServer()
  const { port } = await listen(server, { host: '127.0.0.1', port: 0 })
  const client = connect({ host: '127.0.0.1', port, ...options })
  client.on('error', () => {})
  const [socket] = await once(server, 'connection')
  let bytes = Buffer.alloc(0)
  for await (const chunk of socket) {
    bytes = Buffer.concat([bytes, chunk])
    if (bytes.length >= 5 && bytes.length >= 5 + bytes.readUInt16BE(3)) break
  }
  client.destroy()
  server.close()
  return bytes
}

describe('parseClientHello', () => {
  it.each([
    ['a server name and ALPN', { servername: 'a.test', ALPNProtocols: ['h2'] }, true, true],
    ['a server name', { servername: 'a.test' }, true, false],
    ['ALPN', { servername: '', ALPNProtocols: ['http/1.1'] }, false, true],
    ['neither', { servername: '' }, false, false],
    ['neither, by TLS 1.2', { servername: '', maxVersion: 'TLSv1.2' }, false, false],
  ] as const)('sees %s', async (_name, options, hasServerName, hasAlpn) => {
    const bytes = await helloOf({ ...options } as ConnectionOptions)
    expect(parseClientHello(bytes)).toEqual({ kind: 'hello', hasServerName, hasAlpn })
    for (let cut = 0; cut < bytes.length; cut++) {
      expect(parseClientHello(bytes.subarray(0, cut)).kind, `cut at ${cut}`).toBe('more')
    }
  })

  it.each([
    ['plain HTTP', Buffer.from('GET / HTTP/1.1\r\n')],
    ['RTMP', Buffer.from([3, 0, 0, 0, 0])],
    ['a record that is too long', Buffer.from('160301ffff', 'hex')],
    ['another handshake message', Buffer.from('16030100040e000000', 'hex')],
    ['a message that goes on in the next record', Buffer.from('160301000401000200', 'hex')],
    ['an empty record', Buffer.from('1603010000', 'hex')],
  ])('leaves %s to the TLS server', (_name, bytes) => {
    expect(parseClientHello(bytes)).toEqual({ kind: 'unclear' })
  })

  it('never throws on a hello with damaged bytes', async () => {
    const hello = await helloOf({ servername: 'a.test', ALPNProtocols: ['h2'] })
    fc.assert(
      fc.property(fc.nat(hello.length - 1), fc.nat(255), (at, value) => {
        const damaged = Buffer.from(hello)
        damaged[at] = value
        expect(['more', 'unclear', 'hello']).toContain(parseClientHello(damaged).kind)
      }),
      { numRuns: 2_000 },
    )
  })
})
