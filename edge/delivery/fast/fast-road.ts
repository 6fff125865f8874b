// The road below node:http: simple requests are answered from the cache with heads that were written once, on HTTP/1.1
// connections by bare writes, on HTTP/2 by bare streams. Everything else goes to node:http and node:http2, untouched.
import type { Http2Session, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import type { CacheMetrics } from '../../../common/cache/cache-metrics.ts'
import type { FillCache, Opened } from '../../../common/cache/fill-cache.ts'
import type { MediaObject } from '../../../common/cache/media-path.ts'
import type { Clock, Timer } from '../../../common/clock.ts'
import {
  defaultHttpLimits,
  type HttpLimits,
  type HttpRoad,
} from '../../../common/net/http-connections.ts'
import { FastConnection } from './fast-connection.ts'
import { FastStream, simpleTarget } from './fast-stream.ts'
import { PreparedAnswers, toHttp1, toHttp2 } from './prepared-answers.ts'
import { SimpleGets } from './simple-get.ts'

export interface FastRoadOptions {
  /** Of the cache, in Cache-Status. */
  name: string
  cache: Pick<FillCache, 'find' | 'metrics' | 'compress'>
  clock: Clock
  limits?: Partial<HttpLimits>
  /** False: this request is not to be answered here. */
  allows?: (socket: Ends) => boolean
  /** Hears of each answer as it begins. */
  onAnswered?: (viewed: Viewed, answer: FastAnswer) => void
}

type Ends = Pick<Socket, 'remoteAddress' | 'remotePort' | 'localAddress' | 'localPort'>

/** Where an answer goes, with what is remembered of who is there. */
export interface Viewed {
  readonly socket: Ends
  viewer?: { agent: string; viewer: string } | undefined
}

export interface FastAnswer {
  media: MediaObject
  status: number
  agent: string
}

const checkEveryMs = 1_000

export class FastRoad implements HttpRoad, Disposable {
  readonly http1
  readonly http2
  readonly requests = new SimpleGets()
  readonly limits: HttpLimits
  readonly clock: Clock
  readonly metrics: CacheMetrics
  readonly compress: boolean
  readonly #options: FastRoadOptions
  readonly #connections = new Set<FastConnection>()
  readonly #sessions = new WeakMap<Http2Session, Viewed>()
  #checks: Timer | undefined
  #isDraining = false

  constructor(options: FastRoadOptions) {
    this.#options = options
    this.clock = options.clock
    this.metrics = options.cache.metrics
    this.compress = options.cache.compress
    this.http1 = new PreparedAnswers(options, toHttp1)
    this.http2 = new PreparedAnswers(options, toHttp2)
    this.limits = { ...defaultHttpLimits, ...options.limits }
  }

  /** Connections that are here, and not with node:http. */
  get connections(): number {
    return this.#connections.size
  }

  now(): number {
    return this.clock.monotonic()
  }

  accept(socket: Socket, handOver: () => void): void {
    if (this.#isDraining) {
      handOver()
      return
    }
    this.#connections.add(new FastConnection(this, socket, handOver))
    this.#checks ??= this.clock.setInterval(() => this.#check(), checkEveryMs)
  }

  stream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, hasBody: boolean): boolean {
    const { session } = stream
    const target = simpleTarget(headers, hasBody)
    if (!session || target === undefined) return false
    const viewed = this.#viewedBy(session)
    const opened = this.find(target, viewed)
    if (!opened) return false
    new FastStream(this, stream, viewed, headers).serve(opened)
    return true
  }

  drain(): void {
    this.#isDraining = true
    for (const connection of this.#connections) connection.close()
  }

  [Symbol.dispose](): void {
    this.drain()
    this.#checks?.cancel()
    this.#checks = undefined
  }

  // What follows is for its connections.

  find(target: string, { socket }: Pick<Viewed, 'socket'>): Opened | undefined {
    if (this.#options.allows?.(socket) === false) return undefined
    return this.#options.cache.find(target)
  }

  answered(viewed: Viewed, opened: Opened, status: number, agent: string): void {
    const { media } = opened.object.target
    this.metrics.requested(opened.outcome, media.kind, status)
    this.#options.onAnswered?.(viewed, { media, status, agent })
  }

  sent(bytes: number): void {
    this.metrics.sent(bytes)
  }

  left(connection: FastConnection): void {
    this.#connections.delete(connection)
    if (this.#connections.size > 0) return
    this.#checks?.cancel()
    this.#checks = undefined
  }

  /** The socket of a session is a proxy: a third of the cost of a small answer when it is asked every time. */
  #viewedBy(session: Http2Session): Viewed {
    const known = this.#sessions.get(session)
    if (known) return known
    const { localAddress = '', localPort = 0, remoteAddress = '', remotePort = 0 } = session.socket
    const viewed: Viewed = { socket: { localAddress, localPort, remoteAddress, remotePort } }
    this.#sessions.set(session, viewed)
    return viewed
  }

  #check(): void {
    const now = this.now()
    for (const connection of this.#connections) connection.check(now)
  }
}
