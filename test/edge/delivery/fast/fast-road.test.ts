// Connections on the fast road: what stays on it, what leaves it, and how they end.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { CacheRig } from '../../../support/cache-rig.ts'
import { until } from '../../../support/until.ts'

const playlist = '/live/demo/720p.m3u8'
const segment = '/live/demo/abcdef12-1/720p/1.m4s'
const get = (target: string, ...lines: string[]) =>
  `${[`GET ${target} HTTP/1.1`, 'Host: a', ...lines].join('\r\n')}\r\n\r\n`

/** A client that sees the very bytes. */
class RawClient implements Disposable {
  readonly socket: Socket
  text = ''
  isClosed = false

  constructor(rig: CacheRig) {
    this.socket = connect(Number(new URL(rig.listeners.url('fast')).port), '127.0.0.1')
    this.socket.on('data', (bytes: Buffer) => {
      this.text += bytes.toString('latin1')
    })
    this.socket.on('error', () => {})
    this.socket.on('close', () => {
      this.isClosed = true
    })
  }

  send(text: string): void {
    this.socket.write(Buffer.from(text, 'latin1'))
  }

  /** Resolves when that many answers have begun and the last one ends so. */
  async answers(count: number, end: string): Promise<string[]> {
    const heads = () => this.text.split('HTTP/1.1 ').slice(1)
    await until('the answers', () => heads().length === count && this.text.endsWith(end))
    return heads()
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }
}

async function started() {
  const rig = await CacheRig.start()
  rig.origin.respond = (exchange) => {
    const body = `body of ${exchange.req.url}`
    exchange.head(200, { 'content-length': body.length }).end(body)
  }
  return rig
}

/** The next question to the origin, which the test answers itself. */
async function taken(rig: CacheRig) {
  const respond = rig.origin.respond
  rig.origin.respond = undefined
  const exchange = await rig.origin.next()
  rig.origin.respond = respond
  return exchange
}

describe('a connection on the fast road', () => {
  it('answers one simple request after the other and stays', async () => {
    await using rig = await started()
    using client = new RawClient(rig)
    for (const [n, path] of [playlist, segment, segment].entries()) {
      client.send(get(path))
      const answers = await client.answers(n + 1, `body of ${path}`)
      expect(answers.at(-1)).toMatch(/^200 OK\r\n/)
    }
    expect(client.text).toContain('cache-status: pop-1; hit; ttl=31')
    expect(rig.road.connections).toBe(1)
  })

  it.each([
    ['a range', get(segment, 'Range: bytes=0-3'), 'body', '206'],
    ['a condition', get(segment, 'If-None-Match: "x"'), segment, '200'],
    ['another path', get('/nothing'), '}\n', '404'],
    ['HEAD', get(segment).replace('GET', 'HEAD'), '\r\n\r\n', '200'],
    ['no HTTP', 'what is this\r\n\r\n', '\r\n\r\n', '400'],
    ['a body', `${get(segment, 'Content-Length: 3')}abc`, '\n', '400'],
  ])('leaves it with %s, after good answers', async (_name, request, end, status) => {
    await using rig = await started()
    using client = new RawClient(rig)
    client.send(get(segment))
    await client.answers(1, segment)
    client.send(request)
    const answers = await client.answers(2, end)
    expect(answers[1]!.slice(0, 3)).toBe(status)
    expect(rig.road.connections).toBe(0)
  })

  it('loses no byte of requests that come in pieces', async () => {
    await using rig = await started()
    const text = get(segment, 'User-Agent: test') + get(playlist)
    for (let cut = 1; cut < text.length; cut += 7) {
      using client = new RawClient(rig)
      client.send(text.slice(0, cut))
      await until('the first piece to be sent', () => client.socket.writableLength === 0)
      await new Promise((resolve) => setImmediate(resolve))
      client.send(text.slice(cut))
      const answers = await client.answers(2, `body of ${playlist}`)
      expect(answers[0]).toContain(`body of ${segment}`)
    }
  })

  it('answers a request that came while another was answered, in order', async () => {
    await using rig = await started()
    using client = new RawClient(rig)
    const held = taken(rig)
    client.send(get(segment))
    const exchange = await held
    client.send(get(playlist))
    await new Promise((resolve) => setImmediate(resolve))
    exchange.head(200, { 'content-length': 4 }).end('late')
    const answers = await client.answers(2, `body of ${playlist}`)
    expect(answers[0]).toContain('late')
  })

  it('ends after an answer that was asked to be the last', async () => {
    await using rig = await started()
    using client = new RawClient(rig)
    client.send(get(segment, 'Connection: close'))
    await once(client.socket, 'close')
    expect(client.text).toContain('connection: close')
    expect(client.text.endsWith(`body of ${segment}`)).toBe(true)
  })

  it('is closed when it sends nothing at first, or nothing more', async () => {
    await using rig = await started()
    using silent = new RawClient(rig)
    using idle = new RawClient(rig)
    idle.send(get(segment))
    await idle.answers(1, segment)
    await until('both connections', () => rig.road.connections === 2)
    await rig.clock.advance(11_000)
    await until("the silent one's end", () => silent.isClosed)
    expect(idle.isClosed).toBe(false)
    await rig.clock.advance(60_000)
    await until("the idle one's end", () => idle.isClosed)
    expect(rig.road.connections).toBe(0)
  })

  it('goes with its answer when the road drains, at once when there is none', async () => {
    await using rig = await started()
    using idle = new RawClient(rig)
    idle.send(get(playlist))
    await idle.answers(1, playlist)
    using busy = new RawClient(rig)
    const held = taken(rig)
    busy.send(get(segment))
    const exchange = await held
    rig.road.drain()
    await until("the idle one's end", () => idle.isClosed)
    expect(busy.isClosed).toBe(false)
    exchange.head(200, { 'content-length': 4 }).end('last')
    await until("the busy one's end", () => busy.isClosed)
    expect(busy.text).toContain('connection: close')
    expect(busy.text.endsWith('last')).toBe(true)
  })

  it('breaks off where the rest of a body will never come', async () => {
    await using rig = await started()
    using client = new RawClient(rig)
    const held = taken(rig)
    client.send(get(segment))
    const exchange = await held
    exchange.head(200)
    exchange.write('abc')
    await until('the first bytes', () => client.text.endsWith('3\r\nabc\r\n'))
    exchange.cut()
    await until('the end', () => client.isClosed)
    expect(client.text).not.toContain('\r\n0\r\n')
  })

  it('ends a reader that takes less than the minimum rate', async () => {
    await using rig = await started()
    const body = Buffer.alloc(12 * 1024 * 1024, 'x')
    rig.origin.respond = (exchange) =>
      exchange.head(200, { 'content-length': body.length }).end(body)
    using other = new RawClient(rig)
    other.send(get(segment))
    await until('a whole answer', () => other.text.length > body.length)
    using client = new RawClient(rig)
    client.socket.pause()
    client.send(get(segment))
    await until(
      'the second answer to begin',
      async () => (await rig.metric('cache_downstream_bytes_total')) > body.length,
    )
    await rig.clock.advance(30_000)
    client.socket.resume()
    await until('the end', () => client.isClosed)
    expect(client.text.length).toBeLessThan(body.length)
  })
})
