// One question to upstream, until it has one answer: at one origin after the other while none has begun to answer,
// at two where the first takes long (hedged), and on from where an answer broke off.
//
// - The first good head wins, and whoever else was asked is left at once.
// - What an origin did not hear (it closed an idle connection) is asked again there.
// - 421 is no answer: the next origin is asked. An error (5xx) is one only where nobody else may know better: for
//   what never changes the next origin is asked, within the budget.
import type { IncomingHttpHeaders } from 'node:http'
import type { Clock, Timer } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Dispatcher } from '../http-client.ts'
import type { Logger } from '../log.ts'
import type { UpstreamMetrics } from './cache-metrics.ts'
import type { FirstByteTimes } from './first-byte-times.ts'
import type { OriginHealth } from './origin-health.ts'
import { Resumption } from './resumption.ts'
import type { RetryBudget } from './retry-budget.ts'
import type { UpstreamRequest, UpstreamSink } from './upstream.ts'
import { Attempt, wasIdleConnection } from './upstream-attempt.ts'

/** What all questions of a client share. */
export interface QuestionTools {
  dispatcher: Dispatcher
  clock: Clock
  log: Logger
  health: OriginHealth
  budget: RetryBudget
  times: FirstByteTimes
  metrics: UpstreamMetrics | undefined
}

class LateAnswer extends Error {}

export class Question {
  readonly #tools: QuestionTools
  readonly #request: UpstreamRequest
  readonly #sink: UpstreamSink
  /** Still to be asked, in this order. */
  readonly #origins: string[]
  readonly #underWay = new Set<Attempt>()
  /** Errors on their way in, which nobody reads. */
  readonly #ignored = new Set<Attempt>()
  #hedge: Attempt | undefined
  /** Whose answer is handed on. */
  #winner: Attempt | undefined
  #hasBegun = false
  /** Set where the answer that began can be gone on with. */
  #resumption: Resumption | undefined
  #hasResumed = false
  #hasAskedAgain = false
  #hasPassedError = false
  #patience: Timer | undefined
  #hedging: Timer | undefined
  #isOver = false

  constructor(tools: QuestionTools, request: UpstreamRequest, sink: UpstreamSink) {
    this.#tools = tools
    this.#request = request
    this.#sink = sink
    this.#origins = tools.health.order(request.origins)
  }

  start(): void {
    this.#next()
  }

  cancel(): void {
    this.#end()
  }

  #next(): void {
    const origin = this.#origins.shift()
    if (origin !== undefined) {
      this.#armTimers(this.#ask(origin))
    } else if (this.#underWay.size === 0) this.#fail('no-upstream', 'no origin is known')
  }

  #ask(origin: string): Attempt {
    const { dispatcher, clock } = this.#tools
    const attempt = new Attempt({
      dispatcher,
      origin,
      path: this.#request.path,
      headers: { ...this.#request.headers, ...this.#resumption?.headers },
      startedAt: clock.monotonic(),
      events: {
        head: (of, status, headers) => this.#onHead(of, status, headers),
        data: (of, piece) => this.#onData(of, piece),
        end: (of) => this.#onEnd(of),
        failed: (of, err) => this.#onFailed(of, err),
      },
    })
    this.#underWay.add(attempt)
    attempt.start()
    return attempt
  }

  #armTimers(attempt: Attempt): void {
    this.#stopTimers()
    if (this.#isOver || this.#hasBegun || !this.#underWay.has(attempt)) return
    const { clock, times } = this.#tools
    const { patienceMs, mayHedge } = this.#request
    if (patienceMs !== undefined) {
      this.#patience = clock.setTimeout(() => this.#onLate(attempt, patienceMs), patienceMs)
    }
    if (mayHedge && !this.#hedge) {
      this.#hedging = clock.setTimeout(() => this.#onSlow(attempt), times.hedgeDelayMs)
    }
  }

  #onLate(attempt: Attempt, patienceMs: number): void {
    if (this.#origins.length === 0 && this.#underWay.size === 1) return
    attempt.cancel()
    this.#onFailed(attempt, new LateAnswer(`no answer within ${patienceMs} ms`))
  }

  #onSlow({ origin }: Attempt): void {
    const { budget, metrics } = this.#tools
    const next = this.#origins.findIndex((other) => other !== origin)
    if (next < 0) return
    if (!budget.take()) {
      metrics?.hedged('denied')
      return
    }
    const [other] = this.#origins.splice(next, 1)
    this.#hedge = this.#ask(other!)
  }

  #onHead(attempt: Attempt, status: number, headers: IncomingHttpHeaders): void {
    if (this.#isOver) return
    if (this.#hasBegun) {
      this.#goOn(attempt, status, headers)
      return
    }
    const { health, times, clock } = this.#tools
    // The end of a wait says nothing about its origin.
    if (status >= 500 && this.#request.mayHedge) health.struck(attempt.origin)
    if (this.#isPassedOver(attempt, status)) {
      this.#leave(attempt)
      if (this.#underWay.size === 0) this.#next()
      return
    }
    if (status < 500) {
      health.answered(attempt.origin)
      if (this.#request.mayHedge) times.observe(clock.monotonic() - attempt.startedAt)
    }
    this.#win(attempt)
    if (status === 200 && this.#request.isImmutable) this.#resumption = new Resumption(headers)
    this.#sink.head(status, headers)
  }

  #isPassedOver(attempt: Attempt, status: number): boolean {
    if (status === 421) return true
    const isAlone = this.#underWay.size === 1
    // Of what it does not have, the origin that was asked first knows best.
    if (!isAlone) return status >= 500 || (status >= 400 && attempt === this.#hedge)
    if (status < 500 || this.#hasPassedError || !this.#request.isImmutable) return false
    if (this.#origins.length === 0 || !this.#tools.budget.take()) return false
    this.#hasPassedError = true
    this.#tools.metrics?.retried('error-status')
    return true
  }

  #win(attempt: Attempt): void {
    this.#hasBegun = true
    this.#winner = attempt
    this.#stopTimers()
    if (this.#hedge) this.#tools.metrics?.hedged(attempt === this.#hedge ? 'won' : 'lost')
    for (const other of this.#underWay) {
      if (other === attempt) continue
      this.#underWay.delete(other)
      other.cancel()
      if (attempt === this.#hedge) this.#tools.health.struck(other.origin)
    }
  }

  #onData(attempt: Attempt, piece: Buffer): void {
    if (this.#isOver || attempt !== this.#winner) return
    if (!this.#resumption) {
      this.#sink.data(piece)
      return
    }
    const fresh = this.#resumption.take(piece)
    if (!fresh) {
      this.#fail('broken', 'another origin has other bytes')
    } else if (fresh.length > 0) this.#sink.data(fresh)
  }

  #onEnd(attempt: Attempt): void {
    if (this.#isOver || attempt !== this.#winner) return
    if (this.#resumption?.isShort) this.#fail('broken', 'shorter than what had come before')
    else this.#finish()
  }

  #onFailed(attempt: Attempt, err: Error): void {
    if (this.#isOver || !this.#underWay.delete(attempt)) return
    const { health, log, metrics } = this.#tools
    const { origin } = attempt
    log.warn({ origin, path: this.#request.path, error: messageOf(err) }, 'upstream failed')
    const wasWinner = attempt === this.#winner
    if (!wasWinner && !this.#hasAskedAgain && wasIdleConnection(err)) {
      this.#hasAskedAgain = true
      metrics?.retried('idle-connection')
      if (attempt === this.#hedge) this.#hedge = this.#ask(origin)
      else this.#armTimers(this.#ask(origin))
      return
    }
    // An answer that is held back says nothing about those to other questions.
    if (!(err instanceof LateAnswer)) health.failed(origin)
    if (this.#underWay.size > 0) return
    if (wasWinner) this.#resume(origin, err)
    else if (this.#origins.length > 0) {
      metrics?.retried('next-origin')
      this.#next()
    } else this.#fail(this.#hasBegun ? 'broken' : 'unreachable', messageOf(err))
  }

  /** Elsewhere where there is an elsewhere, else once more at the same origin. */
  #resume(origin: string, err: Error): void {
    this.#winner = undefined
    const next = this.#origins.findIndex((other) => other !== origin)
    const mayComeBack = !this.#hasResumed && next < 0
    if (!this.#resumption || (mayComeBack ? !this.#tools.budget.take() : next < 0)) {
      this.#fail('broken', messageOf(err))
      return
    }
    this.#hasResumed = true
    this.#tools.metrics?.retried('resumed')
    this.#ask(mayComeBack ? origin : this.#origins.splice(0, next + 1).at(-1)!)
  }

  #goOn(attempt: Attempt, status: number, headers: IncomingHttpHeaders): void {
    const fit = this.#resumption!.begin(status, headers)
    if (fit === 'goes-on') this.#winner = attempt
    else if (fit === 'over') this.#finish()
    else {
      this.#leave(attempt)
      if (this.#origins.length > 0) this.#next()
      else this.#fail('broken', 'no other origin goes on')
    }
  }

  /** Errors are short, and their connections good for more. */
  #leave(attempt: Attempt): void {
    this.#underWay.delete(attempt)
    this.#ignored.add(attempt)
    attempt.ignore()
  }

  #finish(): void {
    this.#end()
    this.#sink.end()
  }

  #fail(...failure: Parameters<UpstreamSink['fail']>): void {
    this.#end()
    this.#sink.fail(...failure)
  }

  #end(): void {
    this.#isOver = true
    this.#stopTimers()
    for (const attempt of [...this.#underWay, ...this.#ignored]) attempt.cancel()
  }

  #stopTimers(): void {
    this.#patience?.cancel()
    this.#hedging?.cancel()
  }
}
