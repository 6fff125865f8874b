// The origin shield: one cache in front of all transcoders. What has its home here is answered from memory. Else it
// knows from the pushed routes which gateway is a live id's home and which transcoder has it, and asks them in this
// order; it asks the coordinator for what routes do not tell, and says in a 404 which kind it is.

import type { ObjectTarget } from '../../common/cache/cache-key.ts'
import { UpstreamMetrics } from '../../common/cache/cache-metrics.ts'
import { errorAnswer } from '../../common/cache/error-answer.ts'
import type { Resolution } from '../../common/cache/fill.ts'
import type { CacheRequest, CacheResponse } from '../../common/cache/fill-cache.ts'
import { FillCache } from '../../common/cache/fill-cache.ts'
import { classify } from '../../common/cache/media-path.ts'
import { UpstreamClient } from '../../common/cache/upstream.ts'
import type { Clock } from '../../common/clock.ts'
import type { ClusterSnapshot, Route } from '../../common/contract/membership.ts'
import type { RecordingLocation } from '../../common/contract/placement.ts'
import { parsePlaybackPath } from '../../common/live/playback-path.ts'
import type { Logger } from '../../common/log.ts'
import type { Metrics } from '../../common/metrics.ts'
import type { HomeBroadcast } from './home/home-broadcast.ts'
import type { HomeStore } from './home/home-store.ts'
import { HomeUpstream, homeOrigin } from './home/home-upstream.ts'
import { asksGateway, isOfGateway, refuseMisdirected } from './shield-hop.ts'
import { AnswerMemo } from './shield-memo.ts'
import type { StandIns } from './stand-ins.ts'

/** What the shield asks of the coordinator; answers are values, also when it is away. */
export interface ShieldCoordinator {
  /** Status and JSON body of the answer for `status.json`; 404 for a live id that no channel has. */
  channelStatus(liveId: string): Promise<{ status: number; body: string }>
  recordingLocation(
    id: string,
  ): Promise<{ location: RecordingLocation } | { missing: true } | { error: string }>
}

export interface ShieldOptions {
  /** Name in Cache-Status: the node's id. */
  name: string
  cache: { memoryBytes: number; maxObjectBytes: number }
  snapshot: () => ClusterSnapshot
  /** What has its home here. */
  homes: Pick<HomeStore, 'home'>
  coordinator: ShieldCoordinator
  /** Where a live id without a route may be live while the coordinator is away. */
  standIns?: Pick<StandIns, 'playbackUrl'>
  /** True while the coordinator is not heard. */
  isAlone?: () => boolean
  /** A node token for transcoders. */
  authorize: () => Promise<string>
  clock: Clock
  log: Logger
  metrics: Metrics
}

// A transcoder holds an answer back for 12 s at most, and says why it ends the wait: its word comes before ours.
const waitMs = 12_250
const connectTimeoutMs = 2_000
/** A home that says nothing for so long is taken for gone: of what it has at once, and of what it may hold back. */
const homePatienceMs = { atOnce: 2_000, held: 8_000 }
/** Of a coordinator that is back: transcoders tell it with their next renewals what they have let in meanwhile. */
const settlingMs = 8_000
const memoMs = 500
const maxMemos = 10_000
/** As long as home and transcoder answer for a broadcast that has ended: its end is what players wait for. */
const afterglowMs = 60_000

export class Shield implements AsyncDisposable {
  readonly #options: ShieldOptions
  readonly #upstream: UpstreamClient
  readonly #home: HomeUpstream
  readonly #cache: FillCache
  readonly #statuses: AnswerMemo<{ status: number; body: string }>
  readonly #locations: AnswerMemo<Awaited<ReturnType<ShieldCoordinator['recordingLocation']>>>
  #routes: { of: ClusterSnapshot; byLiveId: ReadonlyMap<string, Route> } | undefined
  #aloneUntilMs = Number.NEGATIVE_INFINITY
  /** The last routes of live ids that had one a moment ago. */
  readonly #left = new Map<string, { route: Route; untilMs: number }>()

  constructor(options: ShieldOptions) {
    this.#options = options
    const { clock, log, metrics, coordinator, homes } = options
    const upstream = new UpstreamClient({
      clock,
      log,
      connectTimeoutMs,
      metrics: new UpstreamMetrics(metrics),
    })
    const home = new HomeUpstream({ home: (liveId) => homes.home(liveId), clock })
    this.#upstream = upstream
    this.#home = home
    this.#cache = new FillCache({
      name: options.name,
      maxBytes: options.cache.memoryBytes,
      maxObjectBytes: options.cache.maxObjectBytes,
      waitMs,
      clock,
      log,
      metrics,
      resolve: (target) => this.#resolve(target),
      upstream: {
        fetch: (request, sink) =>
          (request.origins[0] === homeOrigin ? home : upstream).fetch(request, sink),
      },
    })
    const memo = { clock, ttlMs: memoMs, maxEntries: maxMemos }
    this.#statuses = new AnswerMemo({ ...memo, ask: (id) => coordinator.channelStatus(id) })
    this.#locations = new AnswerMemo({ ...memo, ask: (id) => coordinator.recordingLocation(id) })
  }

  /** Body bytes sent to edges since the start. */
  get bytesOut(): number {
    return this.#cache.bytesOut
  }

  /** For the `request` event of an HTTP server whose clients have been let in. */
  handle(req: CacheRequest, res: CacheResponse): void {
    if (isOfGateway(req) && !this.#isHomeOf(req.url ?? '')) refuseMisdirected(res)
    else this.#cache.handle(req, res)
  }

  purge(prefix: string): number {
    return this.#cache.purge(prefix)
  }

  /** Nobody waits here any more for what had its home here. */
  letGo(broadcast: HomeBroadcast): void {
    this.#home.letGo(broadcast)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cache[Symbol.asyncDispose]()
    await this.#upstream[Symbol.asyncDispose]()
  }

  async #resolve(target: ObjectTarget): Promise<Resolution> {
    const { media, path } = target
    if (media.scope === 'replay') return this.#resolveReplay(target)
    if (media.kind === 'status') return this.#resolveStatus(media.id)
    const home = this.#homeOf(media.id)
    if (home && !hasLeftMemory(home, path)) return { origins: [homeOrigin], isMemory: true }
    const route = this.#routeOf(media.id)
    if (!route) return this.#explainAbsence(target)
    return this.#at(this.#homeUrlOf(route), route.transcoder.url, target)
  }

  /** The transcoder answers where the home does not. */
  async #at(
    home: string | undefined,
    transcoder: string | undefined,
    { media, blocking }: Pick<ObjectTarget, 'media' | 'blocking'>,
  ): Promise<Resolution> {
    const authorization = `Bearer ${await this.#options.authorize()}`
    if (home === undefined) return { origins: [transcoder!], headers: { authorization } }
    const isHeld = blocking || media.kind === 'segment' || media.kind === 'part'
    return {
      origins: transcoder === undefined ? [home] : [home, transcoder],
      headers: { authorization, ...asksGateway },
      patienceMs: isHeld ? homePatienceMs.held : homePatienceMs.atOnce,
    }
  }

  async #resolveStatus(liveId: string): Promise<Resolution> {
    const { status, body } = await this.#statuses.get(liveId)
    if (status === 404) return unknownLiveId
    return { answer: { status, body, cacheControl: 'public, max-age=1' } }
  }

  /** Why a live id has no route; of a broadcast that has just ended home and transcoder still tell the end. */
  async #explainAbsence(target: ObjectTarget): Promise<Resolution> {
    const { id } = target.media
    const standIn = this.#isAlone() ? this.#options.standIns?.playbackUrl(id) : undefined
    if (standIn !== undefined) return this.#at(undefined, standIn, target)
    const { status, body } = await this.#statuses.get(id)
    if (status === 404) return unknownLiveId
    const route = this.#leftRouteOf(id)
    const home = route && this.#homeUrlOf(route)
    const transcoder =
      route && this.#isHere(route.transcoder.url) ? route.transcoder.url : undefined
    if (home ?? transcoder) return this.#at(home, transcoder, target)
    return status === 200 ? offline : { answer: { status, body } }
  }

  #isAlone(): boolean {
    const { isAlone, clock } = this.#options
    if (isAlone?.()) this.#aloneUntilMs = clock.monotonic() + settlingMs
    return clock.monotonic() < this.#aloneUntilMs
  }

  async #resolveReplay(target: ObjectTarget): Promise<Resolution> {
    const found = await this.#locations.get(target.media.id)
    if ('missing' in found) return unknownRecording
    if ('error' in found) return { answer: errorAnswer(503, 'coordinator-away', awayMessage) }
    const { url } = found.location.transcoder
    return url === null ? recordingAway : this.#at(undefined, url, target)
  }

  /** Until a route says that another gateway relays the stream. */
  #homeOf(liveId: string): HomeBroadcast | undefined {
    const { homes, name } = this.#options
    const home = homes.home(liveId)
    if (!home) return undefined
    const route = this.#routeOf(liveId)
    const isElsewhere = route?.home != null && route.home !== name
    return isElsewhere && route.epoch >= (home.holder?.epoch ?? 0) ? undefined : home
  }

  #isHomeOf(target: string): boolean {
    const media = classify(target.split('?', 1)[0]!)
    return media?.scope === 'live' && this.#homeOf(media.id) !== undefined
  }

  /** Of another gateway, while that is in the cluster. */
  #homeUrlOf({ home }: Route): string | undefined {
    if (home === null || home === this.#options.name) return undefined
    return this.#options.snapshot().nodes.find((it) => it.id === home && it.role === 'gateway')
      ?.urls.http
  }

  #routeOf(liveId: string): Route | undefined {
    const snapshot = this.#options.snapshot()
    if (this.#routes?.of !== snapshot) {
      const byLiveId = new Map(snapshot.routes.map((route) => [route.liveId, route]))
      this.#remember(this.#routes?.byLiveId ?? new Map(), byLiveId)
      this.#routes = { of: snapshot, byLiveId }
    }
    return this.#routes.byLiveId.get(liveId)
  }

  #remember(before: ReadonlyMap<string, Route>, now: ReadonlyMap<string, Route>): void {
    const nowMs = this.#options.clock.monotonic()
    for (const [liveId, { untilMs }] of this.#left) {
      if (now.has(liveId) || untilMs <= nowMs) this.#left.delete(liveId)
    }
    for (const [liveId, route] of before) {
      if (!now.has(liveId)) this.#left.set(liveId, { route, untilMs: nowMs + afterglowMs })
    }
  }

  #leftRouteOf(liveId: string): Route | undefined {
    const left = this.#left.get(liveId)
    return left && left.untilMs > this.#options.clock.monotonic() ? left.route : undefined
  }

  /** Nobody waits for a transcoder that is gone. */
  #isHere(url: string): boolean {
    return this.#options.snapshot().nodes.some((node) => node.urls.http === url)
  }
}

/** Its transcoder may have it on disk. */
function hasLeftMemory(home: HomeBroadcast, target: string): boolean {
  const path = parsePlaybackPath(target)
  if (path?.kind === 'init') {
    return !home.take(path.take)?.renditions.some((it) => it.name === path.rendition)
  }
  if (path?.kind !== 'segment') return false
  const { take, rendition, number } = path
  const oldest = home.playlist(rendition)?.segments[0]
  return oldest !== undefined && number < oldest.number && !home.segment(take, rendition, number)
}

const awayMessage = 'Where this recording is cannot be found out at the moment.'
const unknownLiveId: Resolution = {
  answer: errorAnswer(404, 'live-id-unknown', 'Unknown live id: no channel has this name.'),
}
const offline: Resolution = {
  answer: errorAnswer(404, 'offline', 'This channel is offline now.'),
}
const unknownRecording: Resolution = {
  answer: errorAnswer(404, 'recording-unknown', 'Unknown recording: it never was, or is deleted.'),
}
const recordingAway: Resolution = {
  answer: errorAnswer(503, 'recording-away', 'The server that has this recording is away.'),
}
