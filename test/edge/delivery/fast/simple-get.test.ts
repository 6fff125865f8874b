// What the fast road takes for a simple GET, and that node:http reads the very same in it.

import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SimpleGets } from '../../../../edge/delivery/fast/simple-get.ts'

const read = (text: string) => new SimpleGets().read(Buffer.from(text, 'latin1'), undefined)
const get = (target: string, ...lines: string[]) =>
  `${[`GET ${target} HTTP/1.1`, 'Host: a', ...lines].join('\r\n')}\r\n\r\n`

describe('a simple GET', () => {
  it.each([
    ['the plainest', get('/a')],
    ['a query', get('/a?_HLS_msn=1&_HLS_part=2')],
    ['a port', 'GET / HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n'],
    [
      'what a browser sends',
      get('/a', 'Accept: */*', 'Accept-Language: de, en;q=0.5', 'Cookie: a=b'),
    ],
    ['an empty value', get('/a', 'X-Empty:')],
    ['spaces around a value', get('/a', 'Accept: \t*/* \t')],
  ])('is %s', (_name, text) => {
    expect(read(text)?.target).toBe(/^GET (\S+)/.exec(text)![1])
  })

  it.each([
    ['half of one', 'GET /a HTTP/1.1\r\nHost: a\r\n'],
    ['two of them', get('/a') + get('/b')],
    ['one with a byte behind', `${get('/a')}x`],
    ['another method', get('/a').replace('GET', 'HEAD')],
    ['a method in lower case', get('/a').replace('GET', 'get')],
    ['HTTP/1.0', get('/a').replace('1.1', '1.0')],
    ['HTTP/0.9', 'GET /a\r\n\r\n'],
    ['absolute form', get('http://a/a')],
    ['a fragment', get('/a#b')],
    ['a space in the target', get('/a b')],
    ['two spaces', get(' /a')],
    ['a tab', get('/a\tb')],
    ['bytes beyond ASCII in the target', get('/\xe4')],
    ['bytes beyond ASCII in a value', get('/a', 'X: \xe4')],
    ['bare LF', get('/a').replaceAll('\r\n', '\n')],
    ['a CR in a value', get('/a', 'X: a\rb')],
    ['a NUL in a value', get('/a', 'X: a\0b')],
    ['an empty line in front', `\r\n${get('/a')}`],
    ['no Host', 'GET /a HTTP/1.1\r\nAccept: */*\r\n\r\n'],
    ['no header at all', 'GET /a HTTP/1.1\r\n\r\n'],
    ['two Hosts', get('/a', 'Host: b')],
    ['a malformed Host', get('/a').replace('Host: a', 'Host: u@a')],
    ['space in front of a colon', get('/a', 'X : a')],
    ['a folded line', get('/a', 'X: a', ' b')],
    ['a line without a colon', get('/a', 'X')],
    ['an empty name', get('/a', ': a')],
    ['a length, even of nothing', get('/a', 'Content-Length: 0')],
    ['a coded body', get('/a', 'Transfer-Encoding: chunked')],
    ['an expectation', get('/a', 'Expect: 100-continue')],
    ['an upgrade', get('/a', 'Upgrade: websocket', 'Connection: Upgrade')],
    ['a range', get('/a', 'Range: bytes=0-1')],
    ['a condition', get('/a', 'If-None-Match: "a"')],
    ['a named hop-by-hop header', get('/a', 'Connection: Content-Length')],
    ['two Connections', get('/a', 'Connection: close', 'Connection: keep-alive')],
    ['more than fits', get('/a', `X: ${'a'.repeat(9_000)}`)],
    ['more headers than fit', get('/a', ...Array.from({ length: 64 }, (_, n) => `X-${n}: a`))],
  ])('is not %s', (_name, text) => {
    expect(read(text)).toBeUndefined()
  })

  it('tells what its answer depends on', () => {
    expect(
      read(get('/a', 'Accept-Encoding: br', 'Accept-Encoding: gzip', 'User-Agent: x y')),
    ).toMatchObject({
      facts: { takesGzip: true, agent: 'x y', isLast: false },
    })
    expect(read(get('/a', 'accept-encoding: gzip;q=0', 'connection: Close'))).toMatchObject({
      facts: { takesGzip: false, agent: '', isLast: true },
    })
  })

  it('knows the headers of the request before, but none that only end alike', () => {
    const gets = new SimpleGets()
    const first = gets.read(Buffer.from(get('/a', 'X: 1')), undefined)!
    const second = gets.read(Buffer.from(get('/bcd', 'X: 1')), first.facts)!
    expect(second).toEqual({ target: '/bcd', facts: first.facts })
    expect(second.facts).toBe(first.facts)
    const other = gets.read(Buffer.from(get('/a', 'Range: bytes=0-1', 'X: 1')), first.facts)
    expect(other).toBeUndefined()
  })

  it('does not remember more header blocks than its bound', () => {
    const gets = new SimpleGets(2)
    for (let n = 0; n < 10; n++) {
      expect(gets.read(Buffer.from(get('/a', `X: ${n}`)), undefined)?.target).toBe('/a')
    }
  })
})

describe('beside node:http', () => {
  const seen: IncomingMessage[] = []
  const server = createServer((req, res) => {
    seen.push(req)
    res.end()
  })
  beforeAll(async () => {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  })
  afterAll(() => {
    server.close()
    server.closeAllConnections()
  })

  /** What node:http makes of these bytes before it closes or the client does. */
  async function parsed(text: string): Promise<IncomingMessage[]> {
    seen.length = 0
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    socket.on('error', () => {})
    socket.end(Buffer.from(text, 'latin1'))
    socket.resume()
    await once(socket, 'close')
    return [...seen]
  }

  const mutation = fc.record({
    at: fc.nat(),
    cut: fc.nat(3),
    insert: fc.constantFrom(
      '',
      '\r\n',
      '\r',
      '\n',
      '\0',
      ' ',
      '\t',
      ':',
      'a',
      '#',
      '\xff',
      'Host: b\r\n',
      'Range: x\r\n',
    ),
  })

  it('whatever is taken is one request there, with the same target and no body', async () => {
    let taken = 0
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('/a', '/live/demo/index.m3u8?token=x', '/%2e%2e/;'),
        fc.constantFrom([], ['Accept: */*'], ['Connection: close'], ['User-Agent: a b', 'X: y']),
        fc.array(mutation, { maxLength: 2 }),
        async (target, lines, mutations) => {
          let text = get(target, ...lines)
          for (const { at, cut, insert } of mutations) {
            const place = at % text.length
            text = text.slice(0, place) + insert + text.slice(place + cut)
          }
          const simple = read(text)
          if (!simple) return
          taken++
          const requests = await parsed(text)
          expect(requests.map((req) => [req.method, req.url])).toEqual([['GET', simple.target]])
          expect(requests[0]!.headers['user-agent'] ?? '').toBe(simple.facts.agent)
        },
      ),
      { numRuns: 600 },
    )
    expect(taken).toBeGreaterThan(100)
  })
})
