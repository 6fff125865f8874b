// One live playlist (or MPD) at a node that reads it: the newest version, those who wait for a later one, and at most one
// request upstream that waits for what comes next, whatever the audience and whatever it asks for. No I/O of its own.
//
// - Who asks for what is here gets the newest version at once. Who asks for more waits for the version that has it.
// - While players of low latency are here, what comes next is always being waited for, so that the newest version is
//   the newest there is. Nobody asks any more: the wait is given up after two target durations.
// - A version older than one that was served is neither served nor kept: version-order.ts.
// - While upstream fails, those who poll get the newest version and those who wait go on waiting, until that version is 1.5
//   target durations old; then both are told so.
import type { Clock, Timer } from '../../clock.ts'
import type { ObjectTarget } from '../cache-key.ts'
import type { CacheObject, Crowd } from '../cache-object.ts'
import type { LocalAnswer } from '../error-answer.ts'
import type { Opened } from '../fill-cache.ts'
import { failureTtlMs, notFoundTtlMs } from '../freshness.ts'
import { nextPosition, type Position, type ReloadAnswer, reloadAnswer } from './hold-rules.ts'
import type { LiveMetrics } from './live-metrics.ts'
import { LivePrefetch, type Prefetched } from './live-prefetch.ts'
import { type LiveVersion, objectOf, readVersion, usualTargetDurationMs } from './live-version.ts'
import { asFailure, behind, localObject, overdue, overloaded, tooFar } from './local-object.ts'
import { targetDurationsOfVersion, VersionBook } from './version-book.ts'
import { type Asked, WaitingRoom } from './waiting-room.ts'

/** What a rendition asks of the cache that it belongs to. */
export interface LiveIo {
  /** Fetches it for this rendition alone; `ended` may be called within the call. Undefined: too much is under way. */
  ask(target: ObjectTarget, ended: (object: CacheObject) => void): { abandon(): void } | undefined
  prefetch(target: ObjectTarget): Prefetched | undefined
  /** Stores it as an answer that nobody has read. */
  keep(object: CacheObject): void
  /** All who wait at the cache, those who are held here among them. */
  readonly crowd: Crowd
}

export interface LiveRenditionOptions {
  /** Of the playlist without directives. */
  target: ObjectTarget
  io: LiveIo
  clock: Clock
  metrics: LiveMetrics
}

interface Request {
  /** Undefined: for the newest version, at once. */
  position: Position | undefined
  startedAt: number
  handle: { abandon(): void } | undefined
  isOver: boolean
}

/** RFC 8216bis §6.2.5.2 says three target durations; hls.js gives up after 10 s and then asks without a position. */
const longestHoldMs = 9_000
const targetDurationsOfHold = 3
const targetDurationsOfDemand = 2
const retryMs = 250
const opaqueMs = 4_000

export class LiveRendition {
  readonly #options: LiveRenditionOptions
  readonly #clock: Clock
  readonly #room: WaitingRoom
  readonly #prefetch: LivePrefetch
  readonly #versions = new VersionBook()
  #refresh: Request | undefined
  #wait: Request | undefined
  /** `object` answers where no version does. */
  #failure: { object: CacheObject | undefined; until: number } | undefined
  #opaqueUntil = Number.NEGATIVE_INFINITY
  #askedAt = Number.NEGATIVE_INFINITY
  #positionAskedAt = Number.NEGATIVE_INFINITY
  /** Upstream is not asked again before. */
  #retryAt = Number.NEGATIVE_INFINITY
  #retryTimer: Timer | undefined
  #demandTimer: Timer | undefined

  constructor(options: LiveRenditionOptions) {
    this.#options = options
    this.#clock = options.clock
    this.#room = new WaitingRoom(options.clock, options.io.crowd)
    this.#prefetch = new LivePrefetch({
      target: options.target,
      clock: options.clock,
      metrics: options.metrics,
      prefetch: (target) => options.io.prefetch(target),
    })
  }

  get readers(): number {
    return this.#room.readers
  }

  get isWaiting(): boolean {
    return this.#wait !== undefined
  }

  get askedAt(): number {
    return this.#askedAt
  }

  /** Nothing is known of it, and nobody is to hear of it. */
  get isEmpty(): boolean {
    return !this.isBusy && this.#versions.isBlank && this.#clock.monotonic() >= this.#opaqueUntil
  }

  get isBusy(): boolean {
    return this.#room.size > 0 || this.#refresh !== undefined || this.#wait !== undefined
  }

  /** `opaque`: not for this rendition to answer. Undefined when too much is asked at once. */
  open(target: ObjectTarget): Opened | 'opaque' | undefined {
    const now = this.#clock.monotonic()
    if (now < this.#opaqueUntil) return 'opaque'
    const asked = askedOf(target)
    this.#askedAt = now
    if (asked.position) this.#positionAskedAt = now
    const there = this.#answerFromHere(asked, now)
    if (there) return there
    const known = this.#room.find(target.key)
    if (known) return { object: known, outcome: 'collapsed' }
    const version = this.#versions.newest
    // It is here, and too old.
    asked.takesAny ||= version !== undefined && reloadState(version, asked) === 'ready'
    const object = this.#room.add(target, asked, {
      ms: this.#holdMs,
      late: () => this.#local(overdue),
    })
    if (!object) return undefined
    if (!this.#pursue()) return { object, outcome: 'collapsed' }
    return { object, outcome: version ? 'expired' : 'miss' }
  }

  /** Forgets all versions; who waits gets the next one. */
  purge(): void {
    for (const request of [this.#refresh, this.#wait]) if (request) this.#abandon(request)
    this.#versions.forget()
    this.#failure = undefined
    this.#pursue()
  }

  end(): void {
    for (const request of [this.#refresh, this.#wait]) if (request) this.#abandon(request)
    this.#retryTimer?.cancel()
    this.#demandTimer?.cancel()
    this.#prefetch.release()
    this.#room.settle(() => (object) => object.break())
  }

  #answerFromHere(asked: Asked, now: number): Opened | undefined {
    const failure = this.#failure && now < this.#failure.until ? this.#failure : undefined
    const version = this.#versions.newest
    if (!version) {
      if (!failure?.object) return undefined
      return { object: failure.object, outcome: 'hit', freshMs: failure.until - now }
    }
    const isCurrent = now < version.freshUntil || this.#isVouchedFor(version, now)
    const state = reloadState(version, asked)
    // An old version does not know how far the newest one is: a small overshoot is held.
    if (state === 'too-far' && isCurrent) return { object: this.#local(tooFar), outcome: 'hit' }
    if (state !== 'ready') return undefined
    const object = objectOf(version, asked.wantsDelta)
    const freshMs = version.freshUntil - now
    if (isCurrent) return { object, outcome: 'hit', freshMs: Math.max(0, freshMs) }
    if (failure && now < version.staleUntil) return { object, outcome: 'stale-hit', freshMs }
    if (now >= version.revalidateUntil) return undefined
    if (!this.#refresh && now >= this.#retryAt) this.#ask(undefined)
    return { object, outcome: 'hit', freshMs }
  }

  /** Upstream holds a request for what follows this version, and would have answered it. */
  #isVouchedFor(version: LiveVersion, now: number): boolean {
    const wait = this.#wait
    return (
      wait !== undefined &&
      wait.startedAt <= version.freshUntil &&
      now < wait.startedAt + targetDurationsOfVersion * version.targetDurationMs
    )
  }

  /** Asks upstream for what is wanted and not under way yet; says whether it has. */
  #pursue(): boolean {
    if (this.#refresh) return false
    const now = this.#clock.monotonic()
    const version = this.#versions.newest
    if (this.#room.size > 0 && (!version || this.#room.hasTakersOfAny)) {
      return this.#askWhenDue(undefined, now)
    }
    const { facts, targetDurationMs } = version ?? {}
    if (!facts?.canBlockReload || facts.isEnded || this.#wait) return false
    if (this.#room.size === 0 && !this.#isDemanded(now)) return false
    this.#watchDemand(targetDurationsOfDemand * targetDurationMs!)
    return this.#askWhenDue(nextPosition(facts), now)
  }

  #askWhenDue(position: Position | undefined, now: number): boolean {
    if (now >= this.#retryAt) {
      this.#ask(position)
      return true
    }
    this.#retryTimer ??= this.#clock.setTimeout(() => {
      this.#retryTimer = undefined
      this.#pursue()
    }, this.#retryAt - now)
    return false
  }

  #ask(position: Position | undefined): void {
    const { io, target } = this.#options
    const startedAt = this.#clock.monotonic()
    const request: Request = { position, startedAt, handle: undefined, isOver: false }
    if (position) this.#wait = request
    else this.#refresh = request
    const handle = io.ask(position ? at(target, position) : target, (object) => {
      if (request.isOver) return
      this.#close(request)
      this.#arrived(request, object)
    })
    request.handle = handle
    if (handle || request.isOver) return
    this.#close(request)
    this.#failed(request, this.#local(overloaded))
  }

  #close(request: Request): void {
    request.isOver = true
    if (this.#wait === request) this.#wait = undefined
    if (this.#refresh === request) this.#refresh = undefined
  }

  #abandon(request: Request): void {
    this.#close(request)
    request.handle?.abandon()
  }

  #arrived(request: Request, object: CacheObject): void {
    if (object.state !== 'complete' || object.head?.status !== 200) {
      this.#failed(request, object)
      return
    }
    const now = this.#clock.monotonic()
    const version = readVersion(object, now)
    if (!version) this.#turnOpaque(request, object)
    else if (this.#versions.accept(version)) this.#accepted(request, version)
    else {
      this.#options.metrics.regressed()
      this.#failed(request, this.#local(behind))
    }
  }

  #accepted(request: Request, version: LiveVersion): void {
    const now = version.receivedAt
    this.#failure = undefined
    // An upstream that answers without what was waited for would be asked in a circle.
    this.#retryAt = isMissing(version, request) ? now + this.#pauseMs(version) : now
    // What it waits for has come by another way, or will not come any more.
    if (this.#wait && !isMissing(version, this.#wait)) this.#abandon(this.#wait)
    this.#fetchAhead(version)
    this.#room.settle((asked) => {
      const state = asked.takesAny ? 'ready' : reloadState(version, asked)
      // Upstream may have had to give us an old one.
      if (state === 'wait' || (state === 'too-far' && now >= version.freshUntil)) return undefined
      const answer = state === 'ready' ? objectOf(version, asked.wantsDelta) : this.#local(tooFar)
      return (object) => object.becomes(answer)
    })
    this.#pursue()
  }

  /** Before those who wait are told: they ask for it next. */
  #fetchAhead({ facts, receivedAt, targetDurationMs }: LiveVersion): void {
    if (!facts) return
    if (this.#isDemanded(receivedAt)) this.#prefetch.look(facts, 'parts')
    else if (receivedAt - this.#askedAt < targetDurationsOfDemand * targetDurationMs) {
      this.#prefetch.look(facts, 'segments')
    }
  }

  #failed(request: Request, failed: CacheObject): void {
    const now = this.#clock.monotonic()
    const status = failed.state === 'complete' ? failed.head!.status : 0
    const version = this.#versions.newest
    if (status >= 400 && status < 500) {
      // It lags behind what another source has told us: what we ask for is next to what we have.
      if (request.position && status === 400 && version) {
        this.#retryAt = now + this.#pauseMs(version)
        this.#pursue()
      } else this.#refuse(failed, notFoundTtlMs)
      return
    }
    this.#retryAt = now + retryMs
    if (!version || now >= version.staleUntil) {
      const ageMs = now - request.startedAt
      // Upstream has held it for as long as it holds: there was nothing new.
      const wasHeld = version && ageMs >= targetDurationsOfVersion * version.targetDurationMs
      if (request.position && wasHeld && status >= 500) this.#pursue()
      else this.#refuse(asFailure(failed, now), failureTtlMs)
      return
    }
    this.#failure = { object: undefined, until: now + failureTtlMs }
    this.#room.settle(({ takesAny, wantsDelta }) =>
      takesAny
        ? (object) => object.substituteWith(objectOf(version, wantsDelta), status || undefined)
        : undefined,
    )
    this.#pursue()
  }

  /** Everybody gets this, and so do those who ask within the time. */
  #refuse(answer: CacheObject, ms: number): void {
    const now = this.#clock.monotonic()
    this.#versions.drop()
    this.#failure = { object: answer, until: now + ms }
    if (this.#wait) this.#abandon(this.#wait)
    if (this.#versions.isBlank) this.#options.io.keep(answer)
    this.#prefetch.release()
    this.#room.settle(() => (object) => object.becomes(answer))
  }

  /** It is passed on as it came, and not looked into for a while. */
  #turnOpaque(request: Request, answer: CacheObject): void {
    const { io } = this.#options
    this.#opaqueUntil = this.#clock.monotonic() + opaqueMs
    this.#versions.drop()
    for (const other of [this.#wait, this.#refresh]) if (other) this.#abandon(other)
    if (!request.position) io.keep(answer)
    this.#room.settle(({ position, wantsDelta }) =>
      position || wantsDelta
        ? (object) => this.#askSeparately(object)
        : (object) => object.becomes(answer),
    )
  }

  #askSeparately(object: CacheObject): void {
    const asked = this.#options.io.ask(object.target, (answer) => {
      if (answer.state === 'complete') object.becomes(answer)
      else object.break()
    })
    if (!asked) object.becomes(this.#local(overloaded))
  }

  /** Low-latency players have asked a moment ago. */
  #isDemanded(now: number): boolean {
    const targetDurationMs = this.#versions.newest?.targetDurationMs ?? usualTargetDurationMs
    return now - this.#positionAskedAt < targetDurationsOfDemand * targetDurationMs
  }

  #watchDemand(ms: number): void {
    this.#demandTimer ??= this.#clock.setTimeout(() => {
      this.#demandTimer = undefined
      const isOver = this.#room.size === 0 && !this.#isDemanded(this.#clock.monotonic())
      if (!isOver) {
        if (this.#wait) this.#watchDemand(ms)
        return
      }
      if (this.#wait) this.#abandon(this.#wait)
      this.#prefetch.release()
    }, ms)
  }

  get #holdMs(): number {
    const targetDurationMs = this.#versions.newest?.targetDurationMs ?? Infinity
    return Math.min(longestHoldMs, targetDurationsOfHold * targetDurationMs)
  }

  #pauseMs({ facts }: LiveVersion): number {
    return Math.max(retryMs, 1_000 * (facts?.partTargetSeconds ?? 0))
  }

  #local(answer: LocalAnswer): CacheObject {
    return localObject(this.#options.target, answer, this.#clock.monotonic())
  }
}

/** A server that does not block reloads ignores positions. */
function reloadState(
  { facts }: LiveVersion,
  { position }: { position: Position | undefined },
): ReloadAnswer {
  return position && facts?.canBlockReload ? reloadAnswer(facts, position) : 'ready'
}

function isMissing(version: LiveVersion, request: Request): boolean {
  return reloadState(version, request) === 'wait'
}

function askedOf({ key, path, blocking }: ObjectTarget): Asked {
  const directives = key.slice(path.length)
  const wantsDelta = directives.includes('_HLS_skip=')
  if (!blocking) return { position: undefined, wantsDelta, takesAny: true }
  const msn = Number(/_HLS_msn=(\d+)/.exec(directives)![1])
  const part = /_HLS_part=(\d+)/.exec(directives)?.[1]
  const position = part === undefined ? { msn } : { msn, part: Number(part) }
  return { position, wantsDelta, takesAny: false }
}

function at({ media, path }: ObjectTarget, { msn, part }: Position): ObjectTarget {
  const key = `${path}?_HLS_msn=${msn}${part === undefined ? '' : `&_HLS_part=${part}`}`
  return { media, key, path, blocking: true }
}
