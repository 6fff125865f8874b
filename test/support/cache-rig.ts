// A cache between a scripted origin and real listeners of HTTP/1.1, with the fast road and without, and HTTP/2, on a
// clock that the test turns.
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { createServer as createHttp2Server, type Http2Server } from 'node:http2'
import {
  type AddressInfo,
  createServer as createNetServer,
  type Server as NetServer,
} from 'node:net'
import {
  type CacheRequest,
  type CacheResponse,
  FillCache,
  type FillCacheOptions,
} from '../../common/cache/fill-cache.ts'
import { UpstreamClient } from '../../common/cache/upstream.ts'
import { silentLogger } from '../../common/log.ts'
import { Metrics } from '../../common/metrics.ts'
import type { Http1Road } from '../../common/net/http-connections.ts'
import { FastRoad } from '../../edge/delivery/fast/fast-road.ts'
import { FakeClock } from './fake-clock.ts'
import { type Protocol, type ViewedAnswer, type ViewOptions, view } from './http-viewer.ts'
import { ScriptedOrigin } from './scripted-origin.ts'

export type Handle = (req: CacheRequest, res: CacheResponse) => void

/** Real listeners of all protocols in front of one handler. */
export class Listeners implements AsyncDisposable {
  readonly #h1: Server
  readonly #h2: Http2Server
  readonly #fast: NetServer
  readonly #open = new Set<{ destroy(): void }>()

  private constructor(handle: Handle, road: () => Http1Road | undefined) {
    this.#h1 = createServer(handle)
    this.#h2 = createHttp2Server(handle)
    this.#h2.on('session', (session) => this.#open.add(session))
    this.#fast = createNetServer({ noDelay: true }, (socket) => {
      this.#open.add(socket)
      socket.on('error', () => {})
      const handOver = () => this.#h1.emit('connection', socket)
      const fast = road()
      if (fast) fast.accept(socket, handOver)
      else handOver()
    })
  }

  static async start(
    handle: Handle,
    road: () => Http1Road | undefined = () => undefined,
  ): Promise<Listeners> {
    const listeners = new Listeners(handle, road)
    for (const server of [listeners.#h1, listeners.#h2, listeners.#fast]) {
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
    }
    return listeners
  }

  url(protocol: Protocol): string {
    const server = { h1: this.#h1, h2: this.#h2, fast: this.#fast }[protocol]
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  view(protocol: Protocol, path: string, options?: ViewOptions): Promise<ViewedAnswer> {
    return view(protocol, this.url(protocol), path, options)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#h1.close()
    this.#h1.closeAllConnections()
    for (const connection of this.#open) connection.destroy()
    this.#h2.close()
    this.#fast.close()
    await Promise.all([this.#h1, this.#h2, this.#fast].map((server) => once(server, 'close')))
  }
}

export class CacheRig implements AsyncDisposable {
  readonly clock = new FakeClock()
  readonly metrics = new Metrics('edge', 'pop-1', '0')
  readonly origin: ScriptedOrigin
  readonly listeners: Listeners
  readonly cache: FillCache
  readonly road: FastRoad
  readonly #upstream: UpstreamClient

  private constructor(
    origin: ScriptedOrigin,
    listeners: Listeners,
    options: Partial<FillCacheOptions>,
  ) {
    this.origin = origin
    const { clock, metrics } = this
    this.#upstream = new UpstreamClient({ clock, log: silentLogger, connectTimeoutMs: 2_000 })
    this.cache = new FillCache({
      name: 'pop-1',
      maxBytes: 32 * 1024 * 1024,
      maxObjectBytes: 16 * 1024 * 1024,
      waitMs: 12_000,
      clock,
      log: silentLogger,
      metrics,
      resolve: () => ({ origins: [origin.url] }),
      upstream: this.#upstream,
      ...options,
    })
    this.road = new FastRoad({ name: 'pop-1', cache: this.cache, clock })
    this.listeners = listeners
  }

  static async start(options: Partial<FillCacheOptions> = {}): Promise<CacheRig> {
    const origin = await ScriptedOrigin.start()
    const listeners: Listeners = await Listeners.start(
      (req, res) => rig.cache.handle(req, res),
      () => rig.road,
    )
    const rig = new CacheRig(origin, listeners, options)
    return rig
  }

  view(protocol: Protocol, path: string, options?: ViewOptions): Promise<ViewedAnswer> {
    return this.listeners.view(protocol, path, options)
  }

  async metric(name: string, labels: Record<string, string> = {}): Promise<number> {
    const json = await this.metrics.registry.getMetricsAsJSON()
    const found = json.find((metric) => metric.name === `nearcast_${name}`)
    const value = found?.values.find((entry) =>
      Object.entries(labels).every(
        ([label, wanted]) => (entry.labels as Record<string, unknown>)[label] === wanted,
      ),
    )
    return value?.value ?? 0
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.road[Symbol.dispose]()
    await this.cache[Symbol.asyncDispose]()
    await this.#upstream[Symbol.asyncDispose]()
    await this.listeners[Symbol.asyncDispose]()
    await this.origin[Symbol.asyncDispose]()
  }
}
