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
import { type ObjectTarget, targetOf } from './cache-key.ts'
import { type CacheCounts, CacheMetrics } from './cache-metrics.ts'
import type { CacheObject } from './cache-object.ts'
import type { CacheOutcome } from './cache-status.ts'
import { errorAnswer, type LocalAnswer } from './error-answer.ts'
import { Fill, type FillEnd, type Resolve } from './fill.ts'
import { failureTtlMs, lifetimeOf } from './freshness.ts'
import { LivePlaylists } from './live/live-playlists.ts'
import type { Prefetched } from './live/live-prefetch.ts'
import type { LiveInspection } from './live/live-rendition.ts'
import { classify, isMalformed, type MediaObject } from './media-path.ts'
import { ObjectStore, type StoredObject } from './object-store.ts'
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
  outcome: CacheOutcome
}

/** What is here of one object, without touching it; plain data. */
export interface Inspection {
  /** What the next request would get. */
  next: 'hit' | 'stale-hit' | 'too-far' | 'held' | 'joins' | 'fill' | 'overloaded'
  stored?: {
    status: number
    bytes: number
    ageSeconds: number
    /** Negative: for so long no longer. */
    freshMs: number
    /** For so long it may still stand in for an upstream that fails; negative: no more. */
    staleMs: number
    isImmutable: boolean
    cacheControl: string | undefined
  }
  fill?: {
    state: 'waiting' | 'growing'
    sinceMs: number
    status: number | undefined
    bytes: number
    length: number | undefined
    readers: number
    isHeld: boolean
    origins: string[]
  }
  /** Of a playlist or MPD that is read here. */
  live?: LiveInspection
}

export type CacheRequest = IncomingMessage | Http2ServerRequest
export type CacheResponse = ServerResponse | Http2ServerResponse

const defaultMaxFills = 4_096
const overloaded = errorAnswer(503, 'overloaded', 'Too much is being fetched at the moment.')

export class FillCache implements AsyncDisposable {
  readonly #options: FillCacheOptions
  readonly #clock: Clock
  readonly #log: Logger
  readonly metrics: CacheMetrics
  readonly compress: boolean
  readonly #store: ObjectStore
  readonly #fills = new Map<string, Fill>()
  readonly #responder: Responder
  readonly #live: LivePlaylists | undefined

  constructor(options: FillCacheOptions) {
    this.#options = options
    this.compress = options.compress === true
    this.#clock = options.clock
    this.#log = options.log
    this.metrics = new CacheMetrics(options.metrics, () => ({
      bytes: this.#store.bytes,
      objects: this.#store.count,
      fills: this.#fills.size,
      readers:
        this.#fills.values().reduce((sum, fill) => sum + fill.object.readers, 0) +
        (this.#live?.readers ?? 0),
    }))
    this.#store = new ObjectStore({
      maxBytes: options.maxBytes,
      onEvicted: (reason) => this.metrics.evicted(reason),
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
    if (req.method === 'OPTIONS') {
      this.#responder.preflight(res)
      return
    }
    const target = checkRequest(req)
    if ('refused' in target) {
      this.#responder.refuse(req, res, target.refused, target.headers)
      return
    }
    const opened = this.open(target)
    if (opened) this.#responder.serve(req, res, opened, answered)
    else this.#responder.refuse(req, res, overloaded, ['retry-after', '1'])
  }

  /** For a GET of this target, as sent; undefined where only `handle` can answer. */
  find(target: string): Opened | undefined {
    const stored = this.#store.get(target)
    const freshMs = stored ? stored.freshUntil - this.#clock.monotonic() : 0
    if (stored && freshMs > 0) return hit(stored, freshMs)
    const named = readTarget(target)
    return 'refused' in named ? undefined : this.open(named)
  }

  /** Undefined when too many fills are under way. */
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
    if (this.#live?.concerns(target.media)) {
      const opened = this.#live.open(target)
      if (opened !== 'opaque') return opened
    }
    const running = this.#fills.get(key)
    if (running) {
      running.object.isUnread = false
      return { object: running.object, outcome: 'collapsed' }
    }
    if (this.#isFull) return undefined
    return {
      object: this.#fill(target, stored).object,
      outcome: stored ? 'expired' : 'miss',
    }
  }

  /** What open() would find, for people who ask why. */
  inspect(target: ObjectTarget): Inspection {
    const { key, blocking } = target
    const now = this.#clock.monotonic()
    const stored = this.#store.peek(key)
    const fill = this.#fills.get(key)
    const isFresh = stored !== undefined && stored.freshUntil > now
    const live = isFresh ? undefined : this.#live?.inspect(target)
    return {
      next: live?.next ?? this.#next(now, stored, fill),
      ...(live && { live }),
      ...(stored && {
        stored: {
          status: stored.object.head!.status,
          bytes: stored.object.size,
          ageSeconds: stored.object.ageSeconds(now),
          freshMs: Math.round(stored.freshUntil - now),
          staleMs: Math.round(stored.staleUntil - now),
          isImmutable: stored.object.policy.isImmutable,
          cacheControl: stored.object.head!.cacheControl,
        },
      }),
      ...(fill && {
        fill: {
          state: fill.object.state === 'waiting' ? 'waiting' : 'growing',
          sinceMs: Math.round(now - fill.startedAt),
          status: fill.object.head?.status,
          bytes: fill.object.size,
          length: fill.object.length,
          readers: fill.object.readers,
          isHeld: blocking && fill.object.state === 'waiting',
          origins: [...fill.origins],
        },
      }),
    }
  }

  /** What is counted, with at most so many live ids and recordings. */
  counts(maxLives: number): CacheCounts {
    return this.metrics.counts(maxLives)
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

  #next(now: number, stored: StoredObject | undefined, fill: Fill | undefined): Inspection['next'] {
    if (stored && stored.freshUntil > now) return 'hit'
    if (stored && now < stored.retryAt && now < stored.staleUntil) return 'stale-hit'
    if (fill) return 'joins'
    return this.#fills.size >= (this.#options.maxFills ?? defaultMaxFills) ? 'overloaded' : 'fill'
  }

  /** Ends what is under way; whoever disposes has drained before. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#live?.end()
    for (const fill of [...this.#fills.values()]) fill.abandon()
    this.#store.clear()
  }

  get #isFull(): boolean {
    return this.#fills.size >= (this.#options.maxFills ?? defaultMaxFills)
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
    const { resolve, upstream, waitMs, maxObjectBytes } = this.#options
    const fill: Fill = new Fill({
      target,
      stored,
      resolve,
      upstream,
      clock: this.#clock,
      waitMs,
      maxObjectBytes,
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
    fill.start()
    return fill
  }

  #ended(fill: Fill, stored: StoredObject | undefined, end: FillEnd): void {
    const { object } = fill
    const { key, media } = object.target
    const now = this.#clock.monotonic()
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

interface Refused {
  refused: LocalAnswer
  headers?: string[]
}

/** Everything that is wrong with a request before the cache is asked. */
function checkRequest(req: CacheRequest): ObjectTarget | Refused {
  const { method, url = '', headers } = req
  if (method !== 'GET' && method !== 'HEAD') {
    const refused = errorAnswer(405, 'method-not-allowed', 'Use GET, HEAD or OPTIONS.')
    return { refused, headers: ['allow', 'GET, HEAD, OPTIONS'] }
  }
  // A body could be taken for the next request by somebody on the way.
  if (headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0') {
    const refused = errorAnswer(400, 'body-not-allowed', 'This request may not have a body.')
    return { refused, headers: ['connection', 'close'] }
  }
  return readTarget(url)
}

function readTarget(url: string): ObjectTarget | Refused {
  const mark = url.indexOf('?')
  const path = mark < 0 ? url : url.slice(0, mark)
  const media = classify(path)
  if (!media) {
    return {
      refused: isMalformed(path)
        ? errorAnswer(400, 'path-malformed', 'No URL of this server is written like this.')
        : errorAnswer(404, 'path-unknown', 'There is nothing under this path.'),
    }
  }
  const target = targetOf(media, path, mark < 0 ? '' : url.slice(mark + 1))
  if ('problem' in target) {
    return { refused: errorAnswer(400, 'directive-malformed', target.problem) }
  }
  return target
}
