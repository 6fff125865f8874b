// What an edge answers over HTTP: media from the cache, time, health and the watch page. Media is fetched from
// the gateway that the hash of its live id gives, the next one when that cannot be reached or takes long. Where the
// edges of a POP share, the owner of a segment among them comes first (peers.ts).
//
// Nothing of a viewer's request goes upstream but what the cache key holds, and nothing here upgrades.

import { corsHeaders } from '../../common/cache/answer-headers.ts'
import type { ObjectTarget } from '../../common/cache/cache-key.ts'
import { UpstreamMetrics } from '../../common/cache/cache-metrics.ts'
import { errorAnswer, type LocalAnswer } from '../../common/cache/error-answer.ts'
import type { Resolution } from '../../common/cache/fill.ts'
import {
  type Answered,
  type CacheRequest,
  type CacheResponse,
  FillCache,
} from '../../common/cache/fill-cache.ts'
import { UpstreamClient } from '../../common/cache/upstream.ts'
import type { Clock } from '../../common/clock.ts'
import { liveIdSchema } from '../../common/contract/channel.ts'
import type { ViewerCount } from '../../common/contract/membership.ts'
import type { Logger } from '../../common/log.ts'
import type { Metrics } from '../../common/metrics.ts'
import type { HttpRoad } from '../../common/net/http-connections.ts'
import type { MutualTls } from '../../common/net/mutual-tls.ts'
import type { EdgeConfig } from '../../config/schema.ts'
import { type FastAnswer, FastRoad, type Viewed } from './fast/fast-road.ts'
import { asksPeer, type Peers, refuseMisdirected, saysPeer } from './peers.ts'
import { chooseEncoding, type StaticFile, type StaticPages } from './static-pages.ts'
import { ViewerCounter } from './viewer-counter.ts'

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
  /** Address of the viewer; default the socket's. */
  addressOf?: (req: Pick<Viewed, 'socket'>) => string
}

const targetDurationMs = 4_000
// The gateway waits nearly as long: its answer, which names the reason, must come before we give up.
const graceMs = 500
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
  readonly #viewers: ViewerCounter
  readonly #road: FastRoad
  readonly #addressOf: (req: Pick<Viewed, 'socket'>) => string
  #pages: StaticPages

  constructor(options: DeliveryOptions) {
    this.#options = options
    this.#pages = options.pages
    this.#addressOf = options.addressOf ?? ((req) => req.socket.remoteAddress ?? '')
    const { clock, log, metrics, upstream } = options
    this.#viewers = new ViewerCounter({ clock })
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
      resolve: (target, hasStored) => this.#resolve(target, hasStored),
      upstream: this.#upstream,
    })
    this.#road = new FastRoad({
      name: options.name,
      cache: this.#cache,
      clock,
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

  viewerCounts(): ViewerCount[] {
    return this.#viewers.counts()
  }

  purge(prefix: string): number {
    return this.#cache.purge(prefix)
  }

  /** Takes a new build of the watch page. */
  setPages(pages: StaticPages): void {
    this.#pages = pages
  }

  /** For the `request` event of HTTP/1.1 and HTTP/2 servers. */
  handle(req: CacheRequest, res: CacheResponse): void {
    const path = pathOf(req)
    const isRead = req.method === 'GET' || req.method === 'HEAD'
    const page = isRead ? this.#page(req, path) : undefined
    if (page) send(req, res, page)
    else if (this.#options.peers && saysPeer(req)) {
      void this.#answerPeer(this.#options.peers, req, res, path)
    }
    // The cache answers all else: media, preflights, wrong methods, malformed and unknown paths.
    else this.#cache.handle(req, res, (answer) => this.#count(req, answer))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#road[Symbol.dispose]()
    await this.#cache[Symbol.asyncDispose]()
    await this.#upstream[Symbol.asyncDispose]()
  }

  async #resolve(target: ObjectTarget, hasStored: boolean): Promise<Resolution> {
    const peer = this.#options.peers?.toAsk(target)
    const gateways = this.#options.pickGateways(target.media.id)
    const authorization = `Bearer ${await this.#options.authorize()}`
    const isAtOnce = isAnsweredAtOnce(target, hasStored)
    return {
      origins: peer === undefined ? gateways : [peer, ...gateways],
      headers: { authorization, ...(peer !== undefined && asksPeer) },
      // Of segments few are held back, and those for a moment.
      mayHedge: isAtOnce || target.media.kind === 'segment',
      ...(isAtOnce && { patienceMs: patienceMs.atOnce }),
      ...(!isAtOnce && peer !== undefined && { patienceMs: patienceMs.held }),
    }
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
      viewed.viewer = { agent, viewer }
    }
    this.#viewers.seen(media.id, viewed.viewer.viewer)
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

function countsAsViewing({ media, status }: Answered): boolean {
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

function send(req: CacheRequest, res: CacheResponse, page: Page): void {
  // Both kinds of response have this call, with signatures that no one type fits.
  const { writeHead } = res as { writeHead(status: number, headers: string[]): unknown }
  writeHead.call(res, page.status, [...page.headers, 'content-length', String(page.body.length)])
  if (req.method === 'HEAD') res.end()
  else res.end(page.body)
}
