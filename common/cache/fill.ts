// One fill: the way of one object from upstream into the cache. It belongs to the cache, not to the request
// that began it: readers come and leave, the fill goes on. Only a held-back answer that nobody waits for any
// more is given up. Nothing here reads a clock, rolls a die or opens a connection of its own.
//
// The states of Pingora's cache lock, and what becomes of those who wait in ours; nobody is ever sent to the
// origin on their own:
// - waiting: no answer has begun; readers are woken by its head, and then by every piece;
// - done: the head is here, everybody reads at their own pace;
// - transient error: where the object is could not be told, or upstream not be reached, or it went away before its head. One retry is elected,
//   once, after a short and random pause, if there is time left: it resolves anew while the waiters stay;
// - give up: the answer cannot be used, or may not be kept. It is still the answer for all who are here;
// - dangling: cannot be, for no request owns a fill. Disposal breaks the object, which every reader sees;
// - wait timeout: a reader that leaves takes nothing with it but its place;
// - age timeout: nothing came for `waitMs`. Upstream is let go of, everybody gets a 504 (or what is stale), and
//   the next to ask begins anew.
//
// How it can end:
// - complete: all bytes are here, whatever the status; whether it is stored is the cache's decision;
// - substituted: upstream failed before its answer began, and a stale object answers instead;
// - broken: the answer had begun and its rest will never come; never stored, ends downstream by destroying;
// - abandoned: nobody waited any more.
// A failure before the answer begins, without anything stale, completes as a small error answer.
import type { IncomingHttpHeaders } from 'node:http'
import type { Clock, Timer } from '../clock.ts'
import { messageOf } from '../errors.ts'
import { framingFault, readHead } from './answer-head.ts'
import type { ObjectTarget } from './cache-key.ts'
import { type Allocate, CacheObject, type Crowd } from './cache-object.ts'
import { failureAnswer, type LocalAnswer, type UpstreamFailure } from './error-answer.ts'
import { policyOf } from './freshness.ts'
import type { StoredObject } from './object-store.ts'
import type { Upstream, UpstreamSink } from './upstream.ts'

/** Where an object is: at one of these origins, or answered on the spot. */
export type Resolution =
  | {
      origins: readonly string[]
      headers?: Record<string, string>
      /** For the answer of any origin but the last to begin. */
      patienceMs?: number
      /** Nobody holds the answer back. */
      mayHedge?: boolean
      /** It is in this process: what may change is made anew each time, and not kept. */
      isMemory?: boolean
    }
  | { answer: LocalAnswer }

/**
 * `hasStored`: an earlier version of it is here, so that nobody waits for the first. `isAhead`: a segment that is not
 * whole, by the newest playlist that is here.
 */
export type Resolve = (
  target: ObjectTarget,
  hasStored: boolean,
  isAhead: boolean,
) => Resolution | Promise<Resolution>

export type FillEnd = 'complete' | 'substituted' | 'broken' | 'abandoned'

export interface FillOptions {
  target: ObjectTarget
  /** What is stored of the object, too old to be used while upstream works. */
  stored: StoredObject | undefined
  /** What whoever asks has of it: they give it out, and ask again, while upstream fails. */
  earlier?: Pick<StoredObject, 'staleUntil'> | undefined
  resolve: Resolve
  isAhead: boolean
  upstream: Upstream
  clock: Clock
  /** Longest wait for an answer to begin, and then for more of it. */
  waitMs: number
  maxObjectBytes: number
  /** Memory for the body. */
  allocate?: Allocate | undefined
  /** Where those who wait are counted. */
  crowd: Crowd
  /** From 0 to 1, for the pause before a retry. */
  random: () => number
  onRetry: (reason: UpstreamFailure) => void
  onEnd: (end: FillEnd, failure: { reason: UpstreamFailure; detail: string } | undefined) => void
}

// Waiters of many fills that one lost gateway has failed must not come back to the next in the same moment.
const retryPauseMs = { least: 50, spread: 100 }

/** Another try, also elsewhere, may do better. */
const transientFailures: ReadonlySet<UpstreamFailure> = new Set([
  'unreachable',
  'broken',
  'unresolved',
])

export class Fill implements UpstreamSink {
  readonly object: CacheObject
  readonly startedAt: number
  /** False after a purge: serves its readers and is forgotten. */
  storable = true
  /** Whoever answers is in this process. */
  isMemory = false
  /** Who is asked, in this order; empty before that is known, and where nobody is. */
  origins: readonly string[] = []
  readonly #options: FillOptions
  readonly #clock: Clock
  #request: { cancel(): void } | undefined
  #failure: { reason: UpstreamFailure; detail: string } | undefined
  #activeAt: number
  #timer: Timer | undefined
  /** Set between a failure and the retry. */
  #pause: Timer | undefined
  #hasRetried = false
  #ended = false

  constructor(options: FillOptions) {
    this.#options = options
    this.#clock = options.clock
    this.startedAt = this.#activeAt = this.#clock.monotonic()
    const { target, crowd } = options
    this.object = new CacheObject(target, policyOf(target.media), crowd, options.allocate)
    this.object.onDeserted = () => {
      if (this.object.state !== 'waiting') return
      if (target.blocking) this.abandon()
      else if (this.#pause) this.#answerFailure()
    }
  }

  start(): void {
    this.#armDeadline(this.#options.waitMs)
    this.#resolve()
  }

  #resolve(): void {
    try {
      const { resolve, target, stored, earlier, isAhead } = this.#options
      const resolution = resolve(target, (stored ?? earlier) !== undefined, isAhead)
      if (resolution instanceof Promise) {
        resolution.then(
          (resolved) => this.#ask(resolved),
          (err) => this.fail('unresolved', messageOf(err)),
        )
      } else this.#ask(resolution)
    } catch (err) {
      this.fail('unresolved', messageOf(err))
    }
  }

  abandon(): void {
    if (this.#ended) return
    this.#request?.cancel()
    if (this.object.state !== 'complete') this.object.break()
    this.#end('abandoned')
  }

  head(status: number, headers: IncomingHttpHeaders): void {
    if (this.#ended) return
    this.#activeAt = this.#clock.monotonic()
    if (status >= 500 && this.#substitute(status)) return
    // No condition, range or upgrade was asked for, and places are resolved here: only these can be meant.
    // HTTP/2 cannot say what is above 599 (RFC 9110 §15: five classes).
    if ((status !== 200 && status < 400) || status > 599) {
      this.#giveUp('unusable', `status ${status}`)
      return
    }
    const fault = framingFault(headers)
    if (fault !== undefined) {
      this.#giveUp('unusable', fault.slice(0, 80))
      return
    }
    const head = readHead(this.object.target, this.object.policy, status, headers)
    if ((head.length ?? 0) > this.#options.maxObjectBytes) {
      this.#giveUp('too-large', `${head.length} bytes`)
    } else this.object.begin(head, this.#activeAt)
  }

  data(piece: Uint8Array): void {
    if (this.#ended) return
    this.#activeAt = this.#clock.monotonic()
    const size = this.object.size + piece.length
    if (size > (this.object.head?.length ?? Infinity)) {
      this.#giveUp('broken', 'longer than announced')
    } else if (size > this.#options.maxObjectBytes) this.#giveUp('too-large', `${size} bytes`)
    else this.object.append(piece)
  }

  end(): void {
    if (this.#ended) return
    const announced = this.object.head?.length
    if (announced !== undefined && announced !== this.object.size) {
      this.#giveUp('broken', `${this.object.size} of ${announced} bytes`)
      return
    }
    this.object.complete()
    this.#end('complete')
  }

  fail(reason: UpstreamFailure, detail: string): void {
    if (this.#ended) return
    this.#failure = { reason, detail }
    if (this.object.head) {
      this.object.break()
      this.#end('broken')
    } else if (!this.#substitute() && !this.#retry(reason)) this.#answerFailure()
  }

  #retry(reason: UpstreamFailure): boolean {
    if (this.#hasRetried || !transientFailures.has(reason)) return false
    const now = this.#clock.monotonic()
    const { earlier, random, waitMs } = this.#options
    if (earlier && now < earlier.staleUntil) return false
    const pauseMs = retryPauseMs.least + retryPauseMs.spread * random()
    if (now + pauseMs >= this.startedAt + waitMs || this.object.isDeserted) return false
    this.#hasRetried = true
    this.#request = undefined
    this.#options.onRetry(reason)
    this.#pause = this.#clock.setTimeout(() => {
      this.#pause = undefined
      this.#failure = undefined
      this.#resolve()
    }, pauseMs)
    return true
  }

  #answerFailure(): void {
    this.#answer(failureAnswer(this.#failure!.reason))
  }

  #ask(resolution: Resolution): void {
    if (this.#ended) return
    if ('answer' in resolution) {
      const { answer } = resolution
      if (answer.status < 500 || !this.#substitute()) this.#answer(answer)
      return
    }
    this.isMemory = resolution.isMemory === true
    this.origins = resolution.origins
    this.#request = this.#options.upstream.fetch(
      {
        origins: resolution.origins,
        path: this.#options.target.key,
        headers: resolution.headers ?? {},
        isImmutable: this.object.policy.isImmutable,
        ...(resolution.patienceMs !== undefined && { patienceMs: resolution.patienceMs }),
        ...(resolution.mayHedge !== undefined && { mayHedge: resolution.mayHedge }),
      },
      this,
    )
    // The request may have ended within the call, before there was anything to cancel.
    if (this.#ended) this.#request.cancel()
  }

  #answer(answer: LocalAnswer): void {
    const body = Buffer.from(answer.body)
    const head = readHead(this.object.target, this.object.policy, answer.status, {
      'content-type': answer.contentType ?? 'application/json',
      'content-length': String(body.length),
      ...(answer.cacheControl !== undefined && { 'cache-control': answer.cacheControl }),
      ...(answer.status >= 500 && { 'retry-after': '1' }),
    })
    this.object.begin(head, this.#clock.monotonic())
    this.object.append(body)
    this.object.complete()
    this.#end('complete')
  }

  /** `failedStatus` is what upstream said, where it said anything. */
  #substitute(failedStatus?: number): boolean {
    const { stored } = this.#options
    if (!stored || this.#clock.monotonic() >= stored.staleUntil) return false
    this.#request?.cancel()
    this.object.substituteWith(stored.object, failedStatus)
    this.#end('substituted')
    return true
  }

  #giveUp(reason: UpstreamFailure, detail: string): void {
    this.#request?.cancel()
    this.fail(reason, detail)
  }

  #end(end: FillEnd): void {
    this.#ended = true
    this.#timer?.cancel()
    this.#pause?.cancel()
    this.object.onDeserted = undefined
    this.#options.onEnd(end, this.#failure)
  }

  /** One timer a fill, set anew only when it goes off: pieces arrive far more often than deadlines pass. */
  #armDeadline(ms: number): void {
    this.#timer = this.#clock.setTimeout(() => {
      const left = this.#activeAt + this.#options.waitMs - this.#clock.monotonic()
      if (left > 0) this.#armDeadline(left)
      else this.#giveUp('timeout', `nothing for ${this.#options.waitMs} ms`)
    }, ms)
  }
}
