// What an edge answers over HTTP, on both protocols.
import { describe, expect, it } from 'vitest'
import { silentLogger } from '../../../common/log.ts'
import { Metrics } from '../../../common/metrics.ts'
import { RequestPace } from '../../../edge/admission/request-pace.ts'
import { DeliveryHandler, type DeliveryOptions } from '../../../edge/delivery/delivery-handler.ts'
import { StaticPages } from '../../../edge/delivery/static-pages.ts'
import { Listeners } from '../../support/cache-rig.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { type Protocol, protocols, type ViewOptions } from '../../support/http-viewer.ts'
import { ScriptedOrigin } from '../../support/scripted-origin.ts'

const page = { body: Buffer.from('<p>'), contentType: 'text/html; charset=utf-8', encoded: {} }
const asset = {
  body: Buffer.from('a()'),
  contentType: 'text/javascript; charset=utf-8',
  encoded: { br: Buffer.from('br') },
}
/** More than an HTTP/2 client takes of a stream before it has read anything. */
const largeAsset = { ...asset, body: Buffer.alloc(100_000), encoded: {} }
const pages = new StaticPages(
  new Map([
    ['/index.html', page],
    ['/assets/a.js', asset],
    ['/assets/large.js', largeAsset],
  ]),
)

class Edge implements AsyncDisposable {
  readonly clock: FakeClock
  readonly gateway: ScriptedOrigin
  readonly delivery: DeliveryHandler
  readonly #listeners: Listeners

  private constructor(
    clock: FakeClock,
    gateway: ScriptedOrigin,
    delivery: DeliveryHandler,
    listeners: Listeners,
  ) {
    this.clock = clock
    this.gateway = gateway
    this.delivery = delivery
    this.#listeners = listeners
  }

  static async start(options: Partial<DeliveryOptions> = {}): Promise<Edge> {
    const clock = new FakeClock()
    const gateway = await ScriptedOrigin.start()
    gateway.respond = (exchange) => exchange.head(200).end('#EXTM3U')
    const delivery = new DeliveryHandler({
      name: 'pop-1',
      cache: { memoryBytes: 1_000_000, maxObjectBytes: 1_000_000 },
      upstream: { connectTimeoutMs: 1_000, waitTargetDurations: 3 },
      pickGateways: () => [gateway.url],
      authorize: async () => 'node-token',
      isReady: () => true,
      pages,
      clock,
      log: silentLogger,
      metrics: new Metrics('edge', 'pop-1', '0'),
      ...options,
    })
    const listeners = await Listeners.start(
      (req, res) => delivery.handle(req, res),
      () => delivery.road,
    )
    return new Edge(clock, gateway, delivery, listeners)
  }

  view(protocol: Protocol, path: string, options?: ViewOptions) {
    return this.#listeners.view(protocol, path, options)
  }

  async get(protocol: Protocol, path: string, options?: ViewOptions) {
    const answer = await this.view(protocol, path, options)
    return { status: answer.status, headers: answer.headers, body: await answer.text() }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.delivery[Symbol.asyncDispose]()
    await this.#listeners[Symbol.asyncDispose]()
    await this.gateway[Symbol.asyncDispose]()
  }
}

describe.each(protocols)('an edge over %s', (protocol) => {
  it('fetches media from a gateway, with its node token', async () => {
    const asked: string[] = []
    await using edge = await Edge.start()
    let authorization: string | undefined
    edge.gateway.respond = (exchange) => {
      asked.push(exchange.req.url!)
      authorization = exchange.req.headers.authorization
      exchange.head(200).end('#EXTM3U')
    }
    const answer = await edge.get(protocol, '/live/demo/index.m3u8?token=x')
    expect(answer).toMatchObject({ status: 200, body: '#EXTM3U' })
    expect(asked).toEqual(['/live/demo/index.m3u8'])
    expect(authorization).toBe('Bearer node-token')
  })

  it('compresses playlists for those who take it, and no media', async () => {
    await using edge = await Edge.start()
    edge.gateway.respond = (exchange) => exchange.head(200).end('#EXTM3U '.repeat(100))
    const headers = { 'accept-encoding': 'gzip' }
    const playlist = await edge.get(protocol, '/live/demo/index.m3u8', { headers })
    expect(playlist.headers['content-encoding']).toBe('gzip')
    const media = await edge.get(protocol, '/live/demo/abcdef12-1/720p/p1.m4s', { headers })
    expect(media.headers).not.toHaveProperty('content-encoding')
  })

  it('tells the time, uncached', async () => {
    await using edge = await Edge.start()
    const answer = await edge.get(protocol, '/time')
    expect(answer.body).toBe('2026-01-01T00:00:00.000Z')
    expect(answer.headers['cache-control']).toBe('no-store')
    expect(answer.headers['access-control-allow-origin']).toBe('*')
  })

  it('tells its health', async () => {
    await using edge = await Edge.start({ isReady: () => false })
    expect((await edge.get(protocol, '/livez')).status).toBe(200)
    expect((await edge.get(protocol, '/readyz')).status).toBe(503)
  })

  it('serves the watch page under a strict policy and its assets for ever', async () => {
    await using edge = await Edge.start()
    const watch = await edge.get(protocol, '/watch/demo')
    expect(watch).toMatchObject({ status: 200, body: '<p>' })
    expect(watch.headers['content-security-policy']).toContain("default-src 'none'")
    expect(watch.headers['cache-control']).toBe('no-cache')
    const headers = { 'accept-encoding': 'br' }
    const script = await edge.get(protocol, '/assets/a.js', { headers })
    expect(script).toMatchObject({ status: 200, body: 'br' })
    expect(script.headers).toMatchObject({
      'content-encoding': 'br',
      'cache-control': 'public, max-age=31536000, immutable',
      vary: 'accept-encoding',
    })
    const head = await edge.get(protocol, '/assets/a.js', { method: 'HEAD' })
    expect(head).toMatchObject({ status: 200, body: '' })
    expect(head.headers['content-length']).toBe('3')
  })

  it('tells who asks too often to come again, in a way that players do', async () => {
    const allows = (address: string) => address !== '127.0.0.1'
    await using edge = await Edge.start({ pace: { allows, wouldAllow: allows } })
    const answer = await edge.get(protocol, '/live/demo/index.m3u8')
    expect(answer.status).toBe(503)
    expect(answer.headers['retry-after']).toBe('1')
    expect(answer.headers['access-control-allow-origin']).toBe('*')
    expect(JSON.parse(answer.body).error).toBe('too-many-requests')
    expect(edge.gateway.requests).toEqual([])
  })

  it.each(['/time', '/nothing', '/live/demo/index.m3u8'])(
    'counts a request for %s once',
    async (path) => {
      let refused = 0
      const clock = new FakeClock()
      const onRefused = () => refused++
      const pace = new RequestPace({ perSecond: 2, exempt: [], clock, onRefused })
      await using edge = await Edge.start({ pace, clock })
      const statuses: number[] = []
      for (let i = 0; i < 6; i++) statuses.push((await edge.get(protocol, path)).status)
      expect(statuses.map((status) => status === 503)).toEqual([0, 0, 0, 0, 1, 1].map(Boolean))
      expect(refused).toBe(2)
    },
  )

  it.each([
    ['GET', '/watch/No', 404, 'path-unknown'],
    ['GET', '/assets/none.js', 404, 'path-unknown'],
    ['GET', '/assets/../index.html', 400, 'path-malformed'],
    ['GET', '/live/demo.flv', 404, 'not-served-yet'],
    ['GET', '/live/demo/dvr.m3u8', 404, 'not-served-yet'],
    ['GET', '/t/abc/live/demo/index.m3u8', 404, 'not-served-yet'],
    ['PUT', '/watch/demo', 405, 'method not allowed'],
    ['GET', '/nothing', 404, 'path-unknown'],
  ])('answers %s %s with %i %s', async (method, path, status, error) => {
    await using edge = await Edge.start()
    const answer = await edge.get(protocol, path, { method })
    expect(answer.status).toBe(status)
    expect(answer.body).toContain(error)
    expect(edge.gateway.requests).toEqual([])
  })
})

describe('an edge', () => {
  it('lets go of who does not read a page', async () => {
    await using edge = await Edge.start()
    const stalled = await edge.view('h2', '/assets/large.js', { isPaused: true })
    await edge.clock.advance(20_000)
    stalled.resume()
    expect((await stalled.rest()).end).toBe('broken')
  })

  it('says how to build a watch page that is missing', async () => {
    await using edge = await Edge.start({ pages: new StaticPages(new Map()) })
    const answer = await edge.get('h1', '/watch/demo')
    expect(answer.status).toBe(404)
    expect(answer.body).toContain('npm run build')
  })

  it('turns to the next gateway when the first cannot be reached', async () => {
    const asked: string[] = []
    await using edge = await Edge.start({
      pickGateways: (id) => {
        asked.push(id)
        return ['http://127.0.0.1:1', edge.gateway.url]
      },
    })
    expect((await edge.get('h1', '/live/demo/index.m3u8')).status).toBe(200)
    expect(asked).toEqual(['demo'])
  })

  it('says so when it knows no gateway', async () => {
    await using edge = await Edge.start({ pickGateways: () => [] })
    const answer = await edge.get('h1', '/live/demo/index.m3u8')
    expect(answer.status).toBe(503)
    expect(JSON.parse(answer.body).error).toBe('upstream-no-upstream')
  })

  it('counts who asks for playlists of a live id that is there', async () => {
    await using edge = await Edge.start()
    const as = (agent: string) => ({ headers: { 'user-agent': agent } })
    await edge.get('h1', '/live/demo/index.m3u8', as('a'))
    await edge.get('h1', '/live/demo/720p.m3u8', as('a'))
    await edge.get('h2', '/live/demo/manifest.mpd', as('b'))
    await edge.get('h1', '/live/demo/abcdef12-1/720p/1.m4s', as('c'))
    await edge.get('h1', '/live/demo/status.json', as('d'))
    edge.gateway.respond = (exchange) => exchange.head(404).end()
    await edge.get('h1', '/live/absent/index.m3u8', as('e'))
    expect(edge.delivery.top('').viewers).toEqual([{ liveId: 'demo', current: 2, total: 2 }])
  })
})
