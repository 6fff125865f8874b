// One request to one origin, and what is wrong with it where it fails. Says nothing more once it is left.
import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from '../http-client.ts'
import { version } from '../version.ts'

export interface AttemptEvents {
  head(attempt: Attempt, status: number, headers: IncomingHttpHeaders): void
  data(attempt: Attempt, piece: Buffer): void
  end(attempt: Attempt): void
  failed(attempt: Attempt, err: Error): void
}

export interface AttemptOptions {
  dispatcher: Dispatcher
  origin: string
  path: string
  headers: Record<string, string>
  /** Monotonic. */
  startedAt: number
  events: AttemptEvents
}

export class Attempt implements Dispatcher.DispatchHandler {
  readonly origin: string
  readonly startedAt: number
  readonly #options: AttemptOptions
  #controller: Dispatcher.DispatchController | undefined
  #isLeft = false
  #isCancelled = false
  #isOver = false

  constructor(options: AttemptOptions) {
    this.origin = options.origin
    this.startedAt = options.startedAt
    this.#options = options
  }

  start(): void {
    const { dispatcher, origin, path, headers } = this.#options
    const own = { 'accept-encoding': 'identity', 'user-agent': `nearcast/${version}` }
    try {
      dispatcher.dispatch({ origin, path, method: 'GET', headers: { ...own, ...headers } }, this)
    } catch (err) {
      // A base URL that is none, or a client that has been disposed of.
      this.onResponseError(undefined, err instanceof Error ? err : new Error(String(err)))
    }
  }

  /** Nobody wants the answer. */
  cancel(): void {
    this.#isLeft = true
    if (this.#isOver) return
    this.#isCancelled = true
    this.#controller?.abort(new Error('cancelled'))
  }

  /** Nobody wants the answer, which is a short one: the connection is kept. */
  ignore(): void {
    this.#isLeft = true
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#isCancelled) controller.abort(new Error('cancelled'))
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
  ): void {
    if (status >= 200 && !this.#isLeft) this.#options.events.head(this, status, headers)
  }

  onResponseData(_controller: Dispatcher.DispatchController, piece: Buffer): void {
    if (!this.#isLeft) this.#options.events.data(this, piece)
  }

  onResponseEnd(): void {
    this.#isOver = true
    if (!this.#isLeft) this.#options.events.end(this)
  }

  onResponseError(_controller: unknown, err: Error): void {
    this.#isOver = true
    if (this.#isLeft) return
    this.#isLeft = true
    this.#options.events.failed(this, err)
  }
}

/** The other end closed an idle connection in the moment of its use: the question was not heard. */
export function wasIdleConnection(err: Error): boolean {
  const { code, socket } = err as Error & { code?: string; socket?: { bytesRead?: number } }
  if (code === 'UND_ERR_SOCKET') return (socket?.bytesRead ?? 0) > 0
  return code === 'ECONNRESET' || code === 'EPIPE'
}
