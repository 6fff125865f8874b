// What a cache counts. Whatever happens once a request is a plain number here, to be added to and nothing else; the
// metrics of Prometheus are made from them on a scrape.
import type { Metrics } from '../metrics.ts'
import type { ObjectTarget } from './cache-key.ts'
import type { CacheOutcome } from './cache-status.ts'
import type { UpstreamFailure } from './error-answer.ts'
import type { FillEnd } from './fill.ts'
import type { Opened } from './fill-cache.ts'
import { LiveTallies, type LiveTally } from './live-tallies.ts'
import type { ObjectKind } from './media-path.ts'
import { WaitTimes } from './wait-times.ts'

export const requestResults = ['hit', 'miss', 'collapsed', 'stale', 'error'] as const
export type RequestResult = (typeof requestResults)[number]

/** What a cache can be full of. */
export type CacheBound = 'fills' | 'waiters' | 'readers'

const resultOf: Record<CacheOutcome, number> = {
  hit: 0,
  miss: 1,
  expired: 1,
  collapsed: 2,
  stale: 3,
  'stale-hit': 3,
}
const errorResult = 4

const kindRows: Record<ObjectKind, number> = {
  multivariant: 0,
  'media-playlist': 1,
  mpd: 2,
  status: 3,
  init: 4,
  segment: 5,
  part: 6,
}
const kinds = Object.keys(kindRows) as ObjectKind[]

/** `https` is HTTP/1.1 over TLS. */
export const deliveryProtocols = ['http', 'https', 'h2'] as const
export type DeliveryProtocol = (typeof deliveryProtocols)[number]
export const protocolRows: Record<DeliveryProtocol, number> = { http: 0, https: 1, h2: 2 }

export const evictionReasons = ['room', 'purge'] as const
export type EvictionReason = (typeof evictionReasons)[number]

/** Read on each scrape. */
export interface CacheGauges {
  bytes: number
  objects: number
  fills: number
  readers: number
}

/** Since the start of the process, but for what is now; plain data. */
export interface CacheCounts extends CacheGauges {
  requests: Record<RequestResult, number>
  bytesOut: Record<DeliveryProtocol, number>
  /** Requests that wait for an answer of upstream to begin, and those of them that upstream holds back. */
  waiters: number
  held: number
  lives: LiveTally[]
}

/** What is counted of answers. */
export interface ServingMetrics {
  requested(opened: Pick<Opened, 'object' | 'outcome'>, status: number): void
  /** Body bytes handed to a connection; `protocol` is a row of `protocolRows`. */
  sent(bytes: number, protocol: number, tally: LiveTally | undefined): void
  /** A request begins to wait for the head of an answer; to be called when that is over, `answered` or not. */
  waits(target: ObjectTarget): (answered: boolean, seconds: number) => void
}

export class CacheMetrics implements ServingMetrics {
  /** One number for each result and kind: see `slotOf`. */
  readonly requests = new Float64Array(requestResults.length * kinds.length)
  /** Body bytes handed to downstream connections, one number for each protocol: see `protocolRows`. */
  readonly egress = new Float64Array(deliveryProtocols.length)
  readonly tallies = new LiveTallies()
  waiters = 0
  held = 0
  readonly #evictions = { room: 0, purge: 0 }
  readonly #waits = new WaitTimes(
    kinds.length,
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 12],
  )
  readonly #gauges: () => CacheGauges
  readonly #fills
  readonly #fillSeconds
  readonly #upstreamBytes
  readonly #retries
  readonly #refusals

  constructor(metrics: Metrics, gauges: () => CacheGauges) {
    this.#gauges = gauges
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
    this.#registerFolded(metrics)
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
    gauge(
      'cache_waiters',
      'Requests that wait for an answer of upstream to begin.',
      () => this.waiters,
    )
    gauge(
      'cache_held_requests',
      'Of these, playlist reloads that upstream holds back until there is news.',
      () => this.held,
    )
  }

  get bytesOut(): number {
    return this.egress.reduce((sum, bytes) => sum + bytes, 0)
  }

  counts(maxLives: number): CacheCounts {
    return {
      ...this.#gauges(),
      requests: this.#requestsByResult(),
      bytesOut: byName(deliveryProtocols, (_name, row) => this.egress[row]!),
      waiters: this.waiters,
      held: this.held,
      lives: this.tallies.latest(maxLives),
    }
  }

  /** Where in `requests` an answer is counted. */
  slotOf(outcome: CacheOutcome, kind: ObjectKind, status: number): number {
    const result = status >= 500 ? errorResult : resultOf[outcome]
    return result * kinds.length + kindRows[kind]
  }

  requested({ object, outcome }: Pick<Opened, 'object' | 'outcome'>, status: number): void {
    const { media } = object.target
    this.requests[this.slotOf(outcome, media.kind, status)]!++
    object.tally ??= this.tallies.of(media)
    object.tally.requests++
  }

  /** A request begins to wait for the head of an answer; to be called when that is over, `answered` or not. */
  waits({ media, blocking }: ObjectTarget): (answered: boolean, seconds: number) => void {
    let isOver = false
    this.waiters++
    if (blocking) this.held++
    return (answered, seconds) => {
      if (isOver) return
      isOver = true
      this.waiters--
      if (blocking) this.held--
      if (answered) this.#waits.observe(kindRows[media.kind], seconds)
    }
  }

  filled(end: FillEnd, kind: ObjectKind, facts: { seconds: number; bytes: number }): void {
    this.#fills.inc({ result: end, kind })
    this.#upstreamBytes.inc(facts.bytes)
    if (end === 'complete') this.#fillSeconds.observe({ kind }, facts.seconds)
  }

  /** `protocol` is a row of `protocolRows`. */
  sent(bytes: number, protocol: number, tally: LiveTally | undefined): void {
    this.egress[protocol]! += bytes
    if (tally) tally.bytes += bytes
  }

  retried(reason: UpstreamFailure): void {
    this.#retries.inc({ reason })
  }

  refused(bound: CacheBound): void {
    this.#refusals.inc({ bound })
  }

  evicted(reason: EvictionReason): void {
    this.#evictions[reason]++
  }

  #requestsByResult(): Record<RequestResult, number> {
    return byName(requestResults, (_result, row) =>
      this.requests
        .subarray(row * kinds.length, (row + 1) * kinds.length)
        .reduce((sum, count) => sum + count, 0),
    )
  }

  /** Those that are kept as plain numbers. */
  #registerFolded(metrics: Metrics): void {
    metrics.foldedCounter(
      {
        name: 'cache_requests_total',
        help: 'Requests for media objects by what the cache did.',
      },
      () =>
        requestResults
          .flatMap((result, row) =>
            kinds.map((kind, column) => ({
              labels: { result, kind },
              value: this.requests[row * kinds.length + column]!,
            })),
          )
          .filter(({ value }) => value > 0),
    )
    metrics.foldedCounter(
      {
        name: 'cache_downstream_bytes_total',
        help: 'Body bytes handed to downstream connections.',
      },
      () => [{ labels: {}, value: this.bytesOut }],
    )
    metrics.foldedCounter(
      {
        name: 'egress_bytes_total',
        help: 'Body bytes of media handed to connections, by protocol.',
      },
      () =>
        deliveryProtocols.map((protocol, row) => ({
          labels: { protocol },
          value: this.egress[row]!,
        })),
    )
    metrics.foldedCounter(
      {
        name: 'cache_evictions_total',
        help: 'Objects that left memory, to make room or by a purge.',
      },
      () =>
        evictionReasons.map((reason) => ({ labels: { reason }, value: this.#evictions[reason] })),
    )
    metrics.foldedHistogram(
      {
        name: 'http_ttfb_seconds',
        help: 'From a request for media to the head of its answer; what is answered at once counts as 0.',
        bounds: this.#waits.bounds,
      },
      () =>
        kinds
          .map((kind, row) => ({
            labels: { kind },
            row: this.#waits.row(row, this.#atOnce(row)),
          }))
          .filter(({ row }) => row.count > 0),
    )
  }

  /** Answers of a kind that nobody waited for. */
  #atOnce(kindRow: number): number {
    const all = requestResults.reduce(
      (sum, _result, row) => sum + this.requests[row * kinds.length + kindRow]!,
      0,
    )
    return Math.max(0, all - this.#waits.count(kindRow))
  }
}

function byName<Name extends string>(
  names: readonly Name[],
  read: (name: Name, row: number) => number,
): Record<Name, number> {
  return Object.fromEntries(names.map((name, row) => [name, read(name, row)])) as Record<
    Name,
    number
  >
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

  requested({ object, outcome }: Pick<Opened, 'object' | 'outcome'>, status: number): void {
    const result = requestResults[status >= 500 ? errorResult : resultOf[outcome]]!
    this.#requests.inc({ result, kind: object.target.media.kind })
  }

  sent(bytes: number): void {
    this.#bytes.inc(bytes)
  }

  /** Its own viewers are told of by the edge that asks. */
  waits(): () => void {
    return () => {}
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
