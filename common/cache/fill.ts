// One fill: the way of one object from upstream into the cache. It belongs to the cache, not to the request
// that began it: readers come and leave, the fill goes on. Only a held-back answer that nobody waits for any
// more is given up.
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
import { readHead } from './answer-head.ts'
import type { ObjectTarget } from './cache-key.ts'
import { CacheObject } from './cache-object.ts'
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
      /** It is in this process: what may change is made anew each time, and not kept. */
      isMemory?: boolean
    }
  | { answer: LocalAnswer }

export type Resolve = (target: ObjectTarget) => Resolution | Promise<Resolution>

export type FillEnd = 'complete' | 'substituted' | 'broken' | 'abandoned'

export interface FillOptions {
  target: ObjectTarget
  /** What is stored of the object, too old to be used while upstream works. */
  stored: StoredObject | undefined
  resolve: Resolve
  upstream: Upstream
  clock: Clock
  /** Longest wait for an answer to begin, and then for more of it. */
  waitMs: number
  maxObjectBytes: number
  onEnd: (end: FillEnd, failure: { reason: UpstreamFailure; detail: string } | undefined) => void
}

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
  #ended = false

  constructor(options: FillOptions) {
    this.#options = options
    this.#clock = options.clock
    this.startedAt = this.#activeAt = this.#clock.monotonic()
    this.object = new CacheObject(options.target, policyOf(options.target.media))
    this.object.onDeserted = () => {
      if (options.target.blocking && this.object.state === 'waiting') this.abandon()
    }
  }

  start(): void {
    this.#armDeadline(this.#options.waitMs)
    try {
      const resolution = this.#options.resolve(this.#options.target)
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
    if (status !== 200 && status < 400) {
      this.#giveUp('unusable', `status ${status}`)
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
      return
    }
    const answer = failureAnswer(reason)
    if (!this.#substitute()) this.#answer(answer)
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
      ...(answer.status === 503 && { 'retry-after': '1' }),
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
