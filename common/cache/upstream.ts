// Asks upstream over kept-alive HTTP/1.1 and hands the answer on piece by piece. Tries the next origin as long
// as not a byte of an answer has come, and where one says that it is not to be asked (421). What never changes goes on
// at the next origin where it broke off. Deadlines are the fill's.
import type { IncomingHttpHeaders } from 'node:http'
import type { Clock, Timer } from '../clock.ts'
import { messageOf } from '../errors.ts'
import { type Dispatcher, HttpClient } from '../http-client.ts'
import type { Logger } from '../log.ts'
import type { MutualTls } from '../net/mutual-tls.ts'
import { version } from '../version.ts'
import type { UpstreamFailure } from './error-answer.ts'

export interface UpstreamRequest {
  /** Base URLs without a trailing slash, to be tried in this order. */
  origins: readonly string[]
  /** Path and query. */
  path: string
  headers: Record<string, string>
  /** Another origin is asked where the answer of one has not begun by then; absent: no limit. */
  patienceMs?: number
  /** The same bytes wherever they are. */
  isImmutable?: boolean
}

/** `head`, any number of `data`, then `end`; or `fail` at any point. Nothing after `end` or `fail`. */
export interface UpstreamSink {
  head(status: number, headers: IncomingHttpHeaders): void
  data(piece: Uint8Array): void
  end(): void
  fail(failure: UpstreamFailure, detail: string): void
}

export interface Upstream {
  fetch(request: UpstreamRequest, sink: UpstreamSink): { cancel(): void }
}

// What is held back (a reload, the next part) or grows (an open segment) has its connection to itself, several of
// each rendition of a stream that is watched. As many as there may be fills: none waits behind one that is held.
const connectionsPerOrigin = 4_096
const failureMemoryMs = 2_000

export interface UpstreamClientOptions {
  clock: Clock
  log: Logger
  connectTimeoutMs: number
  /** For origins by https: whom to believe, and what to show. */
  tls?: MutualTls
}

export class UpstreamClient implements Upstream, AsyncDisposable {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #http: HttpClient
  /** Origin → monotonic time until which it is tried last. */
  readonly #avoidUntil = new Map<string, number>()

  constructor(options: UpstreamClientOptions) {
    this.#clock = options.clock
    this.#log = options.log
    this.#http = new HttpClient({
      connectTimeoutMs: options.connectTimeoutMs,
      headersTimeoutMs: 0,
      bodyTimeoutMs: 0,
      connections: connectionsPerOrigin,
      ...options.tls,
    })
  }

  fetch(request: UpstreamRequest, sink: UpstreamSink): { cancel(): void } {
    const attempt = new Attempts(this.#http.dispatcher, this.#ordered(request.origins), request, {
      ...sinkOf(sink),
      after: (ms, act) => this.#clock.setTimeout(act, ms),
      failed: (origin, err) => {
        this.#log.warn({ origin, path: request.path, error: messageOf(err) }, 'upstream failed')
        // An answer that is held back says nothing about those to other questions.
        if (err instanceof LateAnswer) return
        this.#avoidUntil.set(origin, this.#clock.monotonic() + failureMemoryMs)
      },
      reached: (origin) => this.#avoidUntil.delete(origin),
    })
    attempt.next()
    return attempt
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#http[Symbol.asyncDispose]()
  }

  /** Those that have just failed come last; a lone origin is tried twice, in case its idle connection was
   * closed by the other end in the moment of its use. */
  #ordered(origins: readonly string[]): string[] {
    const now = this.#clock.monotonic()
    for (const [origin, until] of this.#avoidUntil) {
      if (until <= now) this.#avoidUntil.delete(origin)
    }
    const ordered = origins.toSorted(
      (a, b) => Number(this.#avoidUntil.has(a)) - Number(this.#avoidUntil.has(b)),
    )
    return ordered.length === 1 ? [ordered[0]!, ordered[0]!] : ordered
  }
}

class LateAnswer extends Error {}

interface AttemptEvents extends UpstreamSink {
  after(ms: number, act: () => void): Timer
  failed(origin: string, err: Error): void
  reached(origin: string): void
}

function sinkOf(sink: UpstreamSink): UpstreamSink {
  return {
    head: (status, headers) => sink.head(status, headers),
    data: (piece) => sink.data(piece),
    end: () => sink.end(),
    fail: (failure, detail) => sink.fail(failure, detail),
  }
}

/** One request, at one origin after the other. */
class Attempts implements Dispatcher.DispatchHandler {
  readonly #dispatcher: Dispatcher
  readonly #origins: string[]
  readonly #request: UpstreamRequest
  readonly #events: AttemptEvents
  #origin = ''
  #controller: Dispatcher.DispatchController | undefined
  #answered = false
  /** Of the answer that has begun, where it was told. */
  #length: string | undefined
  /** Another origin can go on with the answer that has begun. */
  #canGoOn = false
  /** Of the body, what the sink has. */
  #handedOn = 0
  /** Of an answer that goes on, what the sink has had already. */
  #toSkip = 0
  /** This answer is not the one. */
  #isPassedOver = false
  #cancelled = false
  #patience: Timer | undefined

  constructor(
    dispatcher: Dispatcher,
    origins: string[],
    request: UpstreamRequest,
    events: AttemptEvents,
  ) {
    this.#dispatcher = dispatcher
    this.#origins = origins
    this.#request = request
    this.#events = events
  }

  next(): void {
    const origin = this.#origins.shift()
    if (origin === undefined) {
      if (this.#answered) this.#events.fail('broken', 'no other origin goes on')
      else this.#events.fail('no-upstream', 'no origin is known')
      return
    }
    this.#origin = origin
    this.#isPassedOver = false
    this.#toSkip = this.#handedOn
    const { patienceMs } = this.#request
    if (patienceMs !== undefined && this.#origins.length > 0) {
      this.#patience = this.#events.after(patienceMs, () => {
        this.#controller?.abort(new LateAnswer(`no answer within ${patienceMs} ms`))
      })
    }
    try {
      this.#dispatcher.dispatch(
        {
          origin,
          path: this.#request.path,
          method: 'GET',
          headers: {
            'accept-encoding': 'identity',
            'user-agent': `nearcast/${version}`,
            ...this.#request.headers,
          },
        },
        this,
      )
    } catch (err) {
      // A base URL that is none, or a client that has been disposed of.
      this.#events.fail('unreachable', messageOf(err))
    }
  }

  cancel(): void {
    this.#cancelled = true
    this.#patience?.cancel()
    this.#controller?.abort(new Error('cancelled'))
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#cancelled) controller.abort(new Error('cancelled'))
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
  ): void {
    if (status < 200 || this.#cancelled) return
    this.#patience?.cancel()
    this.#events.reached(this.#origin)
    const length = headers['content-length']
    this.#isPassedOver = this.#answered ? !this.#goesOn(status, length) : status === 421
    if (this.#isPassedOver || this.#answered) return
    this.#answered = true
    this.#length = length
    this.#canGoOn = status === 200 && this.#request.isImmutable === true
    this.#events.head(status, headers)
  }

  /** What has another length is another object, whoever says that it cannot be. */
  #goesOn(status: number, length: string | undefined): boolean {
    const isOther = length !== undefined && this.#length !== undefined && length !== this.#length
    return status === 200 && !isOther
  }

  onResponseData(_controller: Dispatcher.DispatchController, piece: Buffer): void {
    if (this.#cancelled || this.#isPassedOver) return
    const known = Math.min(this.#toSkip, piece.length)
    this.#toSkip -= known
    if (known === piece.length) return
    this.#handedOn += piece.length - known
    this.#events.data(known === 0 ? piece : piece.subarray(known))
  }

  onResponseEnd(): void {
    if (this.#cancelled) return
    if (this.#isPassedOver) this.next()
    else if (this.#toSkip > 0) this.#events.fail('broken', 'shorter than what another origin had')
    else this.#events.end()
  }

  onResponseError(_controller: Dispatcher.DispatchController, err: Error): void {
    if (this.#cancelled) return
    this.#patience?.cancel()
    this.#controller = undefined
    this.#events.failed(this.#origin, err)
    const [next] = this.#origins
    const isElsewhere = next !== undefined && next !== this.#origin
    if (this.#answered ? this.#canGoOn && isElsewhere : next !== undefined) this.next()
    else this.#events.fail(this.#answered ? 'broken' : 'unreachable', messageOf(err))
  }
}
