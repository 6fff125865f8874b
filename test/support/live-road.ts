// The way of a live broadcast that a test moves by hand: playback server, gateway's cache, edge's cache, with real
// connections between them and a clock that stands still.

import { FillCache } from '../../common/cache/fill-cache.ts'
import { UpstreamClient } from '../../common/cache/upstream.ts'
import { createClusterAuth } from '../../common/cluster/cluster-auth.ts'
import type { LiveBroadcast } from '../../common/live/live-broadcast.ts'
import { silentLogger } from '../../common/log.ts'
import { Metrics } from '../../common/metrics.ts'
import { FastRoad } from '../../edge/delivery/fast/fast-road.ts'
import { FeedServer } from '../../origin/transcoder/feed-server.ts'
import { PlaybackServer } from '../../origin/transcoder/playback-server.ts'
import { Listeners } from './cache-rig.ts'
import { FakeClock } from './fake-clock.ts'
import { type Protocol, type ViewedAnswer, type ViewOptions, view } from './http-viewer.ts'
import { ScriptedBroadcast, type ScriptedOptions } from './scripted-broadcast.ts'
import { until } from './until.ts'

export interface LiveRoadOptions extends ScriptedOptions {
  /** Served in place of one that is moved by hand. */
  instead?: LiveBroadcast
  file?: (take: string, rendition: string, name: string) => string | undefined
  /** Of the lease. */
  liveId?: string
  epoch?: number
  instance?: string
}

export const firstInstance = '0190f8a2-7f4e-7c3a-9b1d-2f5e8a6c4d11'

/** A playback server of one broadcast, `demo` where it has no other name. */
export class LiveStage implements AsyncDisposable {
  readonly clock = new FakeClock(Date.UTC(2026, 0, 1, 0, 0, 30))
  readonly broadcast: ScriptedBroadcast
  readonly feeds: FeedServer
  readonly server: PlaybackServer
  /** Kind, status and bytes of each answer. */
  readonly served: string[] = []

  private constructor(all: LiveRoadOptions) {
    const { file, instead, liveId: name = 'demo', epoch = 1, instance, ...options } = all
    this.broadcast = new ScriptedBroadcast(options)
    const stream = { broadcast: instead ?? this.broadcast, file: file ?? (() => undefined), epoch }
    const live = (liveId: string) => (liveId === name ? stream : undefined)
    const { clock } = this
    const sent = () => {}
    this.feeds = new FeedServer({ instance: instance ?? firstInstance, live, clock, sent })
    this.server = new PlaybackServer({
      host: '127.0.0.1',
      port: 0,
      trustedNetworks: ['127.0.0.0/8'],
      auth: createClusterAuth('ncs_for_tests_only_0123456789abcdef'),
      manifest: { targetDurationSeconds: 4 },
      clock,
      log: silentLogger,
      metrics: { served: (kind, status, size) => this.served.push(`${kind} ${status} ${size}`) },
      progress: { serve: (answer) => answer.end() },
      resumes: { receive: async () => false },
      feeds: this.feeds,
      live,
      replayFolder: async () => undefined,
    })
  }

  static async start(options: LiveRoadOptions = {}): Promise<LiveStage> {
    const stage = new LiveStage(options)
    await stage.server.start()
    return stage
  }

  get url(): string {
    return `http://127.0.0.1:${this.server.port}`
  }

  view(path: string, options?: ViewOptions): Promise<ViewedAnswer> {
    return view('h1', this.url, `/live/demo/${path}`, options)
  }

  /** Resolves when so many requests are under way here: held back, or not written to the end. */
  async underWay(count: number): Promise<void> {
    await until(`${count} under way`, () => this.server.underWay === count)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A connection that is kept alive is closed a second after the rest.
    const closed = this.server[Symbol.asyncDispose]()
    await this.clock.advance(1_000)
    await closed
  }
}

export class LiveRoad implements AsyncDisposable {
  readonly stage: LiveStage
  readonly gateway: Tier
  readonly edge: Tier
  readonly #stack: AsyncDisposableStack

  private constructor(stage: LiveStage, gateway: Tier, edge: Tier, stack: AsyncDisposableStack) {
    this.stage = stage
    this.gateway = gateway
    this.edge = edge
    this.#stack = stack
  }

  static async start(options: LiveRoadOptions = {}): Promise<LiveRoad> {
    const stack = new AsyncDisposableStack()
    const stage = stack.use(await LiveStage.start(options))
    const gateway = stack.use(await Tier.start('gw-1', stage.clock, stage.url))
    const edge = stack.use(
      await Tier.start('pop-1', stage.clock, gateway.listeners.url('h1'), true),
    )
    return new LiveRoad(stage, gateway, edge, stack)
  }

  get broadcast(): ScriptedBroadcast {
    return this.stage.broadcast
  }

  /** At the edge. */
  view(protocol: Protocol, path: string, options?: ViewOptions): Promise<ViewedAnswer> {
    return this.edge.listeners.view(protocol, `/live/demo/${path}`, options)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync()
  }
}

/** One cache with its listeners. */
class Tier implements AsyncDisposable {
  readonly listeners: Listeners
  readonly #metrics: Metrics
  readonly #stack: AsyncDisposableStack

  private constructor(listeners: Listeners, metrics: Metrics, stack: AsyncDisposableStack) {
    this.listeners = listeners
    this.#metrics = metrics
    this.#stack = stack
  }

  static async start(
    name: string,
    clock: FakeClock,
    origin: string,
    liveAware = false,
  ): Promise<Tier> {
    const stack = new AsyncDisposableStack()
    const metrics = new Metrics('edge', name, '0')
    const upstream = new UpstreamClient({ clock, log: silentLogger, connectTimeoutMs: 2_000 })
    const cache = new FillCache({
      name,
      maxBytes: 32 * 1024 * 1024,
      maxObjectBytes: 16 * 1024 * 1024,
      waitMs: 13_000,
      liveAware,
      clock,
      log: silentLogger,
      metrics,
      resolve: () => ({ origins: [origin] }),
      upstream,
    })
    const road = new FastRoad({ name, cache, clock })
    const listeners = stack.use(
      await Listeners.start(
        (req, res) => cache.handle(req, res),
        () => road,
      ),
    )
    stack.use(upstream)
    stack.use(cache)
    stack.use(road)
    return new Tier(listeners, metrics, stack)
  }

  /** Resolves when so many requests follow a fill here. */
  async followers(count: number): Promise<void> {
    await until(
      `${count} followers`,
      async () => (await this.#value('cache_fill_readers')) === count,
    )
  }

  /** Requests that reached this cache. */
  async requests(): Promise<number> {
    return await this.#value('cache_requests_total')
  }

  async #value(name: string): Promise<number> {
    const json = await this.#metrics.registry.getMetricsAsJSON()
    const found = json.find((metric) => metric.name === `nearcast_${name}`)
    return found?.values.reduce((sum, { value }) => sum + value, 0) ?? 0
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync()
  }
}
