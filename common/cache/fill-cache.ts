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
import { type CacheBound, type CacheCounts, CacheMetrics, PeerMetrics } from './cache-metrics.ts'
import type { Allocate, CacheObject, Crowd } from './cache-object.ts'
import type { CacheOutcome } from './cache-status.ts'
import { errorAnswer } from './error-answer.ts'
import { Fill, type FillEnd, type FillOptions, type Resolve } from './fill.ts'
import { failureTtlMs, lifetimeOf } from './freshness.ts'
import { type Inspection, inspected } from './inspection.ts'
import { LivePlaylists } from './live/live-playlists.ts'
import type { Prefetched } from './live/live-prefetch.ts'
import { localObject } from './local-object.ts'
import type { MediaObject } from './media-path.ts'
import { Mirror, type ObjectSource } from './mirror.ts'
import { ObjectFeed, type TellNews } from './object-feed.ts'
import { ObjectStore, type StoredObject } from './object-store.ts'
import { readTarget, requestTarget } from './request-target.ts'
import { Responder, type ResponderOptions } from './responder.ts'
import { SendDeadlines } from './send-deadlines.ts'
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
  /** Where several threads share what they hold. */
  threads?: ThreadsOfCache
}

/** How the caches of several threads are one: each object is filled by one of them, and mirrored by the others. */
export interface ThreadsOfCache {
  /** Memory that other threads can see. */
  allocate: Allocate
  /** Undefined where this thread fills the object. */
  ownerOf(target: ObjectTarget): ObjectSource | undefined
  /** One of ours is not to be used any more. */
  left(object: CacheObject): void
  /** There is something newer than what was told of this path. */
  outdated(path: string): void
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
  outcome: CacheOutcome
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
  /** Of all that is sent from here. */
  readonly deadlines: SendDeadlines
  readonly compress: boolean
  readonly #store: ObjectStore
  /** Those that may be joined. */
  readonly #fills = new Map<string, Fill | Mirror>()
  /** Those and the ones that a purge has taken out. */
  readonly #underWay = new Set<Fill | Mirror>()
  /** Keys of the mirrors of each playlist that are stored. */
  readonly #mirrors = new Map<string, Set<string>>()
  readonly #crowd: Crowd = { readers: 0 }
  readonly #responder: Responder
  readonly #live: LivePlaylists | undefined
  #peerResponder: Responder | undefined
  /** Why open() refused, where a bound is why. */
  #boundReached: CacheBound | undefined

  constructor(options: FillCacheOptions) {
    this.#options = options
    this.compress = options.compress === true
    this.#clock = options.clock
    this.deadlines = new SendDeadlines(options.clock)
    this.#log = options.log
    this.#crowd.onFault = (err) => this.#log.error({ err }, 'an answer failed')
    this.metrics = new CacheMetrics(options.metrics, () => ({
      bytes: this.#store.bytes,
      objects: this.#store.count,
      fills: this.#underWay.values().reduce((sum, it) => sum + (it instanceof Fill ? 1 : 0), 0),
      readers: this.#crowd.readers,
    }))
    this.#store = new ObjectStore({
      maxBytes: options.maxBytes,
      onEvicted: (reason) => this.metrics.evicted(reason),
      onLeft: ({ object, mirrorOf }) => {
        if (mirrorOf) this.#forgetKey(object.target)
        else options.threads?.left(object)
      },
    })
    this.#responder = this.#responderOf(this.metrics, this.compress)
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
    this.#peerResponder ??= this.#responderOf(new PeerMetrics(this.#options.metrics), false)
    this.#handle(this.#peerResponder, req, res)
  }

  #responderOf(metrics: ResponderOptions['metrics'], compress: boolean): Responder {
    const { name, clock } = this.#options
    return new Responder({ name, clock, deadlines: this.deadlines, metrics, compress })
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
    else {
      if (this.#boundReached) this.metrics.refused(this.#boundReached)
      responder.refuse(req, res, overloaded, ['retry-after', '1'])
    }
  }

  /** For a GET of this target, as sent; undefined where only `handle` can answer. */
  find(target: string): Opened | undefined {
    const stored = this.#store.get(target)
    const freshMs = stored ? stored.freshUntil - this.#clock.monotonic() : 0
    if (stored && freshMs > 0) return hit(stored, freshMs)
    const named = readTarget(target)
    return 'refused' in named ? undefined : this.open(named)
  }

  /** Undefined when too many fills are under way, or too many wait. `isHere`: not by another thread, whoever should. */
  open(target: ObjectTarget, isHere = false): Opened | undefined {
    const { key } = target
    const now = this.#clock.monotonic()
    this.#boundReached = undefined
    const stored = this.#store.get(key)
    if (stored) {
      const freshMs = stored.freshUntil - now
      if (freshMs > 0) return hit(stored, freshMs)
      if (now < stored.retryAt && now < stored.staleUntil) {
        return { object: stored.object, outcome: 'stale-hit', freshMs }
      }
    }
    const owner = isHere ? undefined : this.#options.threads?.ownerOf(target)
    if (!owner && this.#live?.concerns(target.media)) {
      const opened = this.#live.open(target)
      if (opened !== 'opaque') return opened
    }
    const running = this.#fills.get(key)
    if (this.#isRefused(running ? this.#waitersBound(running.object) : this.#fillsBound)) {
      return undefined
    }
    if (owner && !running) return this.#mirror(target, owner)
    if (running) {
      running.object.isUnread = false
      return { object: running.object, outcome: 'collapsed' }
    }
    return {
      object: this.#fill(target, stored).object,
      outcome: stored ? 'expired' : 'miss',
    }
  }

  /** For another thread: tells how the object grows that is opened, and filled, here whoever should. */
  follow(target: ObjectTarget, tell: TellNews): { leave(): void } {
    const { key } = target
    const { threads } = this.#options
    if (this.#fills.get(key) instanceof Mirror) this.#fills.delete(key)
    if (this.#store.get(key)?.mirrorOf) this.#store.delete(key)
    const now = this.#clock.monotonic()
    const opened = this.open(target, true) ?? {
      object: localObject(target, overloaded, { now, allocate: threads?.allocate }),
      outcome: 'miss',
    }
    const freshMs = opened.outcome === 'hit' ? (opened.freshMs ?? 0) : 0
    const feed = new ObjectFeed(opened, {
      allocate: threads?.allocate ?? Buffer.allocUnsafeSlow,
      keptAs: (object) => {
        const stored = this.#store.get(key)
        if (stored?.object === object) {
          return { freshUntil: stored.freshUntil, staleUntil: stored.staleUntil }
        }
        // Of a live playlist, which is not in the store.
        return freshMs > 0 ? { freshUntil: now + freshMs, staleUntil: now + freshMs } : undefined
      },
      tell,
    })
    feed.start()
    return feed
  }

  /** What another thread tells of an object of its own. */
  forgetMirror(key: string): void {
    if (this.#store.get(key)?.mirrorOf) this.#store.delete(key)
  }

  /** As `forgetMirror`, for all that was asked of a path, at whatever position. */
  outdateMirrors(path: string): void {
    for (const key of [...(this.#mirrors.get(path) ?? [])]) this.forgetMirror(key)
  }

  /** That thread is no more: what is mirrored of it is this cache's own. */
  adoptMirrors(source: ObjectSource): void {
    this.#store.adopt(source)
  }

  /** What open() would find, for people who ask why. */
  inspect(target: ObjectTarget): Inspection {
    const { key, blocking } = target
    const now = this.#clock.monotonic()
    const stored = this.#store.peek(key)
    const fill = this.#fills.get(key)
    const isFresh = stored !== undefined && stored.freshUntil > now
    const live = isFresh ? undefined : this.#live?.inspect(target)
    return inspected({ now, blocking, stored, fill, live, isFull: this.#isFull })
  }

  /** What is counted, with at most so many live ids and recordings. */
  counts(maxLives: number): CacheCounts {
    return this.metrics.counts(maxLives)
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
    return this.#store.purge(prefix) + arriving + (this.#live?.purge(prefix) ?? 0)
  }

  /** Ends what is under way; whoever disposes has drained before. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#live?.end()
    for (const fill of [...this.#underWay]) fill.abandon()
    this.#store.clear()
    this.deadlines[Symbol.dispose]()
  }

  /** `object`: what the next one would wait for, where others already do. */
  #waitersBound(object: CacheObject | undefined): CacheBound | undefined {
    const { maxWaiters, maxReadersPerFill } = this.#options
    if (this.#crowd.readers >= (maxWaiters ?? defaultMaxWaiters)) return 'waiters'
    const maxReaders = maxReadersPerFill ?? defaultMaxReadersPerFill
    return object && object.readers >= maxReaders ? 'readers' : undefined
  }

  get #fillsBound(): CacheBound | undefined {
    const hasRoom = this.#underWay.size < (this.#options.maxFills ?? defaultMaxFills)
    return this.#waitersBound(undefined) ?? (hasRoom ? undefined : 'fills')
  }

  get #isFull(): boolean {
    return this.#underWay.size >= (this.#options.maxFills ?? defaultMaxFills)
  }

  #isRefused(bound: CacheBound | undefined): boolean {
    this.#boundReached = bound
    return bound !== undefined
  }

  #livePlaylists(): LivePlaylists {
    const { clock, metrics } = this.#options
    return new LivePlaylists({
      clock,
      metrics,
      io: {
        ask: (target, ended, earlier) => {
          if (this.#isFull) return undefined
          const stored = earlier ? undefined : this.#store.get(target.key)
          return this.#fill(target, stored, { ended, earlier })
        },
        prefetch: (target) => this.#prefetch(target),
        keep: (object) => this.#keep(object),
        mayWait: (object) => !this.#isRefused(this.#waitersBound(object)),
        crowd: this.#crowd,
      },
    })
  }

  #prefetch(target: ObjectTarget): Prefetched | undefined {
    const { key } = target
    if (this.#fillsBound || this.#fills.has(key) || this.#store.get(key)) return undefined
    const fill = this.#fill(target, undefined)
    fill.object.isUnread = true
    return fill
  }

  /** `rendition`: it is handed to the one that asks, and not stored here. */
  #fill(
    target: ObjectTarget,
    stored: StoredObject | undefined,
    rendition?: {
      ended: (object: CacheObject) => void
      earlier: FillOptions['earlier']
    },
  ): Fill {
    const { resolve, upstream, waitMs, maxObjectBytes, random } = this.#options
    const fill: Fill = new Fill({
      target,
      stored,
      earlier: rendition?.earlier,
      resolve,
      isAhead: this.#live?.isAhead(target) === true,
      upstream,
      clock: this.#clock,
      waitMs,
      maxObjectBytes,
      allocate: this.#options.threads?.allocate,
      crowd: this.#crowd,
      random: random ?? Math.random,
      onRetry: (reason) => this.metrics.retried(reason),
      onEnd: (end, failure) => {
        if (failure) {
          const facts = { key: target.key, end, reason: failure.reason, detail: failure.detail }
          this.#log.warn(facts, 'a fill failed')
        }
        this.#ended(fill, stored, end)
        // Before those who waited for it can ask for what comes next.
        if (rendition) this.#options.threads?.outdated(target.path)
        rendition?.ended(fill.object)
      },
    })
    fill.storable = rendition === undefined
    this.#fills.set(target.key, fill)
    this.#underWay.add(fill)
    fill.start()
    return fill
  }

  #mirror(target: ObjectTarget, source: ObjectSource): Opened {
    const { key, path, media } = target
    const now = () => this.#clock.monotonic()
    const mirror = new Mirror({
      target,
      source,
      now,
      crowd: this.#crowd,
      nextSource: (lost) => this.#sourceAfter(lost),
      onEnd: (ended, kept) => {
        this.#underWay.delete(ended)
        const isCurrent = this.#fills.get(key) === ended
        if (isCurrent) this.#fills.delete(key)
        if (!isCurrent || !kept || !ended.storable) return
        const { object } = ended
        this.#store.set(key, { object, ...kept, retryAt: 0, mirrorOf: ended.source })
        if (object.policy.isImmutable || media.kind === 'status') return
        const keys = this.#mirrors.get(path)
        if (keys) keys.add(key)
        else this.#mirrors.set(path, new Set([key]))
      },
    })
    this.#fills.set(key, mirror)
    this.#underWay.add(mirror)
    mirror.start()
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

  #forgetKey({ key, path }: ObjectTarget): void {
    const keys = this.#mirrors.get(path)
    if (keys?.delete(key) && keys.size === 0) this.#mirrors.delete(path)
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
    this.#options.threads?.outdated(path)
  }
}

function hit({ object }: StoredObject, freshMs: number): Opened {
  object.isUnread = false
  return { object, outcome: 'hit', freshMs }
}
