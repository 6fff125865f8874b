// What operators are told of the cache of an edge: by a real one, and merged from several workers.
import { describe, expect, test } from 'vitest'
import type { Top, Why } from '../../../common/cache/cache-report.ts'
import { silentLogger } from '../../../common/log.ts'
import { Metrics } from '../../../common/metrics.ts'
import { mergeTops, mergeWhys } from '../../../edge/delivery/control.ts'
import { DeliveryHandler } from '../../../edge/delivery/delivery-handler.ts'
import { StaticPages } from '../../../edge/delivery/static-pages.ts'
import { Listeners } from '../../support/cache-rig.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import type { Protocol, ViewOptions } from '../../support/http-viewer.ts'
import { ScriptedOrigin } from '../../support/scripted-origin.ts'
import { until } from '../../support/until.ts'

const segment = '/live/demo/abcdef12-1/720p/7.m4s'
const playlist = '/live/demo/720p.m3u8'

const live = `#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:4
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5
#EXT-X-PART-INF:PART-TARGET=0.5
#EXT-X-MEDIA-SEQUENCE:4
#EXT-X-MAP:URI="abcdef12-1/720p/init.mp4"
#EXTINF:2,
abcdef12-1/720p/4.m4s
`

class Edge implements AsyncDisposable {
  readonly clock = new FakeClock()
  readonly gateway: ScriptedOrigin
  readonly delivery: DeliveryHandler
  readonly #listeners: Listeners

  private constructor(gateway: ScriptedOrigin, listeners: (edge: Edge) => Listeners) {
    this.gateway = gateway
    this.delivery = new DeliveryHandler({
      name: 'pop-1',
      cache: { memoryBytes: 1_000_000, maxObjectBytes: 1_000_000 },
      upstream: { connectTimeoutMs: 1_000, waitTargetDurations: 3 },
      pickGateways: () => [gateway.url, 'http://other.internal'],
      authorize: async () => 'node-token',
      isReady: () => true,
      pages: new StaticPages(new Map()),
      clock: this.clock,
      log: silentLogger,
      metrics: new Metrics('edge', 'pop-1', '0'),
    })
    this.#listeners = listeners(this)
  }

  static async start(): Promise<Edge> {
    let edge: Edge | undefined
    const listeners = await Listeners.start(
      (req, res) => edge!.delivery.handle(req, res),
      () => edge!.delivery.road,
    )
    edge = new Edge(await ScriptedOrigin.start(), () => listeners)
    return edge
  }

  get(path: string, protocol: Protocol = 'h1', options: ViewOptions = {}) {
    return this.#listeners.view(protocol, path, options)
  }

  why(url: string): Why {
    return this.delivery.why(url)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.delivery[Symbol.asyncDispose]()
    await this.#listeners[Symbol.asyncDispose]()
    await this.gateway[Symbol.asyncDispose]()
  }
}

describe('why', () => {
  test('reads the URL, and keeps no value of its query', async () => {
    await using edge = await Edge.start()
    const why = edge.why(`https://pop-1.example.com${playlist}?token=s3cret&_HLS_msn=04&CMCD=x`)
    expect(why).toMatchObject({
      node: 'pop-1',
      path: playlist,
      key: `${playlist}?_HLS_msn=4`,
      object: { kind: 'media-playlist', id: 'demo', rendition: '720p', isHeldReload: true },
      query: [
        { name: 'token', kept: false },
        { name: '_HLS_msn', kept: true },
        { name: 'CMCD', kept: false },
      ],
      cache: { next: 'fill' },
      gateways: [edge.gateway.url, 'http://other.internal'],
    })
    expect(JSON.stringify(why)).not.toContain('s3cret')
    expect(edge.why(segment).object).toMatchObject({
      kind: 'segment',
      take: 'abcdef12-1',
      number: 7,
    })
  })

  test('follows an object from nothing over a fill to memory, and changes nothing by looking', async () => {
    await using edge = await Edge.start()
    expect(edge.why(segment).cache).toEqual({ next: 'fill' })
    const viewing = edge.get(segment)
    const exchange = await edge.gateway.next()
    await edge.clock.advance(40)
    expect(edge.why(segment).cache).toMatchObject({
      next: 'joins',
      fill: {
        state: 'waiting',
        sinceMs: 40,
        readers: 1,
        origins: [edge.gateway.url, 'http://other.internal'],
      },
    })
    exchange.head(200, { 'content-length': 10 }).write('12345')
    const view = await viewing
    await view.bytes(5)
    expect(edge.why(segment).cache!.fill).toMatchObject({
      state: 'growing',
      status: 200,
      bytes: 5,
      length: 10,
    })
    exchange.end('67890')
    await view.rest()
    await edge.clock.advance(3_000)
    expect(edge.why(segment).cache).toMatchObject({
      next: 'hit',
      stored: { status: 200, bytes: 10, ageSeconds: 3, isImmutable: true },
    })
    expect(edge.gateway.requests).toEqual([segment])
  })

  test('tells what of a live playlist is here, who is held for the next one, and what is too far', async () => {
    await using edge = await Edge.start()
    edge.gateway.respond = ({ req, res }) => {
      if (!req.url!.includes('?')) res.writeHead(200).end(live)
    }
    await (await edge.get(playlist)).text()
    expect(edge.why(playlist).cache).toMatchObject({
      next: 'hit',
      live: { next: 'hit', version: { bytes: live.length, ageSeconds: 0 }, held: 0 },
    })
    expect(edge.why(`${playlist}?_HLS_msn=5`).cache).toMatchObject({ next: 'held' })
    expect(edge.why(`${playlist}?_HLS_msn=4`).cache).toMatchObject({ next: 'hit' })
    expect(edge.why(`${playlist}?_HLS_msn=99`).cache).toMatchObject({ next: 'too-far' })
    const leaving = new AbortController()
    const held = edge.get(`${playlist}?_HLS_msn=5`, 'h1', { signal: leaving.signal })
    await until('the wait upstream', () => edge.gateway.requests.some((it) => it.includes('?')))
    expect(edge.why(playlist).cache!.live).toMatchObject({ held: 1, waitingMs: 0 })
    leaving.abort()
    await expect(held).rejects.toThrow()
  })

  test('tells a stale object and a 404 that is held', async () => {
    await using edge = await Edge.start()
    edge.gateway.respond = (exchange) => exchange.head(200).end('#EXTM3U')
    await (await edge.get(playlist)).text()
    await edge.clock.advance(1_000)
    expect(edge.why(playlist).cache).toMatchObject({
      next: 'fill',
      stored: { freshMs: -600, staleMs: 5_000 },
    })
    edge.gateway.respond = (exchange) => exchange.head(404).end('{}')
    await (await edge.get(segment)).text()
    expect(edge.why(segment).cache).toMatchObject({
      next: 'hit',
      stored: { status: 404, freshMs: 250 },
    })
  })

  test.each([
    ['/live/demo/abcdef12-1/720p/x.m4s', 404, 'path-unknown', 'is no media file'],
    ['/live/demo/720p', 404, 'path-unknown', 'no file "720p"'],
    ['/live/demo/a/720p/1.m4s', 404, 'path-unknown', 'is no take'],
    ['/live/demo/abcdef12-1/720P/1.m4s', 404, 'path-unknown', 'is no rendition'],
    ['/replay/demo/index.m3u8', 404, 'path-unknown', 'is no id of a recording'],
    [
      '/replay/01990a9c-0000-7000-8000-000000000001/abcdef12-1/720p/p1.m4s',
      404,
      'path-unknown',
      'no parts',
    ],
    ['/live//index.m3u8', 400, 'path-malformed', 'Empty steps'],
    ['/live/demo/index.m3u8;x', 400, 'path-malformed', 'semicolon'],
    [`${playlist}?_HLS_part=1`, 400, 'directive-malformed', '_HLS_part needs _HLS_msn'],
    [`${playlist}?_HLS_msn=x`, 400, 'directive-malformed', '_HLS_msn'],
  ])(
    '%s is refused with %i, and the answer to a viewer is the same',
    async (url, status, rule, words) => {
      await using edge = await Edge.start()
      const { refused } = edge.why(url)
      expect(refused).toEqual({ status, rule, why: expect.stringContaining(words) })
      const answer = await edge.get(url)
      expect(answer.status).toBe(status)
      expect(JSON.parse(await answer.text())).toMatchObject({ error: rule })
    },
  )

  test.each(['/', '/time', '/watch/demo', '/t/token/live/demo/index.m3u8', '/live/demo.flv'])(
    '%s is answered without the cache',
    async (url) => {
      await using edge = await Edge.start()
      expect(edge.why(url)).toMatchObject({ page: expect.any(String) })
    },
  )
})

describe('top', () => {
  test('counts by result, protocol and live id', async () => {
    await using edge = await Edge.start()
    edge.gateway.respond = (exchange) => exchange.head(200).end('12345')
    for (const protocol of ['h1', 'fast', 'h2', 'fast-h2'] as const) {
      await (await edge.get(segment, protocol)).text()
    }
    await (await edge.get('/live/other/index.m3u8')).text()
    expect(edge.delivery.top('me')).toMatchObject({
      node: 'pop-1',
      role: 'edge',
      instance: 'me',
      requests: { hit: 3, miss: 2, collapsed: 0 },
      bytesOut: { http: 15, https: 0, h2: 10 },
      objects: 2,
      waiters: 0,
      lives: [
        { id: 'other', requests: 1, bytes: 5 },
        { id: 'demo', requests: 4, bytes: 20 },
      ],
      viewers: [{ liveId: 'other', current: 1 }],
    })
  })

  test.each(['h1', 'h2', 'fast', 'fast-h2'] as const)(
    'over %s tells who waits, and who is held back, until they are answered or leave',
    async (protocol) => {
      await using edge = await Edge.start()
      const leaving = new AbortController()
      const held = edge.get(`${playlist}?_HLS_msn=9`, protocol)
      const exchange = await edge.gateway.next()
      const waiting = edge.get(segment, protocol, { signal: leaving.signal })
      await edge.gateway.next()
      expect(edge.delivery.top('')).toMatchObject({ waiters: 2, held: 1, fills: 2 })
      exchange.head(404).end('{}')
      await (await held).text()
      expect(edge.delivery.top('')).toMatchObject({ waiters: 1, held: 0 })
      leaving.abort()
      await expect(waiting).rejects.toThrow()
      await until('its connection to be seen closed', () => edge.delivery.top('').waiters === 0)
    },
  )
})

describe('answers of several workers', () => {
  const base: Why = { node: 'pop-1', path: segment, query: [], gateways: [], key: segment }

  test('why: what one has, all have; readers add up', () => {
    const fill = { state: 'growing', sinceMs: 5, status: 200, length: 9, isHeld: false } as const
    const stored = { status: 200, bytes: 9, ageSeconds: 1, staleMs: 0, isImmutable: true }
    const whys: Why[] = [
      { ...base, cache: { next: 'fill' } },
      {
        ...base,
        cache: { next: 'joins', fill: { ...fill, bytes: 4, readers: 2, origins: ['a'] } },
      },
      {
        ...base,
        cache: {
          next: 'hit',
          stored: { ...stored, freshMs: 9, cacheControl: undefined },
          fill: { ...fill, bytes: 2, readers: 1, origins: ['b'] },
        },
      },
    ]
    expect(mergeWhys(whys).cache).toMatchObject({
      next: 'hit',
      stored: { freshMs: 9 },
      fill: { bytes: 4, readers: 3, origins: ['a'] },
    })
    const refused = { ...base, refused: { status: 404, rule: 'path-unknown', why: '' } }
    expect(mergeWhys([refused, refused])).toEqual(refused)
  })

  test('top: counters, live ids and viewers add up', () => {
    const top = (id: string, n: number): Top => ({
      node: 'pop-1',
      role: 'edge',
      instance: 'me',
      atMs: 1,
      requests: { hit: n, miss: 1, collapsed: 0, stale: 0, error: 0 },
      bytesOut: { http: n, https: 0, h2: 1 },
      bytes: 1,
      objects: 1,
      fills: 1,
      readers: 1,
      waiters: 1,
      held: 0,
      lives: [{ scope: 'live', id, requests: n, bytes: n }],
      viewers: [{ liveId: id, current: 1, total: n }],
    })
    expect(mergeTops([top('a', 2), top('b', 3), top('a', 4)])).toMatchObject({
      requests: { hit: 9, miss: 3 },
      bytesOut: { http: 9, h2: 3 },
      objects: 3,
      lives: [
        { id: 'a', requests: 6, bytes: 6 },
        { id: 'b', requests: 3 },
      ],
      viewers: [
        { liveId: 'a', current: 2, total: 6 },
        { liveId: 'b', current: 1 },
      ],
    })
  })
})
