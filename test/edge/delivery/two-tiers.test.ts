// The whole way of playback: two edges, the gateway's shield, one transcoder, real connections between them.
import { describe, expect, it } from 'vitest'
import type { ClusterSnapshot } from '../../../common/contract/membership.ts'
import { silentLogger } from '../../../common/log.ts'
import { Metrics } from '../../../common/metrics.ts'
import { DeliveryHandler } from '../../../edge/delivery/delivery-handler.ts'
import { StaticPages } from '../../../edge/delivery/static-pages.ts'
import { Shield } from '../../../origin/gateway/shield.ts'
import { Listeners } from '../../support/cache-rig.ts'
import { FakeClock, turnFor } from '../../support/fake-clock.ts'
import type { ViewOptions } from '../../support/http-viewer.ts'
import { routeTo } from '../../support/routes.ts'
import { ScriptedOrigin } from '../../support/scripted-origin.ts'

const segment = '/live/demo/abcdef12-1/720p/1.m4s'
const immutable = { 'cache-control': 'public, max-age=31536000, immutable' }

class Road implements AsyncDisposable {
  readonly transcoder: ScriptedOrigin
  readonly clock: FakeClock
  readonly #stack: AsyncDisposableStack
  readonly #edges: Listeners[]

  private constructor(
    transcoder: ScriptedOrigin,
    clock: FakeClock,
    edges: Listeners[],
    stack: AsyncDisposableStack,
  ) {
    this.transcoder = transcoder
    this.clock = clock
    this.#edges = edges
    this.#stack = stack
  }

  static async start(): Promise<Road> {
    const stack = new AsyncDisposableStack()
    const transcoder = stack.use(await ScriptedOrigin.start())
    const plumbing = { clock: new FakeClock(), log: silentLogger }
    const cache = { memoryBytes: 10_000_000, maxObjectBytes: 1_000_000 }
    const route = routeTo('demo', { id: 'tc-1', url: transcoder.url })
    const snapshot: ClusterSnapshot = { generation: 1, nodes: [], routes: [route] }
    const shield = new Shield({
      ...plumbing,
      name: 'gw-1',
      cache,
      snapshot: () => snapshot,
      homes: { home: () => undefined },
      coordinator: {
        channelStatus: async () => ({ status: 404, body: '{}' }),
        recordingLocation: async () => ({ missing: true }),
      },
      authorize: async () => 'gateway-token',
      metrics: new Metrics('gateway', 'gw-1', '0'),
    })
    const gateway = stack.use(await Listeners.start((req, res) => shield.handle(req, res)))
    stack.use(shield)
    const edges: Listeners[] = []
    for (const name of ['pop-1', 'pop-2']) {
      const delivery = new DeliveryHandler({
        ...plumbing,
        name,
        cache,
        upstream: { connectTimeoutMs: 1_000, waitTargetDurations: 3 },
        pickGateways: () => [gateway.url('h1')],
        authorize: async () => 'edge-token',
        isReady: () => true,
        pages: new StaticPages(new Map()),
        metrics: new Metrics('edge', name, '0'),
      })
      edges.push(
        stack.use(
          await Listeners.start(
            (req, res) => delivery.handle(req, res),
            () => delivery.road,
          ),
        ),
      )
      stack.use(delivery)
    }
    return new Road(transcoder, plumbing.clock, edges, stack)
  }

  view(edge: 0 | 1, path: string, options?: ViewOptions) {
    return this.#edges[edge]!.view(edge === 0 ? 'h1' : 'h2', path, options)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync()
  }
}

describe('the road of a segment', () => {
  it('is streamed through both caches to viewers at both edges, asked of the transcoder once', async () => {
    await using road = await Road.start()
    const views = [road.view(0, segment), road.view(1, segment)] as const
    const transcoder = await road.transcoder.next()
    expect(transcoder.req.headers.authorization).toBe('Bearer gateway-token')
    transcoder.head(200, immutable).write('first ')
    for (const view of views) expect((await (await view).bytes(6)).toString()).toBe('first ')
    transcoder.end('last')
    for (const view of views) {
      expect(await (await view).rest()).toEqual({ body: Buffer.from('first last'), end: 'clean' })
    }
    const again = await road.view(1, segment)
    expect(again.headers['cache-status']).toMatch(/^gw-1; .*, pop-2; hit; ttl=\d+$/)
    const { etag } = again.headers
    expect((await road.view(0, segment)).headers.etag).toBe(etag)
    expect(road.transcoder.requests).toEqual([segment])
  })

  it('ends broken at every viewer when the transcoder breaks off, and heals', async () => {
    await using road = await Road.start()
    const views = [road.view(0, segment), road.view(1, segment)] as const
    const transcoder = await road.transcoder.next()
    transcoder.head(200, immutable).write('abc')
    for (const view of views) await (await view).bytes(3)
    // Gateway and edges ask once more each.
    road.transcoder.respond = (exchange) => exchange.cut()
    transcoder.cut()
    for (const view of views) {
      expect((await turnFor(road.clock, (await view).rest())).end).toBe('broken')
    }
    road.transcoder.respond = (exchange) => exchange.head(200, immutable).end('abcdef')
    // An error is remembered for a moment.
    await road.clock.advance(250)
    expect(await (await road.view(0, segment)).text()).toBe('abcdef')
  })

  it('tells a viewer why there is nothing', async () => {
    await using road = await Road.start()
    const answer = await road.view(0, '/live/nobody/index.m3u8')
    expect(answer.status).toBe(404)
    expect(JSON.parse(await answer.text())).toMatchObject({ error: 'live-id-unknown' })
  })

  it('lets go of a held reload up to the transcoder some time after its last viewer has left', async () => {
    await using road = await Road.start()
    const leaving = new AbortController()
    const path = '/live/demo/720p.m3u8'
    const held = road.view(0, `${path}?_HLS_msn=9`, { signal: leaving.signal })
    const server = '#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES'
    const playlist = ['#EXTM3U', '#EXT-X-TARGETDURATION:4', '#EXT-X-MEDIA-SEQUENCE:8', server]
    const text = [...playlist, '#EXTINF:4,', 'abcdef12-1/720p/8.m4s', ''].join('\n')
    ;(await road.transcoder.next()).head(200).end(text)
    const asked = [await road.transcoder.next(), await road.transcoder.next()]
    const waits = asked.find(({ req }) => req.url === `${path}?_HLS_msn=9`)!
    leaving.abort()
    await expect(held).rejects.toThrow()
    // The edge hears of what comes first first.
    await road.view(0, '/live/nobody/index.m3u8')
    await road.clock.advance(8_000)
    await waits.abandoned
  })
})
