// What a cache counts.
import type { Metrics } from '../metrics.ts'
import type { CacheOutcome } from './cache-status.ts'
import type { UpstreamFailure } from './error-answer.ts'
import type { FillEnd } from './fill.ts'
import type { ObjectKind } from './media-path.ts'

export type RequestResult = 'hit' | 'miss' | 'collapsed' | 'stale' | 'error'

/** What a cache can be full of. */
export type CacheBound = 'fills' | 'waiters' | 'readers'

const results: Record<CacheOutcome, RequestResult> = {
  hit: 'hit',
  miss: 'miss',
  expired: 'miss',
  collapsed: 'collapsed',
  stale: 'stale',
  'stale-hit': 'stale',
}

/** Read on each scrape. */
export interface CacheGauges {
  bytes: number
  objects: number
  fills: number
  readers: number
}

/** What is counted of answers. */
export interface ServingMetrics {
  requested(outcome: CacheOutcome, kind: ObjectKind, status: number): void
  /** Body bytes handed to a connection. */
  sent(bytes: number): void
}

export class CacheMetrics implements ServingMetrics {
  readonly #requests
  readonly #fills
  readonly #fillSeconds
  readonly #upstreamBytes
  readonly #downstreamBytes
  readonly #evictions
  readonly #retries
  readonly #refusals
  /** Body bytes handed to downstream connections since the start. */
  bytesOut = 0
  readonly #requestCounters = new Map<string, { inc(): void }>()

  constructor(metrics: Metrics, gauges: () => CacheGauges) {
    this.#requests = metrics.counter({
      name: 'cache_requests_total',
      help: 'Requests for media objects by what the cache did.',
      labels: ['result', 'kind'] as const,
    })
    this.#fills = metrics.counter({
      name: 'cache_fills_total',
      help: 'Objects asked of upstream, by how that ended.',
      labels: ['result', 'kind'] as const,
    })
    this.#fillSeconds = metrics.histogram({
      name: 'cache_fill_seconds',
      help: 'From the first question to the last byte of complete fills; playlists include held reloads.',
      labels: ['kind'] as const,
      buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 12],
    })
    this.#upstreamBytes = metrics.counter({
      name: 'cache_upstream_bytes_total',
      help: 'Body bytes received from upstream.',
    })
    this.#downstreamBytes = metrics.counter({
      name: 'cache_downstream_bytes_total',
      help: 'Body bytes handed to downstream connections.',
    })
    this.#evictions = metrics.counter({
      name: 'cache_evictions_total',
      help: 'Objects that left memory to make room.',
    })
    this.#retries = metrics.counter({
      name: 'cache_fill_retries_total',
      help: 'Fills that failed before an answer had begun and asked once more, by the failure.',
      labels: ['reason'] as const,
    })
    this.#refusals = metrics.counter({
      name: 'cache_refusals_total',
      help: 'Requests answered 503 because a bound was reached: fills, waiters of all fills, readers of one.',
      labels: ['bound'] as const,
    })
    const gauge = (name: string, help: string, read: (now: CacheGauges) => number) =>
      metrics.gauge({ name, help }, (made) => made.set(read(gauges())))
    gauge('cache_bytes', 'Memory taken by complete objects.', (now) => now.bytes)
    gauge('cache_objects', 'Complete objects in memory.', (now) => now.objects)
    gauge('cache_fills', 'Fills under way.', (now) => now.fills)
    gauge('cache_fill_readers', 'Requests that follow a fill under way.', (now) => now.readers)
  }

  requested(outcome: CacheOutcome, kind: ObjectKind, status: number): void {
    const result = status >= 500 ? 'error' : results[outcome]
    const key = `${result} ${kind}`
    let counter = this.#requestCounters.get(key)
    if (!counter) {
      counter = this.#requests.labels({ result, kind })
      this.#requestCounters.set(key, counter)
    }
    counter.inc()
  }

  filled(end: FillEnd, kind: ObjectKind, facts: { seconds: number; bytes: number }): void {
    this.#fills.inc({ result: end, kind })
    this.#upstreamBytes.inc(facts.bytes)
    if (end === 'complete') this.#fillSeconds.observe({ kind }, facts.seconds)
  }

  sent(bytes: number): void {
    this.bytesOut += bytes
    this.#downstreamBytes.inc(bytes)
  }

  retried(reason: UpstreamFailure): void {
    this.#retries.inc({ reason })
  }

  refused(bound: CacheBound): void {
    this.#refusals.inc({ bound })
  }

  evicted(): void {
    this.#evictions.inc()
  }
}

/** Of answers to other caches of the same tier. */
export class PeerMetrics implements ServingMetrics {
  readonly #requests
  readonly #bytes

  constructor(metrics: Metrics) {
    this.#requests = metrics.counter({
      name: 'cache_peer_requests_total',
      help: 'Requests of other edges of this POP for what is owned here, by what the cache did.',
      labels: ['result', 'kind'] as const,
    })
    this.#bytes = metrics.counter({
      name: 'cache_peer_bytes_total',
      help: 'Body bytes handed to other edges of this POP.',
    })
  }

  requested(outcome: CacheOutcome, kind: ObjectKind, status: number): void {
    this.#requests.inc({ result: status >= 500 ? 'error' : results[outcome], kind })
  }

  sent(bytes: number): void {
    this.#bytes.inc(bytes)
  }
}

/** What an upstream client asked in addition to one question each. */
export class UpstreamMetrics {
  readonly #hedges
  readonly #retries

  constructor(metrics: Metrics) {
    this.#hedges = metrics.counter({
      name: 'upstream_hedges_total',
      help: 'Answers that took long to begin, so that another origin was asked too (won, lost), or would have been (denied: over the budget).',
      labels: ['result'] as const,
    })
    this.#retries = metrics.counter({
      name: 'upstream_retries_total',
      help: 'Questions asked once more, by what came of the one before: its idle connection was closed, its origin failed, it was answered with an error, its answer broke off.',
      labels: ['cause'] as const,
    })
  }

  hedged(result: 'won' | 'lost' | 'denied'): void {
    this.#hedges.inc({ result })
  }

  retried(cause: 'idle-connection' | 'next-origin' | 'error-status' | 'resumed'): void {
    this.#retries.inc({ cause })
  }
}
