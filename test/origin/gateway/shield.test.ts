// The gateway's cache in front of the transcoders.
import { describe, expect, it } from 'vitest'
import type { ClusterSnapshot, NodeInfo } from '../../../common/contract/membership.ts'
import { silentLogger } from '../../../common/log.ts'
import { Metrics } from '../../../common/metrics.ts'
import { HomeStore } from '../../../origin/gateway/home/home-store.ts'
import { Shield, type ShieldCoordinator } from '../../../origin/gateway/shield.ts'
import { Listeners } from '../../support/cache-rig.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { routeTo } from '../../support/routes.ts'
import { ScriptedOrigin } from '../../support/scripted-origin.ts'

const recording = '0190f8a2-7f4e-7c3a-9b1d-2f5e8a6c4d10'
const status = (state: string) => ({ status: 200, body: JSON.stringify({ state }) })

function transcoderNode({ id, url }: { id: string; url: string }): NodeInfo {
  return {
    ...{ id, role: 'transcoder', instance: recording, version: '0', pid: 1, weight: 1 },
    ...{ region: null, latitude: null, longitude: null, draining: false },
    urls: { http: url },
    load: {
      ...{ cpu: 0, memoryBytes: 0, streams: 0, cost: 0, viewers: 0 },
      ...{ bitsInPerSecond: 0, bitsOutPerSecond: 0 },
    },
  }
}

class Coordinator implements ShieldCoordinator {
  readonly asked: string[] = []
  statuses: Record<string, { status: number; body: string }> = {}
  location: Awaited<ReturnType<ShieldCoordinator['recordingLocation']>> = { missing: true }

  async channelStatus(liveId: string): Promise<{ status: number; body: string }> {
    this.asked.push(liveId)
    return this.statuses[liveId] ?? { status: 404, body: '{}' }
  }

  async recordingLocation(id: string): ReturnType<ShieldCoordinator['recordingLocation']> {
    this.asked.push(id)
    return this.location
  }
}

class Gateway implements AsyncDisposable {
  readonly clock = new FakeClock()
  readonly coordinator = new Coordinator()
  readonly transcoder: ScriptedOrigin
  snapshot: ClusterSnapshot = { generation: 1, nodes: [], routes: [] }
  /** Of the transcoder that stands in for the coordinator. */
  standInUrl: string | undefined
  isAlone = false
  readonly homes: HomeStore
  readonly #shield: Shield
  readonly #listeners: Listeners

  private constructor(transcoder: ScriptedOrigin, listen: (shield: Shield) => Listeners) {
    this.transcoder = transcoder
    const plumbing = {
      authorize: async () => 'node-token',
      clock: this.clock,
      log: silentLogger,
      metrics: new Metrics('gateway', 'gw-1', '0'),
    }
    this.homes = new HomeStore({
      ...plumbing,
      gatewayId: 'gw-1',
      onLeft: (it) => this.#shield.letGo(it),
    })
    this.#shield = new Shield({
      ...plumbing,
      name: 'gw-1',
      cache: { memoryBytes: 1_000_000, maxObjectBytes: 1_000_000 },
      snapshot: () => this.snapshot,
      homes: this.homes,
      coordinator: this.coordinator,
      standIns: { playbackUrl: (liveId) => (liveId === 'demo' ? this.standInUrl : undefined) },
      isAlone: () => this.isAlone,
    })
    this.#listeners = listen(this.#shield)
  }

  static async start(): Promise<Gateway> {
    const transcoder = await ScriptedOrigin.start()
    transcoder.respond = (exchange) => exchange.head(200).end('media')
    let shield: Shield | undefined
    const listeners = await Listeners.start((req, res) => shield?.handle(req, res))
    return new Gateway(transcoder, (made) => {
      shield = made
      return listeners
    })
  }

  route(liveId: string): void {
    const transcoder = { id: 'tc-1', url: this.transcoder.url }
    const routes = [routeTo(liveId, transcoder)]
    this.snapshot = { ...this.snapshot, routes, nodes: [transcoderNode(transcoder)] }
  }

  unroute(): void {
    this.snapshot = { ...this.snapshot, routes: [] }
  }

  async get(path: string) {
    const answer = await this.#listeners.view('h1', path)
    return { status: answer.status, headers: answer.headers, body: await answer.text() }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.homes[Symbol.asyncDispose]()
    await this.#shield[Symbol.asyncDispose]()
    await this.#listeners[Symbol.asyncDispose]()
    await this.transcoder[Symbol.asyncDispose]()
  }
}

describe('Shield', () => {
  it('asks the transcoder of the route, with a node token, and follows new routes', async () => {
    await using gateway = await Gateway.start()
    gateway.coordinator.statuses.demo = status('offline')
    expect((await gateway.get('/live/demo/index.m3u8')).status).toBe(404)
    gateway.route('demo')
    let authorization: string | undefined
    gateway.transcoder.respond = (exchange) => {
      authorization = exchange.req.headers.authorization
      exchange.head(200).end('media')
    }
    await gateway.clock.advance(300)
    const answer = await gateway.get('/live/demo/index.m3u8')
    expect(answer).toMatchObject({ status: 200, body: 'media' })
    expect(answer.headers['cache-status']).toBe('gw-1; fwd=stale; stored')
    expect(authorization).toBe('Bearer node-token')
  })

  it('asks the transcoder that stands in where there is no route, while the coordinator is away', async () => {
    await using gateway = await Gateway.start()
    gateway.standInUrl = gateway.transcoder.url
    gateway.coordinator.statuses.demo = status('offline')
    expect((await gateway.get('/live/demo/index.m3u8')).status).toBe(404)
    gateway.isAlone = true
    gateway.coordinator.statuses = {}
    await gateway.clock.advance(1_000)
    expect(await gateway.get('/live/demo/index.m3u8')).toMatchObject({ status: 200, body: 'media' })
    expect((await gateway.get('/live/other/index.m3u8')).status).toBe(404)
  })

  it('asks it for a while after the coordinator is back, which has yet to hear of it', async () => {
    await using gateway = await Gateway.start()
    gateway.standInUrl = gateway.transcoder.url
    gateway.isAlone = true
    const ask = async () => (await gateway.get('/live/demo/index.m3u8')).status
    expect(await ask()).toBe(200)
    gateway.isAlone = false
    gateway.coordinator.statuses.demo = status('offline')
    await gateway.clock.advance(7_000)
    expect(await ask()).toBe(200)
    await gateway.clock.advance(20_000)
    expect(await ask()).toBe(404)
  })

  it('tells an unknown live id from one that is offline', async () => {
    await using gateway = await Gateway.start()
    gateway.coordinator.statuses.demo = status('offline')
    const [offline, unknown] = [
      await gateway.get('/live/demo/index.m3u8'),
      await gateway.get('/live/nobody/720p.m3u8'),
    ]
    expect([offline.status, JSON.parse(offline.body).error]).toEqual([404, 'offline'])
    expect([unknown.status, JSON.parse(unknown.body).error]).toEqual([404, 'live-id-unknown'])
    expect(unknown.body).toContain('Unknown live id')
  })

  it('asks for the end of a broadcast where it was, for a minute', async () => {
    await using gateway = await Gateway.start()
    gateway.coordinator.statuses.demo = status('offline')
    gateway.route('demo')
    gateway.transcoder.respond = (exchange) => exchange.head(200).end('#EXT-X-ENDLIST')
    const get = (name: string) => gateway.get(`/live/demo/${name}`)
    expect((await get('720p.m3u8')).status).toBe(200)
    gateway.unroute()
    await gateway.clock.advance(1_000)
    expect(await get('720p.m3u8')).toMatchObject({ status: 200, body: '#EXT-X-ENDLIST' })
    await gateway.clock.advance(60_000)
    expect((await get('720p.m3u8')).status).toBe(404)
  })

  it('asks nobody for the end of a broadcast whose transcoder has left, or whose channel is deleted', async () => {
    await using gateway = await Gateway.start()
    gateway.coordinator.statuses.demo = status('live')
    gateway.route('demo')
    const get = async () => JSON.parse((await gateway.get('/live/demo/720p.m3u8')).body).error
    expect((await gateway.get('/live/demo/index.m3u8')).status).toBe(200)
    gateway.unroute()
    const { nodes } = gateway.snapshot
    gateway.snapshot = { ...gateway.snapshot, nodes: [] }
    expect(await get()).toBe('offline')
    gateway.snapshot = { ...gateway.snapshot, nodes }
    delete gateway.coordinator.statuses.demo
    await gateway.clock.advance(1_000)
    expect(await get()).toBe('live-id-unknown')
  })

  it('answers status.json from the coordinator, once for many', async () => {
    await using gateway = await Gateway.start()
    gateway.coordinator.statuses.demo = status('live')
    for (let n = 0; n < 5; n++) {
      const answer = await gateway.get('/live/demo/status.json')
      expect(answer).toMatchObject({ status: 200, body: '{"state":"live"}' })
      expect(answer.headers['cache-control']).toBe('public, max-age=1')
    }
    expect(gateway.coordinator.asked).toEqual(['demo'])
    expect(gateway.transcoder.requests).toEqual([])
  })

  it('answers a known live id while the coordinator is away', async () => {
    await using gateway = await Gateway.start()
    gateway.route('demo')
    gateway.coordinator.statuses.demo = { status: 503, body: '{"error":"away"}' }
    expect((await gateway.get('/live/demo/index.m3u8')).status).toBe(200)
    expect(await gateway.get('/live/demo/status.json')).toMatchObject({
      status: 503,
      body: '{"error":"away"}',
    })
  })

  it('finds a replay where the coordinator says', async () => {
    await using gateway = await Gateway.start()
    const { url } = gateway.transcoder
    const path = (name: string) => `/replay/${recording}/${name}.m3u8`
    expect((await gateway.get(path('index'))).status).toBe(404)
    await gateway.clock.advance(1_000)
    const transcoder = { id: 'tc-1', url }
    gateway.coordinator.location = { location: { id: recording, transcoder } }
    expect(await gateway.get(path('index'))).toMatchObject({ status: 200, body: 'media' })
    expect((await gateway.get(path('720p'))).status).toBe(200)
    expect(gateway.coordinator.asked).toHaveLength(2)
    await gateway.clock.advance(1_000)
    gateway.coordinator.location = {
      location: { id: recording, transcoder: { id: 'tc-1', url: null } },
    }
    const away = await gateway.get(path('480p'))
    expect([away.status, JSON.parse(away.body).error]).toEqual([503, 'recording-away'])
  })
})
