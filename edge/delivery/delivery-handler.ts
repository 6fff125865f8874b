// What an edge answers over HTTP: media from the cache, time, health and the watch page. Media is fetched from
// the gateway that the hash of its live id gives, the next one when that cannot be reached or takes long. Where the
// edges of a POP share, the owner of a segment among them comes first (peers.ts).
//
// Nothing of a viewer's request goes upstream but what the cache key holds, and nothing here upgrades.

import { corsHeaders } from '../../common/cache/answer-headers.ts'
import type { ObjectTarget } from '../../common/cache/cache-key.ts'
import { UpstreamMetrics } from '../../common/cache/cache-metrics.ts'
import { maxReportedLives, type Top, type Why } from '../../common/cache/cache-report.ts'
import { errorAnswer, type LocalAnswer } from '../../common/cache/error-answer.ts'
import type { Resolution } from '../../common/cache/fill.ts'
import {
  type Answered,
  type CacheRequest,
  type CacheResponse,
  FillCache,
  type ThreadsOfCache,
} from '../../common/cache/fill-cache.ts'
import { endWhole } from '../../common/cache/responder.ts'
import { UpstreamClient } from '../../common/cache/upstream.ts'
import type { Clock } from '../../common/clock.ts'
import { liveIdSchema } from '../../common/contract/channel.ts'
import type { Logger } from '../../common/log.ts'
import type { Metrics } from '../../common/metrics.ts'
import type { HostList } from '../../common/net/host-list.ts'
import type { HttpLimits, HttpRoad } from '../../common/net/http-connections.ts'
import type { MutualTls } from '../../common/net/mutual-tls.ts'
import type { EdgeConfig } from '../../config/schema.ts'
import type { RequestPace } from '../admission/request-pace.ts'
import type { AccessLog } from './access-log.ts'
import { why } from './control.ts'
import { watchExchange } from './exchange-watch.ts'
import { type FastAnswer, FastRoad, type Viewed } from './fast/fast-road.ts'
import { asksPeer, type Peers, refuseMisdirected, saysPeer } from './peers.ts'
import { chooseEncoding, type StaticFile, type StaticPages } from './static-pages.ts'
import { gaugeViewers, type ViewerBook, ViewerCounter } from './viewer-counter.ts'

export interface DeliveryOptions {
  /** Name in Cache-Status: the node's id. */
  name: string
  cache: Pick<EdgeConfig['cache'], 'memoryBytes' | 'maxObjectBytes'> &
    Partial<Pick<EdgeConfig['cache'], 'maxWaiters'>>
  upstream: Pick<EdgeConfig['upstream'], 'connectTimeoutMs' | 'waitTargetDurations'>
  /** Towards gateways that are reached by mutual TLS. */
  tls?: MutualTls | undefined
  /** Base URLs of gateways in the order of trying, for a live id or the id of a recording. */
  pickGateways: (id: string) => readonly string[]
  /** The edges that this one shares with. */
  peers?: Peers | undefined
  /** A node token for gateways. */
  authorize: () => Promise<string>
  isReady: () => boolean
  pages: StaticPages
  clock: Clock
  log: Logger
  metrics: Metrics
  accessLog?: AccessLog | undefined
  /** Address of the viewer; default the socket's. */
  addressOf?: (req: Pick<Viewed, 'socket'>) => string
  /** Without it everybody may ask as often as they like. */
  pace?: Pick<RequestPace, 'allows' | 'wouldAllow'>
  /** Of connections, as the front door has them. */
  limits?: Partial<HttpLimits>
  /** Without it any host is served. */
  hosts?: HostList | undefined
  /** Where viewers are counted elsewhere, over several handlers. */
  viewers?: ViewerBook
  threads?: ThreadsOfCache
}

const targetDurationMs = 4_000
/** A viewer counts for 15 s: who asks several times a second need not be counted each time. */
const seenAgainMs = 1_000
// The gateway waits nearly as long: its answer, which names the reason, must come before we give up.
const graceMs = 500
/** Other edges carry out a purge within a second (coordinator); what they have until then is not asked for. */
const distrustMs = 10_000
/** An origin that says nothing for so long is taken for gone: of what it has at once, and of what it may hold back. */
const patienceMs = { atOnce: 4_000, held: 8_000 }

const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob:",
  "media-src 'self' blob:",
  "connect-src 'self'",
  "font-src 'self'",
  "worker-src 'self' blob:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'self'",
].join('; ')

/** Part of the contract, but not served by this version. */
const notYet =
  /^\/(?:t\/|live\/[a-z0-9_-]+(?:\.flv$|\/(?:dvr\.m3u8|storyboard\.vtt|thumbnail\.(?:jpg|png)|preview\.(?:webp|gif))$)|replay\/[0-9a-f-]+\/download\.mp4$)/

export class DeliveryHandler implements AsyncDisposable {
  readonly #options: DeliveryOptions
  readonly #upstream: UpstreamClient
  readonly #cache: FillCache
  readonly #counter: ViewerCounter
  readonly #viewers: ViewerBook
  readonly #road: FastRoad
  readonly #addressOf: (req: Pick<Viewed, 'socket'>) => string
  /** Of purges a moment ago, with the end of that moment. */
  #purged: { prefix: string; until: number }[] = []
  #pages: StaticPages

  constructor(options: DeliveryOptions) {
    this.#options = options
    this.#pages = options.pages
    this.#addressOf = options.addressOf ?? ((req) => req.socket.remoteAddress ?? '')
    const { clock, log, metrics, upstream } = options
    this.#counter = new ViewerCounter({ clock })
    this.#viewers = options.viewers ?? this.#counter
    if (!options.viewers) gaugeViewers(metrics, this.#counter)
    this.#upstream = new UpstreamClient({
      clock,
      log,
      connectTimeoutMs: upstream.connectTimeoutMs,
      metrics: new UpstreamMetrics(metrics),
      ...(options.tls && { tls: options.tls }),
    })
    this.#cache = new FillCache({
      name: options.name,
      maxBytes: options.cache.memoryBytes,
      maxObjectBytes: options.cache.maxObjectBytes,
      ...(options.cache.maxWaiters !== undefined && { maxWaiters: options.cache.maxWaiters }),
      waitMs: upstream.waitTargetDurations * targetDurationMs + graceMs,
      compress: true,
      liveAware: true,
      clock,
      log,
      metrics,
      resolve: (target, ...known) => this.#resolve(target, ...known),
      upstream: this.#upstream,
      ...(options.threads && { threads: options.threads }),
    })
    this.#road = new FastRoad({
      name: options.name,
      cache: this.#cache,
      clock,
      ...(options.limits && { limits: options.limits }),
      hosts: options.hosts,
      pace: options.pace,
      accessLog: options.accessLog,
      addressOf: this.#addressOf,
      onAnswered: (viewed, answer) => this.#countFast(viewed, answer),
    })
  }

  /** Answers most requests of HTTP/1.1 before node:http reads them. */
  get road(): HttpRoad {
    return this.#road
  }

  /** Body bytes of media sent to viewers since the start. */
  get bytesOut(): number {
    return this.#cache.bytesOut
  }

  /** For the links to other threads, which ask it for the objects that it fills. */
  get cache(): Pick<FillCache, 'follow' | 'forgetMirror' | 'outdateMirrors' | 'adoptMirrors'> {
    return this.#cache
  }

  purge(prefix: string): number {
    const now = this.#options.clock.monotonic()
    // The new one lasts longer than those of the same prefix.
    const others = this.#purged.filter((it) => it.until > now && it.prefix !== prefix)
    this.#purged = [...others, { prefix, until: now + distrustMs }]
    return this.#cache.purge(prefix)
  }

  /** What a GET of this URL would get now, and why. */
  why(url: string): Why {
    const { name, pickGateways } = this.#options
    return why({ name, cache: this.#cache, pickGateways, pageAt }, url)
  }

  /** What is going on; `instance` is new with every start of the process. */
  top(instance: string): Top {
    const { name, clock } = this.#options
    return {
      node: name,
      role: 'edge',
      instance,
      atMs: clock.monotonic(),
      ...this.#cache.counts(maxReportedLives),
      viewers: this.#counter.counts(),
    }
  }

  /** Takes a new build of the watch page. */
  setPages(pages: StaticPages): void {
    this.#pages = pages
  }

  /** For the `request` event of HTTP/1.1 and HTTP/2 servers. */
  handle(req: CacheRequest, res: CacheResponse): void {
    const { accessLog, clock, pace } = this.#options
    const entry = accessLog?.samples()
      ? watchExchange(accessLog, req, res, { address: this.#addressOf(req), clock })
      : undefined
    if (pace && !pace.allows(this.#addressOf(req))) {
      this.#send(req, res, tooMany)
      return
    }
    const path = pathOf(req)
    const isRead = req.method === 'GET' || req.method === 'HEAD'
    const page = isRead ? this.#page(req, path) : undefined
    if (page) this.#send(req, res, page)
    else if (this.#options.peers && saysPeer(req)) {
      void this.#answerPeer(this.#options.peers, req, res, path)
    }
    // The cache answers all else: media, preflights, wrong methods, malformed and unknown paths.
    else {
      this.#cache.handle(req, res, (answer) => {
        if (entry) entry.outcome = answer.outcome
        this.#count(req, answer)
      })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#road[Symbol.dispose]()
    await this.#cache[Symbol.asyncDispose]()
    await this.#upstream[Symbol.asyncDispose]()
  }

  async #resolve(target: ObjectTarget, hasStored: boolean, isAhead: boolean): Promise<Resolution> {
    const peer = this.#peerFor(target)
    const gateways = this.#options.pickGateways(target.media.id)
    const authorization = `Bearer ${await this.#options.authorize()}`
    const isAtOnce = isAnsweredAtOnce(target, hasStored)
    return {
      origins: peer === undefined ? gateways : [peer, ...gateways],
      headers: { authorization, ...(peer !== undefined && asksPeer) },
      // A segment that is not known to be whole may still be held back: few are, and those for a moment.
      mayHedge: isAtOnce || (target.media.kind === 'segment' && !isAhead),
      ...(isAtOnce && { patienceMs: patienceMs.atOnce }),
      ...(!isAtOnce && peer !== undefined && { patienceMs: patienceMs.held }),
    }
  }

  /** Not one that may still have what was purged here. */
  #peerFor(target: ObjectTarget): string | undefined {
    const { clock, peers } = this.#options
    const now = clock.monotonic()
    const isPurged = this.#purged.some(
      ({ prefix, until }) => until > now && target.key.startsWith(prefix),
    )
    return isPurged ? undefined : peers?.toAsk(target)
  }

  async #answerPeer(
    peers: Peers,
    req: CacheRequest,
    res: CacheResponse,
    path: string,
  ): Promise<void> {
    let hasLeft = false
    res.once('close', () => {
      hasLeft = true
    })
    const isAdmitted = await peers.admits(req, path).catch(() => false)
    if (hasLeft) return
    if (isAdmitted) this.#cache.handlePeer(req, res)
    else refuseMisdirected(res)
  }

  #count(req: CacheRequest, answer: Answered): void {
    if (!countsAsViewing(answer)) return
    const agent = req.headers['user-agent'] ?? ''
    this.#viewers.seen(answer.media.id, this.#viewers.viewerOf(this.#addressOf(req), agent))
  }

  #countFast(viewed: Viewed, answer: FastAnswer): void {
    if (!countsAsViewing(answer)) return
    const { agent, media } = answer
    if (viewed.viewer?.agent !== agent) {
      const viewer = this.#viewers.viewerOf(this.#addressOf(viewed), agent)
      viewed.viewer = { agent, viewer, liveId: '', seenAt: 0 }
    }
    const { viewer } = viewed
    const now = this.#options.clock.monotonic()
    if (viewer.liveId === media.id && now - viewer.seenAt < seenAgainMs) return
    viewer.liveId = media.id
    viewer.seenAt = now
    this.#viewers.seen(media.id, viewer.viewer)
  }

  #send(req: CacheRequest, res: CacheResponse, page: Page): void {
    // Both kinds of response have this call, with signatures that no one type fits.
    const { writeHead } = res as { writeHead(status: number, headers: string[]): unknown }
    writeHead.call(res, page.status, [...page.headers, 'content-length', String(page.body.length)])
    if (req.method === 'HEAD') res.end()
    else endWhole(res, page.body, this.#cache.deadlines)
  }

  /** Whatever is not media. */
  #page(req: CacheRequest, path: string): Page | undefined {
    switch (path) {
      case '/time':
        return text(200, new Date(this.#options.clock.now()).toISOString())
      case '/livez':
        return text(200, 'ok\n')
      case '/readyz':
        return this.#options.isReady() ? text(200, 'ok\n') : text(503, 'not ready\n')
      case '/':
        return text(200, frontPage(this.#options.name))
    }
    if (path.startsWith('/assets/')) {
      const asset = this.#pages.get(path)
      return asset && file(req, asset, 'public, max-age=31536000, immutable')
    }
    if (path.startsWith('/watch/') && liveIdSchema.safeParse(path.slice(7)).success) {
      const watchPage = this.#pages.get('/index.html')
      return watchPage ? file(req, watchPage, 'no-cache') : error(pageMissing)
    }
    return notYet.test(path) ? error(notServedYet) : undefined
  }
}

/** What answers a path that is no media, in words. */
function pageAt(path: string): string | undefined {
  if (path === '/time') return 'the time of this node, never stored'
  if (path === '/livez' || path === '/readyz') return 'the health of this node, never stored'
  if (path === '/') return 'the front page of this node'
  if (path.startsWith('/assets/')) return 'a file of the watch page, from memory'
  if (path.startsWith('/watch/')) return 'the watch page, from memory'
  return notYet.test(path)
    ? 'a 404: this kind of playback is not served by this version'
    : undefined
}

function countsAsViewing({ media, status }: Pick<Answered, 'media' | 'status'>): boolean {
  if (media.scope !== 'live' || (status !== 200 && status !== 304)) return false
  const { kind } = media
  return kind === 'media-playlist' || kind === 'mpd' || kind === 'multivariant'
}

/** What is live may be held back by a gateway: until it is there, or until anything is listed at all. */
function isAnsweredAtOnce({ media, blocking }: ObjectTarget, hasStored: boolean): boolean {
  if (media.scope === 'replay' || media.kind === 'init' || media.kind === 'status') return true
  return !blocking && hasStored
}

interface Page {
  status: number
  headers: string[]
  body: Buffer
}

const pageMissing = errorAnswer(
  404,
  'page-not-built',
  'The watch page is not built on this node: npm run build.',
)
const notServedYet = errorAnswer(
  404,
  'not-served-yet',
  'This kind of playback is not served by this version.',
)

// A 503, though RFC 6585 has 429 for this: hls.js takes any 4xx for the last word on a URL and gives the rendition up,
// a 503 it tries again.
const tooManyAnswer = error(
  errorAnswer(
    503,
    'too-many-requests',
    'Too many requests come from this address, or too much is sent to it.',
  ),
)
const tooMany: Page = { ...tooManyAnswer, headers: [...tooManyAnswer.headers, 'retry-after', '1'] }

function frontPage(name: string): string {
  return `This is the Nearcast POP ${name}.\nWatch a channel at /watch/{liveId}.\n`
}

function pathOf(req: CacheRequest): string {
  const { url = '' } = req
  const mark = url.indexOf('?')
  return mark < 0 ? url : url.slice(0, mark)
}

function text(status: number, content: string): Page {
  const headers = ['content-type', 'text/plain; charset=utf-8', 'cache-control', 'no-store']
  return { status, headers: [...headers, ...corsHeaders], body: Buffer.from(content) }
}

function error(answer: LocalAnswer): Page {
  const headers = ['content-type', 'application/json', 'cache-control', 'no-store', ...corsHeaders]
  return { status: answer.status, headers, body: Buffer.from(answer.body) }
}

function file(req: CacheRequest, content: StaticFile, cacheControl: string): Page {
  const { coding, body } = chooseEncoding(content, String(req.headers['accept-encoding'] ?? ''))
  const headers = [
    'content-type',
    content.contentType,
    'cache-control',
    cacheControl,
    'vary',
    'accept-encoding',
    'x-content-type-options',
    'nosniff',
    'content-security-policy',
    contentSecurityPolicy,
    'referrer-policy',
    'same-origin',
    ...(coding ? ['content-encoding', coding] : []),
  ]
  return { status: 200, headers, body }
}
