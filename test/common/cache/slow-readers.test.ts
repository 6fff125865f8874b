// Viewers who do not read: each is let go below the minimum rate, whatever road it is on and however the answer was written.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import { CacheRig } from '../../support/cache-rig.ts'
import { type Protocol, protocols } from '../../support/http-viewer.ts'
import { frame, getFrame, preface } from '../../support/http2-frames.ts'
import { until } from '../../support/until.ts'

const segment = '/live/demo/abcdef12-1/720p/1.m4s'
const playlist = '/live/demo/720p.m3u8'
const immutable = { 'cache-control': 'public, max-age=31536000, immutable' }
/** Ten seconds, and a second for each 16 KiB. */
const allowedMs = (bytes: number) => 10_000 + (bytes / 16_384) * 1_000
/** As often as deadlines are looked at. */
const sweepMs = 1_000

describe.each(protocols)('over %s', (protocol) => {
  it('ends a whole compressed body that nobody reads', async () => {
    await using rig = await CacheRig.start({ compress: true })
    // More than the buffers of the system take, though compressed.
    const body = randomBytes(10 * 1024 * 1024).toString('base64')
    const headers = {
      'content-type': 'application/vnd.apple.mpegurl',
      'cache-control': 'max-age=9',
    }
    rig.origin.respond = (exchange) => exchange.head(200, headers).end(body)
    const view = { headers: { 'accept-encoding': 'gzip' }, isPaused: true }
    const stalled = await rig.view(protocol, playlist, view)
    expect(stalled.headers['content-encoding']).toBe('gzip')
    await until('the body to be sent', async () => (await sentBytes(rig)) > 0)
    await rig.clock.advance(allowedMs(body.length) + sweepMs)
    stalled.resume()
    expect((await stalled.rest()).end).toBe('broken')
  })
})

describe.each(['h2', 'fast-h2'] satisfies Protocol[])('over %s', (protocol) => {
  /** All that a client takes of a stream before it has read anything. */
  const window = 65_535

  it('ends a small whole body that nobody reads', async () => {
    await using rig = await CacheRig.start()
    const body = Buffer.alloc(2 * window)
    rig.origin.respond = (exchange) => exchange.head(200, immutable).end(body)
    await (await rig.view(protocol, segment)).rest()
    const stalled = await rig.view(protocol, segment, { isPaused: true })
    await rig.clock.advance(allowedMs(body.length) + sweepMs)
    stalled.resume()
    expect((await stalled.rest()).end).toBe('broken')
  })

  it('ends the last piece of a body that grew', async () => {
    await using rig = await CacheRig.start()
    const view = rig.view(protocol, segment, { isPaused: true })
    const origin = await rig.origin.next()
    origin.head(200, immutable).write(Buffer.alloc(10_000))
    const stalled = await view
    await until('the first piece', async () => (await sentBytes(rig)) === 10_000)
    origin.end(Buffer.alloc(window))
    await until('the last piece', async () => (await rig.metric('cache_objects')) === 1)
    await rig.clock.advance(allowedMs(window) + sweepMs)
    stalled.resume()
    expect((await stalled.rest()).end).toBe('broken')
  })

  it('ends a connection that nobody reads at all', async () => {
    await using rig = await CacheRig.start()
    const body = Buffer.alloc(2 * window)
    rig.origin.respond = (exchange) => exchange.head(200, immutable).end(body)
    await (await rig.view(protocol, segment)).rest()
    const client = connect(Number(new URL(rig.listeners.url(protocol)).port), '127.0.0.1')
    await once(client, 'connect')
    client.pause().write(Buffer.concat([preface, frame('settings'), getFrame(1, segment)]))
    await until('the body', async () => (await sentBytes(rig)) === 2 * body.length)
    await rig.clock.advance(allowedMs(body.length) + sweepMs)
    await rig.clock.advance(allowedMs(0) + sweepMs)
    const closed = once(client, 'close')
    client.resume()
    await closed
  })

  it('goes on with the connection, where that is read', async () => {
    await using rig = await CacheRig.start()
    const body = Buffer.alloc(2 * window)
    rig.origin.respond = (exchange) => exchange.head(200, immutable).end(body)
    await (await rig.view(protocol, segment)).rest()
    const session = connectHttp2(rig.listeners.url(protocol))
    const unread = session.request({ ':path': segment })
    const broken = new Promise((resolve) => unread.once('error', resolve))
    await once(unread, 'response')
    await until('the body', async () => (await sentBytes(rig)) === 2 * body.length)
    const pinged = once(session, 'ping')
    await rig.clock.advance(allowedMs(body.length) + sweepMs)
    await Promise.all([broken, pinged])
    // The answer to the PING is on its way before this is.
    const [headers] = await once(session.request({ ':path': playlist }), 'response')
    await rig.clock.advance(allowedMs(0) + sweepMs)
    expect(headers[':status']).toBe(200)
    expect(session.destroyed).toBe(false)
    session.destroy()
  })

  it('keeps who reads late, but in time', async () => {
    await using rig = await CacheRig.start()
    const body = Buffer.alloc(2 * window)
    rig.origin.respond = (exchange) => exchange.head(200, immutable).end(body)
    await (await rig.view(protocol, segment)).rest()
    const late = await rig.view(protocol, segment, { isPaused: true })
    await rig.clock.advance(allowedMs(body.length) - sweepMs)
    late.resume()
    expect((await late.rest()).end).toBe('clean')
  })
})

it('keeps an answer that waits for its turn behind a longer one', async () => {
  await using rig = await CacheRig.start()
  const { client, long } = await inTurn(rig)
  let text = ''
  client.on('data', (bytes) => {
    text += bytes.toString('latin1')
  })
  for (let i = 0; i < 5; i++) {
    await rig.clock.advance(8_000)
    long.write('b')
    await until('the next byte', async () => (await sentBytes(rig)) === 8 + i)
  }
  long.end()
  await until('the end', () => client.closed || text.endsWith('behind\r\n0\r\n\r\n'))
  client.destroy()
  expect(text).toContain('behind')
})

it('forgets an answer whose turn never comes', async () => {
  await using rig = await CacheRig.start()
  const { client, long } = await inTurn(rig)
  client.destroy()
  long.end()
  await until('nothing to be waited for', async () => {
    await rig.clock.advance(allowedMs(0))
    return rig.clock.pending === 0
  })
})

function sentBytes(rig: CacheRig): Promise<number> {
  return rig.metric('cache_downstream_bytes_total')
}

/** A long answer that has begun, and behind it on its connection a short one that is whole. */
async function inTurn(rig: CacheRig) {
  const client = connect(Number(new URL(rig.listeners.url('h1')).port), '127.0.0.1')
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`
  client.write(get(segment))
  const long = await rig.origin.next()
  long.head(200, immutable).write('a')
  client.write(get(playlist))
  const short = await rig.origin.next()
  short.head(200).end('behind')
  await until('both answers', async () => (await sentBytes(rig)) === 7)
  return { client, long }
}
