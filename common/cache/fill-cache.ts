// The cache of live and replayed media, the same in edge and gateway.
//
// The life of a request, in order:
// 1. method and path are checked (media-path.ts), the target reduced to its key (cache-key.ts);
// 2. open(): a fresh stored object is a hit; else a fill under way is joined; else a fill begins (fill.ts);
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
import { CacheMetrics } from './cache-metrics.ts'
import type { Allocate, CacheObject } from './cache-object.ts'
import type { CacheOutcome } from './cache-status.ts'
import { errorAnswer, type LocalAnswer } from './error-answer.ts'
import { Fill, type FillEnd, type Resolve } from './fill.ts'
import { failureTtlMs, lifetimeOf } from './freshness.ts'
import { localObject } from './local-object.ts'
import { classify, isMalformed, type MediaObject } from './media-path.ts'
import { Mirror, type ObjectSource } from './mirror.ts'
import { ObjectFeed, type TellNews } from './object-feed.ts'
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
  /** Where several threads share what they hold. */
  threads?: ThreadsOfCache
}

/** How the caches of several threads are one: each object is filled by one of them, and mirrored by the others. */
export interface ThreadsOfCache {
  /** Memory that other threads can see. */
  allocate: Allocate
  /** Undefined where this thread fills the object. */
  ownerOf(target: ObjectTarget): ObjectSource | undefined
  /** One of ours is not to be used any more: forgotten, or outdated only. */
  left(object: CacheObject): void
  outdated(object: CacheObject): void
}

/** What open() found: the object, growing or complete, and how it came to be had. */
export interface Opened {
  object: CacheObject
  outcome: CacheOutcome
  /** For a stored object: how long it stays fresh. */
  freshMs?: number | undefined
}

export interface Answered {
  media: MediaObject
  status: number
}

export type CacheRequest = IncomingMessage | Http2ServerRequest
export type CacheResponse = ServerResponse | Http2ServerResponse

const defaultMaxFills = 4_096
const overloaded = errorAnswer(503, 'overloaded', 'Too much is being fetched at the moment.')

export class FillCache implements AsyncDisposable {
  readonly #options: FillCacheOptions
  readonly #clock: Clock
  readonly #log: Logger
  readonly #metrics: CacheMetrics
  readonly #store: ObjectStore
  readonly #fills = new Map<string, Fill | Mirror>()
  readonly #responder: Responder

  constructor(options: FillCacheOptions) {
    this.#options = options
    this.#clock = options.clock
    this.#log = options.log
    this.#metrics = new CacheMetrics(options.metrics, () => ({
      bytes: this.#store.bytes,
      objects: this.#store.count,
      fills: this.#fills.values().reduce((sum, fill) => sum + (fill instanceof Fill ? 1 : 0), 0),
      readers: this.#fills.values().reduce((sum, fill) => sum + fill.object.readers, 0),
    }))
    this.#store = new ObjectStore({
      maxBytes: options.maxBytes,
      onEvicted: () => this.#metrics.evicted(),
      onLeft: ({ object, isMirror }) => {
        if (!isMirror) options.threads?.left(object)
      },
    })
    this.#responder = new Responder({
      name: options.name,
      clock: options.clock,
      metrics: this.#metrics,
      compress: options.compress === true,
    })
  }

  /** Body bytes handed to downstream connections since the start. */
  get bytesOut(): number {
    return this.#metrics.bytesOut
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

  /** Undefined when too many fills are under way. `isHere`: not by another thread, whoever should. */
  open(target: ObjectTarget, isHere = false): Opened | undefined {
    const { key } = target
    const now = this.#clock.monotonic()
    const stored = this.#store.get(key)
    if (stored) {
      const freshMs = stored.freshUntil - now
      if (freshMs > 0) return { object: stored.object, outcome: 'hit', freshMs }
      if (now < stored.retryAt && now < stored.staleUntil) {
        return { object: stored.object, outcome: 'stale-hit', freshMs }
      }
    }
    const running = this.#fills.get(key)
    if (running) return { object: running.object, outcome: 'collapsed' }
    if (this.#fills.size >= (this.#options.maxFills ?? defaultMaxFills)) return undefined
    const owner = isHere ? undefined : this.#options.threads?.ownerOf(target)
    if (owner) return this.#mirror(target, owner)
    return {
      object: this.#fill(target, stored).object,
      outcome: stored ? 'expired' : 'miss',
    }
  }

  /** For another thread: tells how the object grows that is opened, and filled, here whoever should. */
  follow(target: ObjectTarget, tell: TellNews): { leave(): void } {
    const { key } = target
    if (this.#fills.get(key) instanceof Mirror) this.#fills.delete(key)
    if (this.#store.get(key)?.isMirror) this.#store.delete(key)
    const opened = this.open(target, true) ?? this.#overloaded(target)
    const keptAs = (object: CacheObject) => {
      const stored = this.#store.get(key)
      if (stored?.object !== object) return undefined
      return { freshUntil: stored.freshUntil, staleUntil: stored.staleUntil }
    }
    const feed = new ObjectFeed(opened, { keptAs, tell })
    feed.start()
    return feed
  }

  /** What another thread tells of an object of its own. */
  forgetMirror(key: string): void {
    if (this.#store.get(key)?.isMirror) this.#store.delete(key)
  }

  outdateMirror(key: string): void {
    const stored = this.#store.get(key)
    if (stored?.isMirror) stored.freshUntil = Math.min(stored.freshUntil, this.#clock.monotonic())
  }

  /** Forgets every object whose path starts so, also those that are just arriving; answers how many, without mirrors. */
  purge(prefix: string): number {
    let arriving = 0
    for (const [key, fill] of this.#fills) {
      if (!key.startsWith(prefix)) continue
      fill.storable = false
      this.#fills.delete(key)
      if (fill instanceof Fill) arriving++
    }
    return this.#store.purge(prefix) + arriving
  }

  /** Ends what is under way; whoever disposes has drained before. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const fill of [...this.#fills.values()]) fill.abandon()
    this.#store.clear()
  }

  #fill(target: ObjectTarget, stored: StoredObject | undefined): Fill {
    const { resolve, upstream, waitMs, maxObjectBytes } = this.#options
    const fill: Fill = new Fill({
      target,
      stored,
      resolve,
      upstream,
      clock: this.#clock,
      waitMs,
      maxObjectBytes,
      allocate: this.#options.threads?.allocate,
      onEnd: (end, failure) => {
        if (failure) {
          const facts = { key: target.key, end, reason: failure.reason, detail: failure.detail }
          this.#log.warn(facts, 'a fill failed')
        }
        this.#ended(fill, stored, end)
      },
    })
    this.#fills.set(target.key, fill)
    fill.start()
    return fill
  }

  #mirror(target: ObjectTarget, source: ObjectSource): Opened {
    const { key } = target
    const mirror = new Mirror({
      target,
      source,
      now: () => this.#clock.monotonic(),
      nextSource: (lost) => this.#sourceAfter(lost),
      onEnd: (ended, kept) => {
        const isCurrent = this.#fills.get(key) === ended
        if (isCurrent) this.#fills.delete(key)
        if (!isCurrent || !kept || !ended.storable) return
        const { object } = ended
        this.#store.set(key, { object, ...kept, retryAt: 0, isMirror: true })
      },
    })
    this.#fills.set(key, mirror)
    mirror.start()
    const now = () => this.#clock.monotonic()
    // What the other thread found is known once it answers, which is before these are read.
    return {
      object: mirror.object,
      get outcome() {
        return mirror.outcome ?? 'miss'
      },
      get freshMs() {
        return mirror.outcome === 'hit' && mirror.kept ? mirror.kept.freshUntil - now() : undefined
      },
    }
  }

  /** Who goes on with what a dead thread was filling: another one, or this one. */
  #sourceAfter(mirror: Mirror): ObjectSource {
    const { target } = mirror.object
    const owner = this.#options.threads?.ownerOf(target)
    if (owner) return owner
    // Its readers stay with the mirror; the object is this cache's own from now on.
    if (this.#fills.get(target.key) === mirror) this.#fills.delete(target.key)
    return { open: (_target, { tell }) => this.follow(target, tell) }
  }

  #overloaded(target: ObjectTarget): Opened {
    const allocate = this.#options.threads?.allocate
    const object = localObject(target, overloaded, { now: this.#clock.monotonic(), allocate })
    return { object, outcome: 'miss' }
  }

  #ended(fill: Fill, stored: StoredObject | undefined, end: FillEnd): void {
    const { object } = fill
    const { key, media } = object.target
    const now = this.#clock.monotonic()
    // A purge has already taken it out, and its place may be taken.
    if (this.#fills.get(key) === fill) this.#fills.delete(key)
    this.#metrics.filled(end, media.kind, {
      seconds: (now - fill.startedAt) / 1000,
      bytes: object.size,
    })
    if (end === 'substituted' && stored) stored.retryAt = now + failureTtlMs
    const { head } = object
    // The end of a body that nothing delimits cannot be told from a lost connection.
    if (end !== 'complete' || !head?.isDelimited || !fill.storable) return
    if (object.target.blocking && head.status === 200) this.#outdate(object.target.path, now)
    if (fill.isMemory && !(object.policy.isImmutable && head.status === 200)) return
    const { freshMs, staleMs } = lifetimeOf(object.policy, head)
    if (freshMs === 0 && staleMs === 0) return
    if (object.size > this.#options.maxBytes) return
    this.#store.set(key, {
      object,
      freshUntil: now + freshMs,
      staleUntil: now + staleMs,
      retryAt: now,
    })
  }

  /** A held-back answer tells of a newer version: who asks without a position must not get the one before. */
  #outdate(path: string, now: number): void {
    const stored = this.#store.get(path)
    if (!stored) return
    stored.freshUntil = Math.min(stored.freshUntil, now)
    if (!stored.isMirror) this.#options.threads?.outdated(stored.object)
  }
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
