// Asks upstream over kept-alive HTTP/1.1 and hands the answer on piece by piece: who is asked, in which order and how
// often is upstream-question.ts. Deadlines are the fill's.
import type { IncomingHttpHeaders } from 'node:http'
import type { Clock } from '../clock.ts'
import { HttpClient } from '../http-client.ts'
import type { Logger } from '../log.ts'
import type { MutualTls } from '../net/mutual-tls.ts'
import type { UpstreamMetrics } from './cache-metrics.ts'
import type { UpstreamFailure } from './error-answer.ts'
import { FirstByteTimes } from './first-byte-times.ts'
import { OriginHealth } from './origin-health.ts'
import { RetryBudget } from './retry-budget.ts'
import { Question, type QuestionTools } from './upstream-question.ts'

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
  /** Nobody holds the answer back: where it takes long to begin, another origin is asked as well. */
  mayHedge?: boolean
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

export interface UpstreamClientOptions {
  clock: Clock
  log: Logger
  connectTimeoutMs: number
  /** For origins by https: whom to believe, and what to show. */
  tls?: MutualTls
  metrics?: UpstreamMetrics
}

export class UpstreamClient implements Upstream, AsyncDisposable {
  readonly #http: HttpClient
  readonly #tools: QuestionTools

  constructor({ clock, log, connectTimeoutMs, tls, metrics }: UpstreamClientOptions) {
    this.#http = new HttpClient({
      connectTimeoutMs,
      headersTimeoutMs: 0,
      bodyTimeoutMs: 0,
      connections: connectionsPerOrigin,
      ...tls,
    })
    this.#tools = {
      dispatcher: this.#http.dispatcher,
      clock,
      log,
      health: new OriginHealth(clock),
      budget: new RetryBudget(clock),
      times: new FirstByteTimes(),
      metrics,
    }
  }

  fetch(request: UpstreamRequest, sink: UpstreamSink): { cancel(): void } {
    this.#tools.budget.earn()
    const question = new Question(this.#tools, request, sink)
    question.start()
    return question
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#http[Symbol.asyncDispose]()
  }
}
