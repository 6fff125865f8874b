// The road below node:http: simple requests are answered from the cache with heads that were written once, on HTTP/1.1
// connections by bare writes, on HTTP/2 by bare streams. Everything else goes to node:http and node:http2, untouched.
import type { Http2Session, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { type CacheMetrics, deliveryProtocols } from '../../../common/cache/cache-metrics.ts'
import type { CacheObject } from '../../../common/cache/cache-object.ts'
import type { FillCache, Opened } from '../../../common/cache/fill-cache.ts'
import type { MediaObject } from '../../../common/cache/media-path.ts'
import type { SendDeadlines } from '../../../common/cache/send-deadlines.ts'
import type { Clock, Timer } from '../../../common/clock.ts'
import type { HostList } from '../../../common/net/host-list.ts'
import {
  defaultHttpLimits,
  type HttpLimits,
  type HttpRoad,
} from '../../../common/net/http-connections.ts'
import type { RequestPace } from '../../admission/request-pace.ts'
import type { AccessLog } from '../access-log.ts'
import { FastConnection } from './fast-connection.ts'
import { FastStream, simpleTarget } from './fast-stream.ts'
import { LoggedAnswer } from './logged-answer.ts'
import { PreparedAnswers, toHttp1, toHttp2 } from './prepared-answers.ts'
import { SimpleGets } from './simple-get.ts'

export interface FastRoadOptions {
  /** Of the cache, in Cache-Status. */
  name: string
  cache: Pick<FillCache, 'find' | 'metrics' | 'deadlines' | 'compress'>
  clock: Clock
  limits?: Partial<HttpLimits>
  /** Where given, requests for other hosts are not answered here. */
  hosts?: HostList | undefined
  accessLog?: Pick<AccessLog, 'samples' | 'note'> | undefined
  /** Address of the viewer; default the socket's. */
  addressOf?: (viewed: Pick<Viewed, 'socket'>) => string
  /** Without it everybody may ask as often as they like. */
  pace?: Pick<RequestPace, 'allows' | 'wouldAllow'> | undefined
  /** Hears of each answer as it begins. */
  onAnswered?: (viewed: Viewed, answer: FastAnswer) => void
}

type Ends = Pick<Socket, 'remoteAddress' | 'remotePort' | 'localAddress' | 'localPort'>

export interface CountedViewer {
  agent: string
  /** As the count of viewers knows it. */
  viewer: string
  /** What it was last counted for, and when. */
  liveId: string
  seenAt: number
}

/** Where an answer goes, with what is remembered of who is there. */
export interface Viewed {
  readonly socket: Ends
  address?: string | undefined
  viewer?: CountedViewer | undefined
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
  readonly requests: SimpleGets
  readonly limits: HttpLimits
  readonly clock: Clock
  readonly metrics: CacheMetrics
  readonly deadlines: SendDeadlines
  readonly compress: boolean
  readonly #options: FastRoadOptions
  readonly #connections = new Set<FastConnection>()
  readonly #sessions = new WeakMap<Http2Session, Viewed>()
  #checks: Timer | undefined
  #drain: 'none' | 'announced' | 'ending' = 'none'

  constructor(options: FastRoadOptions) {
    this.#options = options
    this.clock = options.clock
    this.metrics = options.cache.metrics
    this.deadlines = options.cache.deadlines
    this.requests = new SimpleGets(options.hosts)
    this.compress = options.cache.compress
    this.http1 = new PreparedAnswers(options, toHttp1)
    this.http2 = new PreparedAnswers(options, toHttp2)
    this.limits = { ...defaultHttpLimits, ...options.limits }
  }

  /** Connections that are here, and not with node:http. */
  get connections(): number {
    return this.#connections.size
  }

  /** Every answer is its connection's last. */
  get isLeaving(): boolean {
    return this.#drain !== 'none'
  }

  now(): number {
    return this.clock.monotonic()
  }

  accept(socket: Socket, handOver: () => void): void {
    if (this.#drain === 'ending') {
      handOver()
      return
    }
    this.#connections.add(new FastConnection(this, socket, handOver))
    this.#checks ??= this.clock.setInterval(() => this.#check(), checkEveryMs)
  }

  stream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, hasBody: boolean): boolean {
    const { session } = stream
    const target = simpleTarget(headers, hasBody, this.#options.hosts)
    if (!session || target === undefined) return false
    const viewed = this.#viewedBy(session)
    const opened = this.find(target, viewed)
    if (!opened) return false
    new FastStream(this, stream, viewed, headers).serve(opened)
    return true
  }

  announceDrain(): void {
    this.#drain = 'announced'
  }

  drain(): void {
    this.#drain = 'ending'
    for (const connection of this.#connections) connection.close()
  }

  [Symbol.dispose](): void {
    this.drain()
    this.#checks?.cancel()
    this.#checks = undefined
  }

  // What follows is for its connections.

  find(target: string, viewed: Viewed): Opened | undefined {
    const { addressOf, cache, pace } = this.#options
    if (!pace || !addressOf) return cache.find(target)
    viewed.address ??= addressOf(viewed)
    // What is not answered here is counted, or refused, by whoever answers it.
    if (!pace.wouldAllow(viewed.address)) return undefined
    const opened = cache.find(target)
    if (opened) pace.allows(viewed.address)
    return opened
  }

  answered(viewed: Viewed, opened: Opened, status: number, agent: string): void {
    const { media } = opened.object.target
    this.metrics.requested(opened, status)
    this.#options.onAnswered?.(viewed, { media, status, agent })
  }

  /** `protocol` is a row of `protocolRows`. */
  sent(bytes: number, protocol: number, { tally }: CacheObject): void {
    this.metrics.sent(bytes, protocol, tally)
  }

  /** Undefined for what the access log does not want; else to be filled in and noted at the end. */
  logged(
    viewed: Viewed,
    target: string,
    agent: string,
    protocol: number,
  ): LoggedAnswer | undefined {
    const { accessLog, addressOf } = this.#options
    if (!accessLog?.samples()) return undefined
    return new LoggedAnswer(accessLog, this.clock, {
      target,
      agent,
      address: addressOf?.(viewed) ?? viewed.socket.remoteAddress ?? '',
      protocol: deliveryProtocols[protocol]!,
    })
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
