// The cache of live and replayed media, the same in edge and gateway.
//
// The life of a request, in order:
// 1. method and path are checked (media-path.ts), the target reduced to its key (cache-key.ts);
// 2. open(): a fresh stored object is a hit; else a fill under way is joined; else a fill begins (fill.ts). Live
//    playlists and MPDs that are looked into go by what they say: live/live-rendition.ts;
// 3. the responder waits for the head, answers conditions and ranges, and follows the object at the pace of
//    its own connection (responder.ts);
// 4. when the fill ends, lifetimeOf() decides whether and for how long the object is stored (freshness.ts).
// Rules: at most one fill per key at any time. Nothing of a request but its key reaches upstream. A stored
// object is never changed, only replaced.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { Clock } from '../clock.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { ObjectTarget } from './cache-key.ts'
import { type CacheBound, CacheMetrics, PeerMetrics } from './cache-metrics.ts'
import type { CacheObject, Crowd } from './cache-object.ts'
import type { CacheOutcome } from './cache-status.ts'
import { errorAnswer } from './error-answer.ts'
import { Fill, type FillEnd, type Resolve } from './fill.ts'
import { failureTtlMs, lifetimeOf } from './freshness.ts'
import { LivePlaylists } from './live/live-playlists.ts'
import type { Prefetched } from './live/live-prefetch.ts'
import type { MediaObject } from './media-path.ts'
import { ObjectStore, type StoredObject } from './object-store.ts'
import { readTarget, requestTarget } from './request-target.ts'
import { Responder } from './responder.ts'
import type { Upstream } from './upstream.ts'

export interface FillCacheOptions {
  /** Name of this cache in Cache-Status: the node's id. */
  name: string
  maxBytes: number
  maxObjectBytes: number
  /** Longest wait for an answer of upstream to begin, and then for more of it. */
  waitMs: number
  clock: Clock
  log: Logger
  metrics: Metrics
  resolve: Resolve
  upstream: Upstream
  maxFills?: number
  /** Who may wait for fills at the same time, for all of them and for one. */
  maxWaiters?: number
  maxReadersPerFill?: number
  /** From 0 to 1; spreads retries. */
  random?: () => number
  /** Compresses playlists and MPDs for those who take it. */
  compress?: boolean
  /** Reads live playlists: holds reloads here, one request upstream for each playlist, and fetches ahead. */
  liveAware?: boolean
}

/** What open() found: the object, growing or complete, and how it came to be had. */
export interface Opened {
  object: CacheObject
  outcome: CacheOutcome
  /** For a stored object: how long it stays fresh. */
  freshMs?: number
}

export interface Answered {
  media: MediaObject
  status: number
}

export type CacheRequest = IncomingMessage | Http2ServerRequest
export type CacheResponse = ServerResponse | Http2ServerResponse

const defaultMaxFills = 4_096
const defaultMaxWaiters = 20_000
const defaultMaxReadersPerFill = 10_000
const overloaded = errorAnswer(503, 'overloaded', 'Too much is being fetched at the moment.')

export class FillCache implements AsyncDisposable {
  readonly #options: FillCacheOptions
  readonly #clock: Clock
  readonly #log: Logger
  readonly metrics: CacheMetrics
  readonly compress: boolean
  readonly #store: ObjectStore
  /** Those that may be joined. */
  readonly #fills = new Map<string, Fill>()
  /** Those and the ones that a purge has taken out. */
  readonly #underWay = new Set<Fill>()
  readonly #crowd: Crowd = { readers: 0 }
  readonly #responder: Responder
  readonly #live: LivePlaylists | undefined
  #peerResponder: Responder | undefined

  constructor(options: FillCacheOptions) {
    this.#options = options
    this.compress = options.compress === true
    this.#clock = options.clock
    this.#log = options.log
    this.metrics = new CacheMetrics(options.metrics, () => ({
      bytes: this.#store.bytes,
      objects: this.#store.count,
      fills: this.#underWay.size,
      readers: this.#crowd.readers,
    }))
    this.#store = new ObjectStore({
      maxBytes: options.maxBytes,
      onEvicted: () => this.metrics.evicted(),
    })
    this.#responder = new Responder({
      name: options.name,
      clock: options.clock,
      metrics: this.metrics,
      compress: this.compress,
    })
    if (options.liveAware) this.#live = this.#livePlaylists()
  }

  /** Body bytes handed to downstream connections since the start. */
  get bytesOut(): number {
    return this.metrics.bytesOut
  }

  /** Answers a request for a media object, whatever its method and path. */
  handle(req: CacheRequest, res: CacheResponse, answered?: (answer: Answered) => void): void {
    this.#handle(this.#responder, req, res, answered)
  }

  /** As `handle`, for another cache of the same tier: counted apart, no viewer's. */
  handlePeer(req: CacheRequest, res: CacheResponse): void {
    this.#peerResponder ??= new Responder({
      name: this.#options.name,
      clock: this.#clock,
      metrics: new PeerMetrics(this.#options.metrics),
      compress: false,
    })
    this.#handle(this.#peerResponder, req, res)
  }

  #handle(
    responder: Responder,
    req: CacheRequest,
    res: CacheResponse,
    answered?: (answer: Answered) => void,
  ): void {
    if (req.method === 'OPTIONS') {
      responder.preflight(res)
      return
    }
    const target = requestTarget(req)
    if ('refused' in target) {
      responder.refuse(req, res, target.refused, target.headers)
      return
    }
    const opened = this.open(target)
    if (opened) responder.serve(req, res, opened, answered)
    else responder.refuse(req, res, overloaded, ['retry-after', '1'])
  }

  /** For a GET of this target, as sent; undefined where only `handle` can answer. */
  find(target: string): Opened | undefined {
    const stored = this.#store.get(target)
    const freshMs = stored ? stored.freshUntil - this.#clock.monotonic() : 0
    if (stored && freshMs > 0) return hit(stored, freshMs)
    const named = readTarget(target)
    return 'refused' in named ? undefined : this.open(named)
  }

  /** Undefined when too many fills are under way, or too many wait for them. */
  open(target: ObjectTarget): Opened | undefined {
    const { key } = target
    const now = this.#clock.monotonic()
    const stored = this.#store.get(key)
    if (stored) {
      const freshMs = stored.freshUntil - now
      if (freshMs > 0) return hit(stored, freshMs)
      if (now < stored.retryAt && now < stored.staleUntil) {
        return { object: stored.object, outcome: 'stale-hit', freshMs }
      }
    }
    const running = this.#fills.get(key)
    const bound = this.#boundReached(running)
    if (bound !== undefined) {
      this.metrics.refused(bound)
      return undefined
    }
    if (this.#live?.concerns(target.media)) {
      const opened = this.#live.open(target)
      if (opened !== 'opaque') return opened
    }
    if (running) {
      running.object.isUnread = false
      return { object: running.object, outcome: 'collapsed' }
    }
    return {
      object: this.#fill(target, stored).object,
      outcome: stored ? 'expired' : 'miss',
    }
  }

  /** Forgets every object whose path starts so, also those that are just arriving; answers how many. */
  purge(prefix: string): number {
    let arriving = 0
    for (const [key, fill] of this.#fills) {
      if (!key.startsWith(prefix)) continue
      fill.storable = false
      this.#fills.delete(key)
      arriving++
    }
    return this.#store.purge(prefix) + arriving + (this.#live?.purge(prefix) ?? 0)
  }

  /** Ends what is under way; whoever disposes has drained before. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#live?.end()
    for (const fill of [...this.#underWay]) fill.abandon()
    this.#store.clear()
  }

  #boundReached(running: Fill | undefined): CacheBound | undefined {
    const { maxFills, maxWaiters, maxReadersPerFill } = this.#options
    if (this.#crowd.readers >= (maxWaiters ?? defaultMaxWaiters)) return 'waiters'
    if (running) {
      const maxReaders = maxReadersPerFill ?? defaultMaxReadersPerFill
      return running.object.readers >= maxReaders ? 'readers' : undefined
    }
    return this.#underWay.size >= (maxFills ?? defaultMaxFills) ? 'fills' : undefined
  }

  get #isFull(): boolean {
    return this.#boundReached(undefined) !== undefined
  }

  #livePlaylists(): LivePlaylists {
    const { clock, metrics } = this.#options
    return new LivePlaylists({
      clock,
      metrics,
      io: {
        ask: (target, ended) => (this.#isFull ? undefined : this.#fill(target, undefined, ended)),
        prefetch: (target) => this.#prefetch(target),
        keep: (object) => this.#keep(object),
        crowd: this.#crowd,
      },
    })
  }

  #prefetch(target: ObjectTarget): Prefetched | undefined {
    const { key } = target
    if (this.#isFull || this.#fills.has(key) || this.#store.get(key)) return undefined
    const fill = this.#fill(target, undefined)
    fill.object.isUnread = true
    return fill
  }

  /** `taken`: it is handed to whoever asked, and not stored here. */
  #fill(
    target: ObjectTarget,
    stored: StoredObject | undefined,
    taken?: (object: CacheObject) => void,
  ): Fill {
    const { resolve, upstream, waitMs, maxObjectBytes, random } = this.#options
    const fill: Fill = new Fill({
      target,
      stored,
      resolve,
      upstream,
      clock: this.#clock,
      waitMs,
      maxObjectBytes,
      crowd: this.#crowd,
      random: random ?? Math.random,
      onRetry: (reason) => this.metrics.retried(reason),
      onEnd: (end, failure) => {
        if (failure) {
          const facts = { key: target.key, end, reason: failure.reason, detail: failure.detail }
          this.#log.warn(facts, 'a fill failed')
        }
        this.#ended(fill, stored, end)
        taken?.(fill.object)
      },
    })
    fill.storable = taken === undefined
    this.#fills.set(target.key, fill)
    this.#underWay.add(fill)
    fill.start()
    return fill
  }

  #ended(fill: Fill, stored: StoredObject | undefined, end: FillEnd): void {
    const { object } = fill
    const { key, media } = object.target
    const now = this.#clock.monotonic()
    this.#underWay.delete(fill)
    // A purge has already taken it out, and its place may be taken.
    if (this.#fills.get(key) === fill) this.#fills.delete(key)
    this.metrics.filled(end, media.kind, {
      seconds: (now - fill.startedAt) / 1000,
      bytes: object.size,
    })
    if (end === 'substituted' && stored) stored.retryAt = now + failureTtlMs
    if (end !== 'complete' || !fill.storable) return
    const isSuccess = object.head?.status === 200
    if (object.target.blocking && isSuccess) this.#outdate(object.target.path, now)
    if (fill.isMemory && !(object.policy.isImmutable && isSuccess)) return
    this.#keep(object)
  }

  #keep(object: CacheObject): void {
    const { head } = object
    // The end of a body that nothing delimits cannot be told from a lost connection.
    if (!head?.isDelimited || object.size > this.#options.maxBytes) return
    const { freshMs, staleMs } = lifetimeOf(object.policy, head)
    if (freshMs === 0 && staleMs === 0) return
    const now = this.#clock.monotonic()
    this.#store.set(object.target.key, {
      object,
      freshUntil: now + freshMs,
      staleUntil: now + staleMs,
      retryAt: now,
    })
  }

  /** A held-back answer tells of a newer version: who asks without a position must not get the one before. */
  #outdate(path: string, now: number): void {
    const stored = this.#store.get(path)
    if (stored) stored.freshUntil = Math.min(stored.freshUntil, now)
  }
}

function hit({ object }: StoredObject, freshMs: number): Opened {
  object.isUnread = false
  return { object, outcome: 'hit', freshMs }
}
