// The cache between a real origin and real viewers over HTTP/1.1 and HTTP/2.
import { randomBytes } from 'node:crypto'
import { gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { CacheRig } from '../../support/cache-rig.ts'
import { settle } from '../../support/fake-clock.ts'
import { protocols, type ViewedAnswer } from '../../support/http-viewer.ts'
import type { ScriptedOrigin } from '../../support/scripted-origin.ts'
import { until } from '../../support/until.ts'

const segment = '/live/demo/abcdef12-1/720p/1.m4s'
const playlist = '/live/demo/720p.m3u8'
const blocking = `${playlist}?_HLS_msn=7&_HLS_part=1`
const immutable = { 'cache-control': 'public, max-age=31536000, immutable' }

/** Resolves when so many requests follow a fill. */
function followers(rig: CacheRig, count: number): Promise<true> {
  return until(`${count} followers`, async () => (await rig.metric('cache_fill_readers')) === count)
}

function statusOf(answer: ViewedAnswer): string {
  return answer.headers['cache-status']!
}

function always(origin: ScriptedOrigin, status: number, body: string, headers = {}): void {
  origin.respond = (exchange) => exchange.head(status, headers).end(body)
}

describe.each(protocols)('over %s', (protocol) => {
  it('streams headers and bytes to readers early and late while the fill runs', async () => {
    await using rig = await CacheRig.start()
    const early = rig.view(protocol, segment)
    const origin = await rig.origin.next()
    origin.head(200, { ...immutable, 'content-length': 6 })
    const first = await early
    expect(first.headers).toMatchObject({
      'content-type': 'video/mp4',
      'content-length': '6',
      'cache-status': 'pop-1; fwd=miss; stored',
      age: '0',
    })
    origin.write('ab')
    expect((await first.bytes(2)).toString()).toBe('ab')
    const late = await rig.view(protocol, segment)
    expect(statusOf(late)).toBe('pop-1; fwd=miss; collapsed')
    expect((await late.bytes(2)).toString()).toBe('ab')
    origin.write('cd')
    expect((await late.bytes(4)).toString()).toBe('abcd')
    expect((await first.bytes(4)).toString()).toBe('abcd')
    origin.end('ef')
    expect(await first.rest()).toEqual({ body: Buffer.from('abcdef'), end: 'clean' })
    expect(await late.text()).toBe('abcdef')
    const hit = await rig.view(protocol, segment)
    expect(statusOf(hit)).toMatch(/^pop-1; hit; ttl=\d+$/)
    expect(await hit.text()).toBe('abcdef')
    expect(rig.origin.requests).toEqual([segment])
  })

  it('asks once for a hundred viewers that come at the same time', async () => {
    await using rig = await CacheRig.start()
    const viewers = Array.from({ length: 100 }, () => rig.view(protocol, segment))
    const origin = await rig.origin.next()
    await followers(rig, 100)
    const body = Buffer.alloc(300_000, 'x')
    origin.head(200, immutable).end(body)
    for (const viewer of viewers) {
      const { body: received, end } = await (await viewer).rest()
      expect(end).toBe('clean')
      expect(received.equals(body)).toBe(true)
    }
    expect(rig.origin.requests).toHaveLength(1)
    expect(await rig.metric('cache_requests_total', { result: 'collapsed' })).toBe(99)
  })

  it('ends a body that breaks off by breaking off, and never stores it', async () => {
    await using rig = await CacheRig.start()
    for (const headers of [{ 'content-length': 100 }, {}]) {
      const view = rig.view(protocol, segment)
      const origin = await rig.origin.next()
      origin.head(200, { ...immutable, ...headers }).write('abc')
      const answer = await view
      await answer.bytes(3)
      origin.cut()
      ;(await rig.origin.next()).head(200, { ...immutable, ...headers }).cut()
      expect(await answer.rest()).toEqual({ body: Buffer.from('abc'), end: 'broken' })
    }
    expect(rig.origin.requests).toHaveLength(4)
    expect(await rig.metric('cache_objects')).toBe(0)
  })

  it('finishes the fill of an immutable object after its last reader has left', async () => {
    await using rig = await CacheRig.start()
    const viewer = rig.view(protocol, segment)
    const origin = await rig.origin.next()
    origin.head(200, immutable).write('ab')
    const answer = await viewer
    await answer.bytes(2)
    answer.leave()
    await followers(rig, 0)
    origin.end('cd')
    await until('stored', async () => (await rig.metric('cache_objects')) === 1)
    expect(await (await rig.view(protocol, segment)).text()).toBe('abcd')
    expect(rig.origin.requests).toHaveLength(1)
  })

  it('goes on for the others when the reader that began the fill leaves', async () => {
    await using rig = await CacheRig.start()
    const first = rig.view(protocol, segment)
    const origin = await rig.origin.next()
    origin.head(200, immutable).write('ab')
    const [began, joined] = [await first, await rig.view(protocol, segment)]
    await followers(rig, 2)
    began.leave()
    await followers(rig, 1)
    origin.end('cd')
    expect(await joined.rest()).toEqual({ body: Buffer.from('abcd'), end: 'clean' })
  })

  it('keeps fast readers at full pace beside one that takes nothing', async () => {
    await using rig = await CacheRig.start()
    const body = Buffer.alloc(8 * 1024 * 1024, 'y')
    const slowView = rig.view(protocol, segment, { isPaused: true })
    const origin = await rig.origin.next()
    origin.head(200, { ...immutable, 'content-length': body.length })
    const slow = await slowView
    const fast = await rig.view(protocol, segment)
    origin.end(body)
    expect((await fast.rest()).body.length).toBe(body.length)
    await until('stored', async () => (await rig.metric('cache_objects')) === 1)
    expect(await rig.metric('cache_downstream_bytes_total')).toBeLessThan(2 * body.length)
    slow.resume()
    const late = await slow.rest()
    expect(late.end).toBe('clean')
    expect(late.body.equals(body)).toBe(true)
  })

  it('drops a reader whose connection takes nothing for 30 s', async () => {
    await using rig = await CacheRig.start()
    const body = Buffer.alloc(12 * 1024 * 1024)
    always(rig.origin, 200, body as unknown as string, immutable)
    const stalled = await rig.view(protocol, segment, { isPaused: true })
    await until('stored', async () => (await rig.metric('cache_objects')) === 1)
    await settle()
    await rig.clock.advance(30_001)
    stalled.resume()
    expect((await stalled.rest()).end).toBe('broken')
  })

  it('answers HEAD without a body, by the same fill', async () => {
    await using rig = await CacheRig.start()
    const head = rig.view(protocol, segment, { method: 'HEAD' })
    const origin = await rig.origin.next()
    expect(origin.req.method).toBe('GET')
    origin.head(200, { ...immutable, 'content-length': 4 })
    const answer = await head
    expect(answer.headers['content-length']).toBe('4')
    expect(await answer.rest()).toEqual({ body: Buffer.alloc(0), end: 'clean' })
    origin.end('abcd')
    expect(await (await rig.view(protocol, segment)).text()).toBe('abcd')
    expect(rig.origin.requests).toHaveLength(1)
  })

  it('answers single ranges, also of bytes that have yet to come', async () => {
    await using rig = await CacheRig.start()
    const view = (range: string, more = {}) =>
      rig.view(protocol, segment, { headers: { range, ...more } })
    const ranged = view('bytes=2-3')
    const origin = await rig.origin.next()
    origin.head(200, { ...immutable, 'content-length': 6, etag: '"v1"' }).write('ab')
    const answer = await ranged
    expect(answer.status).toBe(206)
    expect(answer.headers).toMatchObject({
      'content-range': 'bytes 2-3/6',
      'content-length': '2',
    })
    origin.write('cd')
    expect(await answer.text()).toBe('cd')
    origin.end('ef')
    await until('stored', async () => (await rig.metric('cache_objects')) === 1)
    expect(await (await view('bytes=-2')).text()).toBe('ef')
    expect(await (await view('bytes=1-', { 'if-range': '"v1"' })).text()).toBe('bcdef')
    const changed = await view('bytes=1-', { 'if-range': '"v0"' })
    expect([changed.status, await changed.text()]).toEqual([200, 'abcdef'])
    const several = await view('bytes=0-0,2-3')
    expect([several.status, await several.text()]).toEqual([200, 'abcdef'])
    const outside = await view('bytes=6-')
    expect([outside.status, outside.headers['content-range']]).toEqual([416, 'bytes */6'])
    expect(await outside.text()).toBe('')
  })

  it('gives immutable objects a strong ETag and answers 304 to those who have it', async () => {
    await using rig = await CacheRig.start()
    always(rig.origin, 200, 'abcd', { ...immutable, etag: 'W/"weak"' })
    const answer = await rig.view(protocol, segment)
    const { etag } = answer.headers
    expect(etag).toMatch(/^"[\w-]{22}"$/)
    await answer.text()
    const again = await rig.view(protocol, segment, { headers: { 'if-none-match': etag! } })
    expect([again.status, again.headers.etag, await again.text()]).toEqual([304, etag, ''])
  })

  it('lets every page read media', async () => {
    await using rig = await CacheRig.start()
    always(rig.origin, 200, 'abcd')
    const answer = await rig.view(protocol, segment)
    expect(answer.headers['access-control-allow-origin']).toBe('*')
    expect(answer.headers['access-control-expose-headers']).toContain('Cache-Status')
    const preflight = await rig.view(protocol, segment, { method: 'OPTIONS' })
    expect(preflight.status).toBe(204)
    expect(preflight.headers['access-control-allow-headers']).toContain('Range')
  })

  it.each([
    ['POST', segment, 405, 'method not allowed'],
    ['GET', '/live/demo/../secret', 400, 'path-malformed'],
    ['GET', '/live/demo/nothing', 404, 'path-unknown'],
    ['GET', `${playlist}?_HLS_part=1`, 400, 'directive-malformed'],
  ])('refuses %s %s with %i before asking upstream', async (method, path, status, error) => {
    await using rig = await CacheRig.start()
    const answer = await rig.view(protocol, path, { method })
    expect(answer.status).toBe(status)
    expect(await answer.text()).toContain(error)
    expect(rig.origin.requests).toEqual([])
  })
})

describe('what reaches upstream', () => {
  it('is the key and the headers of the resolver, nothing of the viewer', async () => {
    await using rig = await CacheRig.start({
      resolve: () => ({ origins: [rig.origin.url], headers: { authorization: 'Bearer node' } }),
    })
    always(rig.origin, 200, '#EXTM3U')
    let seen: Record<string, unknown> = {}
    const answerAll = rig.origin.respond!
    rig.origin.respond = (exchange) => {
      seen = exchange.req.headers
      answerAll(exchange)
    }
    await rig.view('h1', `${playlist}?token=secret&_HLS_msn=3`, {
      headers: { cookie: 'a=b', 'x-forwarded-for': '1.2.3.4', 'user-agent': 'player' },
    })
    expect(rig.origin.requests).toEqual([`${playlist}?_HLS_msn=3`])
    expect(Object.keys(seen).sort()).toEqual([
      'accept-encoding',
      'authorization',
      'connection',
      'host',
      'user-agent',
    ])
    expect(seen.authorization).toBe('Bearer node')
  })

  it('passes on no cookie, and no type that the path does not stand for', async () => {
    await using rig = await CacheRig.start()
    always(rig.origin, 200, '<script>', { 'set-cookie': 'a=b', 'content-type': 'text/html' })
    const answer = await rig.view('h1', playlist)
    expect(answer.headers).not.toHaveProperty('set-cookie')
    expect(answer.headers['content-type']).toBe('application/vnd.apple.mpegurl')
  })
})

describe('playlists', () => {
  it('live for their class, and are asked for anew after it', async () => {
    await using rig = await CacheRig.start()
    let version = 0
    rig.origin.respond = (exchange) =>
      exchange.head(200, { 'cache-control': 'max-age=1' }).end(`v${++version}`)
    const ask = async () => {
      const answer = await rig.view('h1', playlist)
      return [await answer.text(), statusOf(answer)]
    }
    expect(await ask()).toEqual(['v1', 'pop-1; fwd=miss; stored'])
    await rig.clock.advance(399)
    expect(await ask()).toEqual(['v1', 'pop-1; hit; ttl=0'])
    await rig.clock.advance(1)
    expect(await ask()).toEqual(['v2', 'pop-1; fwd=stale; stored'])
  })

  it('are one wait upstream for any number of held reloads', async () => {
    await using rig = await CacheRig.start()
    const held = Array.from({ length: 20 }, () => rig.view('h1', blocking))
    const origin = await rig.origin.next()
    await followers(rig, 20)
    expect(await rig.metric('cache_objects')).toBe(0)
    origin.head(200).end('#EXTM3U part 1')
    for (const view of held) expect(await (await view).text()).toBe('#EXTM3U part 1')
    expect(rig.origin.requests).toEqual([blocking])
  })

  it('are asked for anew as soon as a held reload has told of a newer version', async () => {
    await using rig = await CacheRig.start()
    always(rig.origin, 200, 'v1')
    await (await rig.view('h1', playlist)).text()
    always(rig.origin, 200, 'v2')
    expect(await (await rig.view('h1', blocking)).text()).toBe('v2')
    const plain = await rig.view('h1', playlist)
    expect([await plain.text(), statusOf(plain)]).toEqual(['v2', 'pop-1; fwd=stale; stored'])
  })

  it('are no longer waited for upstream when nobody waits here', async () => {
    await using rig = await CacheRig.start()
    const leaving = new AbortController()
    const held = rig.view('h1', blocking, { signal: leaving.signal })
    const origin = await rig.origin.next()
    leaving.abort()
    await expect(held).rejects.toThrow()
    await origin.abandoned
    expect(await rig.metric('cache_fills_total', { result: 'abandoned' })).toBe(1)
    const again = rig.view('h1', blocking)
    ;(await rig.origin.next()).head(200).end('new')
    expect(await (await again).text()).toBe('new')
  })

  it('stay usable while upstream fails, for 1.5 target durations', async () => {
    await using rig = await CacheRig.start()
    always(rig.origin, 200, 'v1')
    await (await rig.view('h1', playlist)).text()
    always(rig.origin, 503, '{"error":"overloaded"}', { 'content-type': 'application/json' })
    await rig.clock.advance(5_000)
    const stale = await rig.view('h1', playlist)
    expect([stale.status, await stale.text()]).toEqual([200, 'v1'])
    expect(statusOf(stale)).toBe('pop-1; fwd=stale; fwd-status=503; detail=upstream-failed')
    expect(stale.headers.age).toBe('5')
    // For a moment upstream is not even asked.
    const again = await rig.view('h1', playlist)
    expect([await again.text(), statusOf(again)]).toEqual([
      'v1',
      'pop-1; hit; ttl=-5; detail=upstream-failed',
    ])
    expect(rig.origin.requests).toHaveLength(2)
    await rig.clock.advance(1_000)
    const failed = await rig.view('h1', playlist)
    expect([failed.status, await failed.text()]).toEqual([503, '{"error":"overloaded"}'])
  })

  it('stay usable when upstream does not answer at all', async () => {
    await using rig = await CacheRig.start()
    always(rig.origin, 200, 'v1')
    await (await rig.view('h1', playlist)).text()
    await rig.clock.advance(2_000)
    rig.origin.respond = (exchange) => exchange.cut()
    const stale = await rig.view('h1', playlist)
    expect([stale.status, await stale.text()]).toEqual([200, 'v1'])
  })
})

describe.each(protocols)('a cache that compresses, over %s', (protocol) => {
  const text = '#EXTM3U\n'.repeat(500)
  const gzip = { 'accept-encoding': 'gzip, deflate, br' }

  it('sends a large body compressed and whole', async () => {
    await using rig = await CacheRig.start({ compress: true })
    const large = randomBytes(400_000).toString('hex')
    rig.origin.respond = (exchange) => exchange.head(200).end(large)
    for (let again = 0; again < 2; again++) {
      const answer = await rig.view(protocol, playlist, { headers: gzip })
      const { body, end } = await answer.rest()
      expect([end, answer.headers['content-encoding'], body.length > 256 * 1024]).toEqual([
        'clean',
        'gzip',
        true,
      ])
      expect(gunzipSync(body).toString() === large).toBe(true)
    }
  })

  it('sends playlists smaller to those who take it, held ones too', async () => {
    await using rig = await CacheRig.start({ compress: true })
    const [small, large] = [
      rig.view(protocol, blocking, { headers: gzip }),
      rig.view(protocol, blocking),
    ]
    const origin = await rig.origin.next()
    expect(origin.req.headers['accept-encoding']).toBe('identity')
    await followers(rig, 2)
    origin.head(200, { etag: '"v1"' }).write(text.slice(0, 9))
    const plain = await large
    expect(plain.headers).toMatchObject({ vary: 'accept-encoding', etag: '"v1"' })
    expect(plain.headers['content-encoding']).toBeUndefined()
    origin.end(text.slice(9))
    expect(await plain.text()).toBe(text)
    const compressed = await small
    expect(compressed.headers).toMatchObject({
      vary: 'accept-encoding',
      'content-encoding': 'gzip',
      etag: 'W/"v1"',
    })
    const { body } = await compressed.rest()
    expect(compressed.headers['content-length']).toBe(String(body.length))
    expect(body.length).toBeLessThan(text.length / 10)
    expect(gunzipSync(body).toString()).toBe(text)
    expect(rig.origin.requests).toHaveLength(1)
  })

  it('answers HEAD, conditions and ranges of what it would send', async () => {
    await using rig = await CacheRig.start({ compress: true })
    always(rig.origin, 200, text, { etag: '"v1"' })
    await (await rig.view(protocol, playlist)).text()
    const get = await rig.view(protocol, playlist, { headers: gzip })
    const { body } = await get.rest()
    const head = await rig.view(protocol, playlist, { method: 'HEAD', headers: gzip })
    expect(head.headers['content-encoding']).toBe('gzip')
    expect(head.headers['content-length']).toBe(String(body.length))
    expect(await head.text()).toBe('')
    const known = { ...gzip, 'if-none-match': get.headers.etag! }
    const same = await rig.view(protocol, playlist, { headers: known })
    expect([same.status, same.headers.etag, same.headers.vary]).toEqual([
      304,
      'W/"v1"',
      'accept-encoding',
    ])
    const range = await rig.view(protocol, playlist, { headers: { ...gzip, range: 'bytes=0-6' } })
    expect([range.status, await range.text()]).toEqual([206, '#EXTM3U'])
  })

  it('leaves media and errors as they are', async () => {
    await using rig = await CacheRig.start({ compress: true })
    always(rig.origin, 200, text, immutable)
    const media = await rig.view(protocol, segment, { headers: gzip })
    expect(media.headers).not.toHaveProperty('vary')
    expect(await media.text()).toBe(text)
    always(rig.origin, 404, '{}')
    const missing = await rig.view(protocol, playlist, { headers: gzip })
    expect(missing.headers).not.toHaveProperty('content-encoding')
    expect(await missing.text()).toBe('{}')
  })
})

describe('failures', () => {
  it('pass the reason of upstream on', async () => {
    await using rig = await CacheRig.start()
    const reason = '{"error":"offline","message":"This channel is offline now."}'
    always(rig.origin, 404, reason, { 'content-type': 'application/json; charset=utf-8' })
    const answer = await rig.view('h1', '/live/demo/index.m3u8')
    expect([answer.status, await answer.text()]).toEqual([404, reason])
    expect(answer.headers['content-type']).toBe('application/json')
  })

  it('remember a 404 for a quarter of a second only', async () => {
    await using rig = await CacheRig.start()
    always(rig.origin, 404, 'no')
    const ask = async () => (await rig.view('h1', segment)).status
    expect([await ask(), await ask()]).toEqual([404, 404])
    expect(rig.origin.requests).toHaveLength(1)
    always(rig.origin, 200, 'yes')
    await rig.clock.advance(250)
    expect(await ask()).toBe(200)
  })

  it.each(protocols)('say 502 over %s for a status that no protocol has', async (protocol) => {
    await using rig = await CacheRig.start()
    const view = rig.view(protocol, segment)
    const exchange = await rig.origin.next()
    exchange.head(600, { 'content-length': 5 }).end('hello')
    expect((await view).status).toBe(502)
    expect(await rig.metric('cache_fills')).toBe(0)
  })

  it('say 502 when no origin can be reached, and do not ask each time', async () => {
    await using rig = await CacheRig.start({
      resolve: () => ({ origins: ['http://127.0.0.1:1'] }),
    })
    const views = [rig.view('h1', segment), rig.view('h2', segment)]
    await followers(rig, 2)
    await rig.passPause()
    for (const answer of await Promise.all(views)) {
      expect(answer.status).toBe(502)
      expect(answer.headers['retry-after']).toBe('1')
      expect(JSON.parse(await answer.text())).toMatchObject({ error: 'upstream-unreachable' })
    }
    expect(await rig.metric('cache_fills_total')).toBe(1)
  })

  it('say 504 when upstream has not answered in time', async () => {
    await using rig = await CacheRig.start()
    const view = rig.view('h1', blocking)
    const origin = await rig.origin.next()
    await rig.clock.advance(12_001)
    const answer = await view
    expect(answer.status).toBe(504)
    expect(JSON.parse(await answer.text())).toMatchObject({ error: 'upstream-timeout' })
    await origin.abandoned
  })

  it('break off when the body of upstream stands still', async () => {
    await using rig = await CacheRig.start()
    const view = rig.view('h1', segment)
    const origin = await rig.origin.next()
    origin.head(200, immutable).write('abc')
    const answer = await view
    await answer.bytes(3)
    await rig.clock.advance(13_000)
    expect((await answer.rest()).end).toBe('broken')
    await origin.abandoned
  })

  it.each([
    [301, { location: 'http://elsewhere/' }, 'upstream-unusable'],
    [206, { 'content-range': 'bytes 0-1/9' }, 'upstream-unusable'],
    [200, { 'content-length': 20_000_000 }, 'upstream-too-large'],
  ])('turn a %i that cannot be meant into a 502', async (status, headers, error) => {
    await using rig = await CacheRig.start()
    always(rig.origin, status, '', headers)
    const answer = await rig.view('h1', segment)
    expect(answer.status).toBe(502)
    expect(JSON.parse(await answer.text())).toMatchObject({ error })
  })

  it('end a body that outgrows the bound', async () => {
    await using rig = await CacheRig.start({ maxObjectBytes: 1_000 })
    always(rig.origin, 200, 'z'.repeat(2_000), immutable)
    const answer = await rig.view('h1', segment).catch(() => undefined)
    if (answer?.status === 200) expect((await answer.rest()).end).toBe('broken')
    expect(await rig.metric('cache_objects')).toBe(0)
  })

  it('answer with what the resolver says, without going anywhere', async () => {
    await using rig = await CacheRig.start({
      resolve: async () => ({ answer: { status: 404, body: '{"error":"live-id-unknown"}' } }),
    })
    const answer = await rig.view('h1', playlist)
    expect([answer.status, await answer.text()]).toEqual([404, '{"error":"live-id-unknown"}'])
  })

  it('say 503 when the resolver names no origin', async () => {
    await using rig = await CacheRig.start({ resolve: () => ({ origins: [] }) })
    const answer = await rig.view('h1', segment)
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '1'])
  })

  it('say 503 when the resolver fails twice', async () => {
    let asked = 0
    await using rig = await CacheRig.start({
      resolve: () => {
        asked++
        return Promise.reject(new Error('away'))
      },
    })
    const view = rig.view('h1', segment)
    await rig.passPause()
    const answer = await view
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '1'])
    expect(asked).toBe(2)
  })

  it('refuse new fills, not readers, beyond the bound', async () => {
    await using rig = await CacheRig.start({ maxFills: 1 })
    const first = rig.view('h1', segment)
    const origin = await rig.origin.next()
    const refused = await rig.view('h1', playlist)
    expect(refused.status).toBe(503)
    const joined = rig.view('h1', segment)
    await followers(rig, 2)
    origin.head(200).end('ok')
    expect(await (await first).text()).toBe('ok')
    expect(await (await joined).text()).toBe('ok')
  })

  it.each([
    ['of all fills', { maxWaiters: 2 }, 'waiters'],
    ['of one fill', { maxReadersPerFill: 2 }, 'readers'],
  ])(
    'refuse who would wait beyond the bound %s, and nobody once there is room',
    async (_, bound, name) => {
      await using rig = await CacheRig.start(bound)
      const views = [rig.view('h1', segment), rig.view('h2', segment)]
      const origin = await rig.origin.next()
      await followers(rig, 2)
      const refused = await rig.view('h1', segment)
      expect([refused.status, refused.headers['retry-after']]).toEqual([503, '1'])
      expect((await refused.text()).length).toBeLessThan(200)
      expect(await rig.metric('cache_refusals_total', { bound: name })).toBe(1)
      origin.head(200, immutable).end('ok')
      for (const view of views) expect(await (await view).text()).toBe('ok')
      expect(await (await rig.view('h1', segment)).text()).toBe('ok')
      expect(rig.origin.requests).toHaveLength(1)
    },
  )
})

describe('a fill that fails before its answer', () => {
  it('asks once more for all who wait, where the resolver says now', async () => {
    let origins = ['http://127.0.0.1:1']
    await using rig = await CacheRig.start({ resolve: () => ({ origins }) })
    always(rig.origin, 200, 'there', immutable)
    const views = Array.from({ length: 20 }, () => rig.view('h1', segment))
    await followers(rig, 20)
    origins = [rig.origin.url]
    await rig.passPause()
    for (const view of views) expect(await (await view).text()).toBe('there')
    expect(rig.origin.requests).toEqual([segment])
  })

  it('does not ask again for nobody', async () => {
    await using rig = await CacheRig.start()
    const leaving = new AbortController()
    const view = rig.view('h1', segment, { signal: leaving.signal })
    ;(await rig.origin.next()).cut()
    await until('the pause', async () => (await rig.metric('cache_fill_retries_total')) === 1)
    leaving.abort()
    await expect(view).rejects.toThrow()
    await until('the end', async () => (await rig.metric('cache_fills')) === 0)
    await rig.clock.advance(1_000)
    expect(rig.origin.requests).toHaveLength(1)
  })
})

describe('upstream', () => {
  it('is the next origin when the first cannot be reached', async () => {
    await using rig = await CacheRig.start({
      resolve: () => ({ origins: ['http://127.0.0.1:1', rig.origin.url] }),
    })
    always(rig.origin, 200, 'there')
    expect(await (await rig.view('h1', segment)).text()).toBe('there')
  })

  it('is asked once more for the rest of what broke off', async () => {
    await using rig = await CacheRig.start()
    const head = { ...immutable, 'content-length': 9, etag: '"v1"' }
    const views = [rig.view('h1', segment), rig.view('h2', segment)]
    const origin = await rig.origin.next()
    await followers(rig, 2)
    origin.head(200, head).write('abc')
    const answers = [await views[0]!, await views[1]!]
    for (const answer of answers) await answer.bytes(3)
    origin.cut()
    const again = await rig.origin.next()
    expect(again.req.headers).toMatchObject({ range: 'bytes=3-', 'if-range': '"v1"' })
    again.head(206, { ...head, 'content-range': 'bytes 3-8/9', 'content-length': 6 }).end('defghi')
    for (const answer of answers) {
      expect(await answer.rest()).toEqual({ body: Buffer.from('abcdefghi'), end: 'clean' })
    }
    const hit = await rig.view('h1', segment)
    expect([hit.headers['cache-status'], await hit.text()]).toEqual([
      expect.stringContaining('hit'),
      'abcdefghi',
    ])
    expect(rig.origin.requests).toHaveLength(2)
  })

  it('adds the member of each cache on the way', async () => {
    await using rig = await CacheRig.start()
    always(rig.origin, 200, 'x', { 'cache-status': 'gw-1; hit; ttl=9', age: '4' })
    const answer = await rig.view('h1', playlist)
    expect(statusOf(answer)).toBe('gw-1; hit; ttl=9, pop-1; fwd=miss; stored')
    expect(answer.headers.age).toBe('4')
  })

  it('is not trusted with a body that nothing delimits', async () => {
    await using rig = await CacheRig.start()
    rig.origin.respond = (exchange) => {
      exchange.res.removeHeader('transfer-encoding')
      exchange.res.useChunkedEncodingByDefault = false
      exchange.res.shouldKeepAlive = false
      exchange.head(200, immutable).end('abc')
    }
    const answer = await rig.view('h1', segment)
    expect(statusOf(answer)).toBe('pop-1; fwd=miss')
    expect(await answer.text()).toBe('abc')
    expect(await rig.metric('cache_objects')).toBe(0)
  })
})

describe('memory', () => {
  it('is bounded in bytes, the least recently used leaving first', async () => {
    await using rig = await CacheRig.start({ maxBytes: 100_000, maxObjectBytes: 50_000 })
    always(rig.origin, 200, 'm'.repeat(30_000), immutable)
    const path = (number: number) => `/live/demo/abcdef12-1/720p/${number}.m4s`
    const ask = async (number: number) => {
      const answer = await rig.view('h1', path(number))
      await answer.text()
      return statusOf(answer)
    }
    for (const number of [1, 2, 3, 1, 4]) await ask(number)
    expect(await rig.metric('cache_bytes')).toBeLessThanOrEqual(100_000)
    expect(await rig.metric('cache_evictions_total')).toBe(1)
    expect(await ask(1)).toMatch(/hit/)
    expect(await ask(2)).toMatch(/fwd=miss/)
  })

  it('forgets what is purged, also what is just arriving', async () => {
    await using rig = await CacheRig.start()
    const view = rig.view('h1', segment)
    const origin = await rig.origin.next()
    expect(rig.cache.purge('/live/other/')).toBe(0)
    expect(rig.cache.purge('/live/demo/')).toBe(1)
    origin.head(200, immutable).end('old')
    expect(await (await view).text()).toBe('old')
    always(rig.origin, 200, 'new', immutable)
    expect(await (await rig.view('h1', segment)).text()).toBe('new')
    expect(rig.cache.purge('/live/demo/')).toBe(1)
    expect(await rig.metric('cache_objects')).toBe(0)
  })
})
