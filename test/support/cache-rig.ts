// A cache between a scripted origin and real HTTP/1.1 and HTTP/2 listeners, on a clock that the test turns.
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { createServer as createHttp2Server, type Http2Server } from 'node:http2'
import type { AddressInfo } from 'node:net'
import {
  type CacheRequest,
  type CacheResponse,
  FillCache,
  type FillCacheOptions,
} from '../../common/cache/fill-cache.ts'
import { UpstreamClient } from '../../common/cache/upstream.ts'
import { silentLogger } from '../../common/log.ts'
import { Metrics } from '../../common/metrics.ts'
import { FakeClock } from './fake-clock.ts'
import { type Protocol, type ViewedAnswer, type ViewOptions, view } from './http-viewer.ts'
import { ScriptedOrigin } from './scripted-origin.ts'
import { until } from './until.ts'

export type Handle = (req: CacheRequest, res: CacheResponse) => void

/** Real listeners of both protocols in front of one handler. */
export class Listeners implements AsyncDisposable {
  readonly #h1: Server
  readonly #h2: Http2Server
  readonly #sessions = new Set<{ destroy(): void }>()

  private constructor(handle: Handle) {
    this.#h1 = createServer(handle)
    this.#h2 = createHttp2Server(handle)
    this.#h2.on('session', (session) => this.#sessions.add(session))
  }

  static async start(handle: Handle): Promise<Listeners> {
    const listeners = new Listeners(handle)
    for (const server of [listeners.#h1, listeners.#h2]) {
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
    }
    return listeners
  }

  url(protocol: Protocol): string {
    const server = protocol === 'h1' ? this.#h1 : this.#h2
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  view(protocol: Protocol, path: string, options?: ViewOptions): Promise<ViewedAnswer> {
    return view(protocol, this.url(protocol), path, options)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#h1.close()
    this.#h1.closeAllConnections()
    for (const session of this.#sessions) session.destroy()
    this.#h2.close()
    await Promise.all([once(this.#h1, 'close'), once(this.#h2, 'close')])
  }
}

export class CacheRig implements AsyncDisposable {
  readonly clock = new FakeClock()
  readonly metrics = new Metrics('edge', 'pop-1', '0')
  readonly origin: ScriptedOrigin
  readonly listeners: Listeners
  readonly cache: FillCache
  readonly #upstream: UpstreamClient

  private constructor(
    origin: ScriptedOrigin,
    listeners: (handle: Handle) => Listeners,
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
    this.listeners = listeners((req, res) => this.cache.handle(req, res))
  }

  static async start(options: Partial<FillCacheOptions> = {}): Promise<CacheRig> {
    const origin = await ScriptedOrigin.start()
    let handle: Handle = () => {}
    const listeners = await Listeners.start((req, res) => handle(req, res))
    return new CacheRig(
      origin,
      (given) => {
        handle = given
        return listeners
      },
      options,
    )
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
    await this.cache[Symbol.asyncDispose]()
    await this.#upstream[Symbol.asyncDispose]()
    await this.listeners[Symbol.asyncDispose]()
    await this.origin[Symbol.asyncDispose]()
  }
}
