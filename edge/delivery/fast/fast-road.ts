// The road below node:http: HTTP/1.1 connections whose requests are simple are answered from the cache by bare writes,
// with heads that were written once. Everything else on such a connection goes to node:http, untouched.
import type { Socket } from 'node:net'
import type { CacheMetrics } from '../../../common/cache/cache-metrics.ts'
import type { FillCache, Opened } from '../../../common/cache/fill-cache.ts'
import type { MediaObject } from '../../../common/cache/media-path.ts'
import type { Clock, Timer } from '../../../common/clock.ts'
import {
  defaultHttpLimits,
  type Http1Road,
  type HttpLimits,
} from '../../../common/net/http-connections.ts'
import { FastConnection } from './fast-connection.ts'
import { PreparedHeads } from './prepared-heads.ts'
import { type HeaderFacts, SimpleGets } from './simple-get.ts'

export interface FastRoadOptions {
  /** Of the cache, in Cache-Status. */
  name: string
  cache: Pick<FillCache, 'find' | 'metrics' | 'compress'>
  clock: Clock
  limits?: Partial<HttpLimits>
  /** False: this request is not to be answered here. */
  allows?: (socket: Socket) => boolean
  /** Hears of each answer as it begins. */
  onAnswered?: (connection: FastConnection, answer: FastAnswer) => void
}

export interface FastAnswer {
  media: MediaObject
  status: number
  agent: string
}

const checkEveryMs = 1_000

export class FastRoad implements Http1Road, Disposable {
  readonly heads: PreparedHeads
  readonly requests = new SimpleGets()
  readonly limits: HttpLimits
  readonly clock: Clock
  readonly metrics: CacheMetrics
  readonly compress: boolean
  readonly #options: FastRoadOptions
  readonly #connections = new Set<FastConnection>()
  #checks: Timer | undefined
  #isDraining = false

  constructor(options: FastRoadOptions) {
    this.#options = options
    this.clock = options.clock
    this.metrics = options.cache.metrics
    this.compress = options.cache.compress
    this.heads = new PreparedHeads(options)
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

  find(target: string, { socket }: FastConnection): Opened | undefined {
    if (this.#options.allows?.(socket) === false) return undefined
    return this.#options.cache.find(target)
  }

  answered(connection: FastConnection, opened: Opened, status: number, facts: HeaderFacts): void {
    const { media } = opened.object.target
    this.metrics.requested(opened.outcome, media.kind, status)
    this.#options.onAnswered?.(connection, { media, status, agent: facts.agent })
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

  #check(): void {
    const now = this.now()
    for (const connection of this.#connections) connection.check(now)
  }
}
