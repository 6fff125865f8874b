// Two edges of one POP that share: who asks whom, what a gateway sees of them, and what becomes of it when one dies.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ClusterAuth, createClusterAuth } from '../../../common/cluster/cluster-auth.ts'
import { silentLogger } from '../../../common/log.ts'
import { Metrics } from '../../../common/metrics.ts'
import { edgeConfigSchema } from '../../../config/schema.ts'
import { DeliveryHandler } from '../../../edge/delivery/delivery-handler.ts'
import { asksPeer, Peers } from '../../../edge/delivery/peers.ts'
import { StaticPages } from '../../../edge/delivery/static-pages.ts'
import { type Handle, Listeners } from '../../support/cache-rig.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import type { ViewOptions } from '../../support/http-viewer.ts'
import { ScriptedOrigin } from '../../support/scripted-origin.ts'
import { until } from '../../support/until.ts'

const secret = 'ncs_for_tests_only_0123456789abcdef'
const immutable = { 'cache-control': 'public, max-age=31536000, immutable' }
const segment = (number: number) => `/live/demo/abcdef12-1/720p/${number}.m4s`
const numbers = Array.from({ length: 40 }, (_, index) => index + 1)

class Edge implements AsyncDisposable {
  readonly url: string
  readonly delivery: DeliveryHandler
  readonly peers: Peers
  readonly metrics: Metrics
  readonly #listeners: Listeners

  constructor(listeners: Listeners, delivery: DeliveryHandler, peers: Peers, metrics: Metrics) {
    this.url = listeners.url('h1')
    this.delivery = delivery
    this.peers = peers
    this.metrics = metrics
    this.#listeners = listeners
  }

  view(path: string, options?: ViewOptions) {
    return this.#listeners.view('h1', path, options)
  }

  async text(path: string): Promise<string> {
    return (await this.view(path)).text()
  }

  /** Numbers of the segments that are asked for here, or there, first. */
  owns(): number[] {
    return numbers.filter((number) => this.peers.toAsk(targetOf(number)) === undefined)
  }

  async count(name: string): Promise<number> {
    const metric = this.metrics.registry.getSingleMetric(`nearcast_${name}`)
    const values = (await metric?.get())?.values ?? []
    return values.reduce((sum, { value }) => sum + value, 0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.delivery[Symbol.asyncDispose]()
    await this.#listeners[Symbol.asyncDispose]()
  }
}

function targetOf(number: number) {
  const media = { scope: 'live', id: 'demo', kind: 'segment', rendition: '720p' } as const
  return { media, path: segment(number) }
}

let clock: FakeClock
let gateway: ScriptedOrigin
let auth: ClusterAuth
let edges: Edge[]

/** What they know of each other may differ. */
async function startEdges(knows: (urls: string[], index: number) => string[]): Promise<Edge[]> {
  const handles: Handle[] = []
  const listeners = await Promise.all(
    [0, 1].map((index) => Listeners.start((req, res) => handles[index]!(req, res))),
  )
  const urls = listeners.map((it) => it.url('h1'))
  return listeners.map((it, index) => {
    const name = `pop-1${'ab'[index]}`
    const metrics = new Metrics('edge', name, '0')
    const peers = new Peers({
      self: urls[index]!,
      peers: knows(urls, index),
      allowPlain: false,
      verifyNodeToken: auth.verifyNodeToken,
    })
    const delivery = new DeliveryHandler({
      name,
      cache: { memoryBytes: 10_000_000, maxObjectBytes: 1_000_000 },
      upstream: { connectTimeoutMs: 1_000, waitTargetDurations: 3 },
      peers,
      pickGateways: () => [gateway.url],
      authorize: () => auth.issueNodeToken(name, 'edge'),
      isReady: () => true,
      pages: new StaticPages(new Map()),
      clock,
      log: silentLogger,
      metrics,
    })
    handles[index] = (req, res) => delivery.handle(req, res)
    return new Edge(it, delivery, peers, metrics)
  })
}

beforeEach(async () => {
  clock = new FakeClock(Date.now())
  auth = createClusterAuth(secret, clock)
  gateway = await ScriptedOrigin.start()
  gateway.respond = (exchange) => exchange.head(200, immutable).end(`all of ${exchange.req.url}`)
  edges = await startEdges((urls) => urls)
})

afterEach(async () => {
  for (const edge of edges) await edge[Symbol.asyncDispose]()
  await gateway[Symbol.asyncDispose]()
})

describe('two edges that share', () => {
  it('ask a gateway once for each object, whoever is asked for it', async () => {
    const [one, other] = edges as [Edge, Edge]
    const answers = numbers.flatMap((number) =>
      edges.map(async (edge) => [number, await edge.text(segment(number))] as const),
    )
    for (const [number, text] of await Promise.all(answers)) {
      expect(text).toBe(`all of ${segment(number)}`)
    }
    expect(gateway.requests.toSorted()).toEqual(numbers.map(segment).toSorted())
    const shares = [one.owns().length, other.owns().length]
    expect(shares[0]! + shares[1]!).toBe(numbers.length)
    expect(await one.count('cache_peer_requests_total')).toBe(shares[0])
    expect(await other.count('cache_peer_requests_total')).toBe(shares[1])
  })

  it('stream what is still growing through the owner', async () => {
    gateway.respond = undefined
    const [one, other] = edges as [Edge, Edge]
    const number = one.owns()[0]!
    const views = [other.view(segment(number)), one.view(segment(number))]
    const exchange = await gateway.next()
    exchange.head(200, immutable).write('first ')
    for (const view of views) expect((await (await view).bytes(6)).toString()).toBe('first ')
    exchange.end('last')
    for (const view of views) expect(await (await view).text()).toBe('first last')
    const { headers } = await other.view(segment(number))
    expect(headers['cache-status']).toMatch(/^pop-1a; fwd=miss; .*, pop-1b; hit/)
    expect(gateway.requests).toHaveLength(1)
  })

  it('go on by the gateways when the owner is killed', async () => {
    const [one, other] = edges as [Edge, Edge]
    const [first, ...rest] = one.owns()
    expect(await other.text(segment(first!))).toContain('all of')
    await one[Symbol.asyncDispose]()
    edges = [other]
    for (const number of rest) {
      expect(await other.text(segment(number))).toBe(`all of ${segment(number)}`)
    }
    expect(gateway.requests).toEqual([first!, ...rest].map(segment))
  })

  it('go on in the middle of an object when its owner is killed', async () => {
    const [one, other] = edges as [Edge, Edge]
    const path = segment(one.owns()[0]!)
    gateway.respond = undefined
    const view = other.view(path)
    const exchange = await gateway.next()
    exchange.head(200, { ...immutable, 'content-length': 8 }).write('abcd')
    const answer = await view
    await answer.bytes(4)
    await one[Symbol.asyncDispose]()
    edges = [other]
    ;(await gateway.next()).head(200, { ...immutable, 'content-length': 8 }).end('abcdefgh')
    expect(await answer.rest()).toEqual({ body: Buffer.from('abcdefgh'), end: 'clean' })
  })

  it('ask a gateway as well when the owner says nothing', async () => {
    const [one, other] = edges as [Edge, Edge]
    const path = segment(one.owns()[0]!)
    gateway.respond = undefined
    const view = other.view(path)
    const held = await gateway.next()
    await clock.advance(250)
    ;(await gateway.next()).head(200, immutable).end('by the gateway')
    expect(await (await view).text()).toBe('by the gateway')
    held.head(200, immutable).end('by the gateway')
  })

  it('do not get from the owner again what was purged here, and not there yet', async () => {
    const [one, other] = edges as [Edge, Edge]
    const path = segment(one.owns()[0]!)
    await other.text(path)
    gateway.respond = (exchange) => exchange.head(200, immutable).end('after the purge')
    other.delivery.purge('/live/demo/')
    expect(await other.text(path)).toBe('after the purge')
    one.delivery.purge('/live/demo/')
    await clock.advance(10_000)
    other.delivery.purge(path)
    await clock.advance(10_000)
    expect(await other.text(path)).toBe('after the purge')
    expect(await one.count('cache_peer_requests_total')).toBe(2)
  })

  it('ask gateways themselves for what changes', async () => {
    gateway.respond = (exchange) => exchange.head(200).end('#EXTM3U')
    for (const edge of edges) await edge.text('/live/demo/720p.m3u8')
    expect(gateway.requests).toHaveLength(2)
    for (const edge of edges) expect(await edge.count('cache_peer_requests_total')).toBe(0)
  })

  it('do not take each other for viewers', async () => {
    const [one, other] = edges as [Edge, Edge]
    await other.text(segment(one.owns()[0]!))
    await until('counted', async () => (await one.count('cache_peer_bytes_total')) > 0)
    expect(one.delivery.bytesOut).toBe(0)
    expect(await one.count('cache_requests_total')).toBe(0)
    expect(one.delivery.top('').viewers).toEqual([])
  })
})

describe('who says that it is a peer', () => {
  it.each<[string, (mine: number, others: number) => Promise<[string, Record<string, string>]>]>([
    ['without a token', async (mine) => [segment(mine), {}]],
    [
      'with a token of another cluster',
      async (mine) => {
        const token = await createClusterAuth(`${secret}x`, clock).issueNodeToken('pop-9', 'edge')
        return [segment(mine), { authorization: `Bearer ${token}` }]
      },
    ],
    ['for what it owns itself', async (_, others) => [segment(others), await credential()]],
    ['for what changes', async () => ['/live/demo/720p.m3u8', await credential()]],
  ])('%s is sent elsewhere, and nobody is asked', async (_, ask) => {
    const [one, other] = edges as [Edge, Edge]
    const [path, headers] = await ask(one.owns()[0]!, other.owns()[0]!)
    const answer = await one.view(path, { headers: { ...headers, ...asksPeer } })
    expect([answer.status, await answer.text()]).toEqual([421, ''])
    expect(gateway.requests).toEqual([])
  })

  async function credential(): Promise<Record<string, string>> {
    return { authorization: `Bearer ${await auth.issueNodeToken('pop-9', 'edge')}` }
  }

  it('is asked on by nobody where two lists differ: both go to a gateway', async () => {
    for (const edge of edges) await edge[Symbol.asyncDispose]()
    // Each believes that a third one is there, and not the same one.
    const third = await Listeners.start((_, res) => {
      res.statusCode = 421
      res.end()
    })
    edges = await startEdges((urls, index) => (index === 0 ? urls : [...urls, third.url('h1')]))
    const answers = numbers.flatMap((number) => edges.map((edge) => edge.text(segment(number))))
    for (const text of await Promise.all(answers)) expect(text).toContain('all of')
    for (const number of numbers) {
      const asked = gateway.requests.filter((path) => path === segment(number)).length
      expect(asked).toBeGreaterThanOrEqual(1)
      expect(asked).toBeLessThanOrEqual(2)
    }
    await third[Symbol.asyncDispose]()
  })
})

describe('the list of peers', () => {
  const cache = (value: object) => edgeConfigSchema.shape.cache.safeParse(value)

  it('needs to say which one this edge is', () => {
    expect(cache({ peers: ['http://10.0.0.2'] }).success).toBe(false)
    expect(cache({ peers: ['http://10.0.0.2'], self: 'http://10.0.0.1' }).success).toBe(true)
    expect(cache({}).data).toMatchObject({ peers: [] })
  })

  it('is refused where a token would cross the internet in the clear', () => {
    const peers = (url: string, allowPlain = false) =>
      new Peers({ self: 'http://10.0.0.1', peers: [url], allowPlain, ...auth })
    expect(() => peers('http://8.8.8.8')).toThrow('upstream.allowPlain')
    for (const url of ['http://10.0.0.2/', 'https://8.8.8.8'])
      expect(() => peers(url)).not.toThrow()
    expect(() => peers('http://8.8.8.8', true)).not.toThrow()
  })
})
