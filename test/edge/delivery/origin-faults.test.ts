// An edge while the way to its gateways is cut for half a minute, and while they are slow and fail: what viewers get,
// and how much is asked of a gateway. Real connections, on a clock that the test turns.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLogger } from '../../../common/log.ts'
import { Metrics } from '../../../common/metrics.ts'
import { DeliveryHandler } from '../../../edge/delivery/delivery-handler.ts'
import { StaticPages } from '../../../edge/delivery/static-pages.ts'
import { Listeners } from '../../support/cache-rig.ts'
import { FakeClock, turnFor } from '../../support/fake-clock.ts'
import { type OriginExchange, ScriptedOrigin } from '../../support/scripted-origin.ts'
import { TcpProxy } from '../../support/tcp-proxy.ts'
import { until } from '../../support/until.ts'

const playlist = '/live/demo/720p.m3u8'
const immutable = { 'cache-control': 'public, max-age=31536000, immutable' }
const segment = (number: number) => `/live/demo/abcdef12-1/720p/${number}.m4s`

function answer(exchange: OriginExchange): void {
  const { url } = exchange.req
  if (url === playlist) exchange.head(200, { 'cache-control': 'max-age=1' }).end('#EXTM3U')
  else exchange.head(200, immutable).end(`all of ${url}`)
}

interface Seen {
  path: string
  status: number
  text: string
  age: number
  retryAfter: string | undefined
}

class Edge implements AsyncDisposable {
  readonly delivery: DeliveryHandler
  readonly #metrics: Metrics
  readonly #listeners: Listeners
  #sent = 0
  #arrived = 0
  #onArrival: (() => void) | undefined

  private constructor(delivery: DeliveryHandler, listeners: Listeners, metrics: Metrics) {
    this.delivery = delivery
    this.#listeners = listeners
    this.#metrics = metrics
  }

  async fills(): Promise<number> {
    const fills = this.#metrics.registry.getSingleMetric('nearcast_cache_fills_total')!
    return (await fills.get()).values.reduce((sum, { value }) => sum + value, 0)
  }

  static async start(clock: FakeClock, gateways: string[]): Promise<Edge> {
    const metrics = new Metrics('edge', 'pop-1', '0')
    const delivery = new DeliveryHandler({
      name: 'pop-1',
      cache: { memoryBytes: 10_000_000, maxObjectBytes: 1_000_000 },
      upstream: { connectTimeoutMs: 1_000, waitTargetDurations: 3 },
      pickGateways: () => gateways,
      authorize: async () => 'node-token',
      isReady: () => true,
      pages: new StaticPages(new Map()),
      clock,
      log: silentLogger,
      metrics,
    })
    let edge: Edge | undefined
    const listeners = await Listeners.start((req, res) => {
      delivery.handle(req, res)
      edge!.#arrived++
      edge!.#onArrival?.()
    })
    edge = new Edge(delivery, listeners, metrics)
    return edge
  }

  async ask(path: string): Promise<Seen> {
    this.#sent++
    const view = await this.#listeners.view('h1', path)
    const { status, headers } = view
    const text = await view.text()
    return {
      path,
      status,
      text,
      age: Number(headers.age ?? 0),
      retryAfter: headers['retry-after'],
    }
  }

  /** Whoever has asked has been heard here. */
  async heard(): Promise<void> {
    while (this.#arrived < this.#sent) {
      await new Promise<void>((resolve) => {
        this.#onArrival = resolve
      })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.delivery[Symbol.asyncDispose]()
    await this.#listeners[Symbol.asyncDispose]()
  }
}

let clock: FakeClock
let stack: AsyncDisposableStack

beforeEach(() => {
  clock = new FakeClock()
  stack = new AsyncDisposableStack()
})

afterEach(() => stack.disposeAsync())

function timesAsked(requests: string[]): Map<string, number> {
  const times = new Map<string, number>()
  for (const path of requests) times.set(path, (times.get(path) ?? 0) + 1)
  return times
}

it('serves what it has through 30 s without a gateway, and asks once for each object after it', async () => {
  const gateway = stack.use(await ScriptedOrigin.start())
  gateway.respond = answer
  const way = await TcpProxy.start({ host: '127.0.0.1', port: Number(new URL(gateway.url).port) })
  const edge = await Edge.start(clock, [`http://127.0.0.1:${way.port}`])
  stack.use(way)
  stack.use(edge)
  for (const path of [playlist, segment(1)]) expect((await edge.ask(path)).status).toBe(200)

  way.obey({ kind: 'black-hole', directions: ['up', 'down'] })
  const asked: Promise<Seen>[] = []
  for (let second = 0; second < 30; second++) {
    const cached = await Promise.all([1, 1, 1].map((number) => edge.ask(segment(number))))
    for (const seen of cached) {
      expect(seen).toMatchObject({ status: 200, text: `all of ${segment(1)}` })
    }
    asked.push(...[playlist, playlist, segment(2), segment(3)].map((path) => edge.ask(path)))
    await edge.heard()
    await clock.advance(1_000)
  }

  const before = gateway.requests.length
  way.reset()
  way.obey({ kind: 'pass' })
  const crowd = Array.from({ length: 20 }, () => [playlist, segment(2), segment(3), segment(4)])
  asked.push(...crowd.flat().map((path) => edge.ask(path)))
  const all = await turnFor(clock, Promise.all(asked))
  const times = timesAsked(gateway.requests.slice(before))
  expect([...times.keys()].sort()).toEqual([playlist, segment(2), segment(3), segment(4)].sort())
  expect(Math.max(...times.values())).toBe(1)
  for (const { status, age, retryAfter } of all) {
    if (status === 200) expect(age).toBeLessThanOrEqual(6)
    else expect([status, retryAfter]).toEqual([504, '1'])
  }
  expect(all.filter(({ status }) => status === 504).length).toBeGreaterThan(0)
  for (const { status, text, path } of all.slice(-80)) {
    expect([path, status, text]).toEqual([
      path,
      200,
      path === playlist ? '#EXTM3U' : `all of ${path}`,
    ])
  }
})

describe('gateways that take 2 s and fail three times in ten', () => {
  /** Viewers who ask for the playlist twice a second, for each segment when it is new, and again until they have it. */
  async function watch(edge: Edge): Promise<Seen[]> {
    const answers: Seen[] = []
    const has = new Set<string>()
    const waits = new Set<string>()
    for (let step = 0; step < 60; step++) {
      const newest = Math.floor(step / 4) + 1
      for (let viewer = 0; viewer < 3; viewer++) {
        void edge.ask(playlist).then((seen) => answers.push(seen))
        for (let number = Math.max(1, newest - 2); number <= newest; number++) {
          const key = `${viewer} ${number}`
          if (has.has(key) || waits.has(key)) continue
          waits.add(key)
          void edge.ask(segment(number)).then((seen) => {
            waits.delete(key)
            if (seen.status === 200) has.add(key)
            answers.push(seen)
          })
        }
      }
      await edge.heard()
      await clock.advance(500)
    }
    await turnFor(
      clock,
      until('all answers', () => clock.advance(100).then(() => waits.size === 0)),
    )
    return answers
  }

  /** Each takes 2 s, and three in ten are errors. */
  function brownOut(): (exchange: OriginExchange) => void {
    let answered = 0
    return (exchange) => {
      const fails = [1, 4, 7].includes(answered++ % 10)
      clock.setTimeout(() => {
        if (fails) exchange.head(503).end('{"error":"overloaded"}')
        else answer(exchange)
      }, 2_000)
    }
  }

  async function run(respond: (exchange: OriginExchange) => void, respondOther = respond) {
    await using gateways = new AsyncDisposableStack()
    const one = gateways.use(await ScriptedOrigin.start())
    const other = gateways.use(await ScriptedOrigin.start())
    one.respond = respond
    other.respond = respondOther
    const edge = gateways.use(await Edge.start(clock, [one.url, other.url]))
    const answers = await watch(edge)
    const requests = [...one.requests, ...other.requests]
    return { answers, requests, atOne: one.requests.length, fills: await edge.fills() }
  }

  it('are asked for no more than sound ones, and viewers see no error where there is something', async () => {
    const sound = await run(answer)
    expect(sound.answers.every(({ status }) => status === 200)).toBe(true)
    expect(
      Math.max(...timesAsked(sound.requests.filter((path) => path !== playlist)).values()),
    ).toBe(1)

    const brown = await run(brownOut())
    expect(brown.requests.length).toBeLessThanOrEqual(1.1 * sound.requests.length)
    const playlists = brown.answers.filter(({ path }) => path === playlist)
    const failed = playlists.filter(({ status }) => status !== 200)
    expect(playlists.length).toBeGreaterThan(100)
    expect(failed.length / playlists.length).toBeLessThan(0.005)
    // What is asked in addition to one question for each fill stays within its budget: ten, and a tenth.
    expect(brown.requests.length).toBeGreaterThan(brown.fills)
    expect(brown.requests.length).toBeLessThanOrEqual(1.1 * brown.fills + 10 + 0.1 * 30)
  })

  it('are left for the other where there is a sound one, and viewers see no error at all', async () => {
    const { answers, requests, atOne } = await run(brownOut(), answer)
    expect(answers.filter(({ status }) => status !== 200)).toEqual([])
    expect(atOne).toBeGreaterThan(0)
    expect(atOne).toBeLessThan(requests.length / 3)
  })
})
