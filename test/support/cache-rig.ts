// A cache between a scripted origin and real listeners of HTTP/1.1, with the fast road and without, and HTTP/2, on a
// clock that the test turns.
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import {
  type CacheRequest,
  type CacheResponse,
  FillCache,
  type FillCacheOptions,
} from '../../common/cache/fill-cache.ts'
import { UpstreamClient } from '../../common/cache/upstream.ts'
import { silentLogger } from '../../common/log.ts'
import { Metrics } from '../../common/metrics.ts'
import {
  HttpConnections,
  type HttpConnectionsOptions,
  type HttpRoad,
} from '../../common/net/http-connections.ts'
import { FastRoad } from '../../edge/delivery/fast/fast-road.ts'
import { FakeClock } from './fake-clock.ts'
import { type Protocol, type ViewedAnswer, type ViewOptions, view } from './http-viewer.ts'
import { ScriptedOrigin } from './scripted-origin.ts'
import { until } from './until.ts'

export type Handle = (req: CacheRequest, res: CacheResponse) => void

/** Real listeners of all protocols in front of one handler. */
export class Listeners implements AsyncDisposable {
  readonly #servers: Record<Protocol, Server>
  readonly #http: HttpConnections[] = []
  readonly #open = new Set<Socket>()

  private constructor(handle: Handle, road: () => HttpRoad | undefined) {
    const http = (options: Pick<HttpConnectionsOptions, 'road'>) => {
      const connections = new HttpConnections({
        handlers: { onRequest: (req, res) => handle(req as CacheRequest, res as CacheResponse) },
        log: silentLogger,
        ...options,
      })
      this.#http.push(connections)
      return connections
    }
    const plain = http({})
    // Made before what it leads to is known.
    const fast = http({
      road: {
        accept: (socket, handOver) => {
          const known = road()
          if (known) known.accept(socket, handOver)
          else handOver()
        },
        stream: (...stream) => road()?.stream(...stream) === true,
        drain: () => {},
      },
    })
    this.#servers = {
      h1: this.#listener((socket) => plain.acceptHttp1(socket)),
      h2: this.#listener((socket) => plain.acceptHttp2(socket)),
      fast: this.#listener((socket) => fast.acceptHttp1(socket)),
      'fast-h2': this.#listener((socket) => fast.acceptHttp2(socket)),
    }
  }

  /** Without a road the fast ones are as the others. */
  static async start(
    handle: Handle,
    road: () => HttpRoad | undefined = () => undefined,
  ): Promise<Listeners> {
    const listeners = new Listeners(handle, road)
    for (const server of Object.values(listeners.#servers)) {
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
    }
    return listeners
  }

  url(protocol: Protocol): string {
    return `http://127.0.0.1:${(this.#servers[protocol].address() as AddressInfo).port}`
  }

  view(protocol: Protocol, path: string, options?: ViewOptions): Promise<ViewedAnswer> {
    return view(protocol, this.url(protocol), path, options)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connections of this.#http) connections[Symbol.dispose]()
    for (const socket of this.#open) socket.destroy()
    await Promise.all(
      Object.values(this.#servers).map((server) => {
        server.close()
        return once(server, 'close')
      }),
    )
  }

  #listener(accept: (socket: Socket) => void): Server {
    return createServer({ noDelay: true }, (socket) => {
      this.#open.add(socket)
      socket.once('close', () => this.#open.delete(socket))
      accept(socket)
    })
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

  /** Waits until that many fills have failed and pause before their retry, and turns the clock past it. */
  async passPause(fills = 1): Promise<void> {
    await until('the pause', async () => (await this.metric('cache_fill_retries_total')) === fills)
    await this.clock.advance(150)
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
