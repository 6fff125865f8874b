// HTTP towards other nodes: a pool of kept-alive HTTP/1.1 connections with a deadline on every phase.
import { Agent, type Dispatcher } from 'undici'

export type { Dispatcher } from 'undici'

export type HttpResponse = Dispatcher.ResponseData

export interface HttpClientOptions {
  connectTimeoutMs?: number
  /** From the request's last byte to the answer's headers; 0 is no limit. */
  headersTimeoutMs?: number
  /** Between two pieces of a body; 0 is no limit, for event streams. */
  bodyTimeoutMs?: number
  /** Connections per origin; undefined is no limit. */
  connections?: number
  keepAliveMs?: number
  /** PEM of the certificate authorities to trust in place of the system's. */
  ca?: string
  /** PEM of the certificate that is shown, and of its key. */
  cert?: string
  key?: string
}

export interface HttpRequest {
  method?: Dispatcher.HttpMethod
  headers?: Record<string, string>
  body?: string | Buffer
  signal?: AbortSignal
  headersTimeoutMs?: number
  bodyTimeoutMs?: number
}

export class HttpClient implements AsyncDisposable {
  readonly #agent: Agent

  constructor(options: HttpClientOptions = {}) {
    this.#agent = new Agent({
      // HTTP/2 towards one origin would put every stream behind one TCP connection's losses.
      allowH2: false,
      connections: options.connections ?? null,
      pipelining: 1,
      keepAliveTimeout: options.keepAliveMs ?? 4_000,
      keepAliveMaxTimeout: 60_000,
      headersTimeout: options.headersTimeoutMs ?? 10_000,
      bodyTimeout: options.bodyTimeoutMs ?? 10_000,
      connect: {
        timeout: options.connectTimeoutMs ?? 3_000,
        ...(options.ca !== undefined && { ca: options.ca }),
        ...(options.cert !== undefined && { cert: options.cert, key: options.key }),
      },
    })
  }

  /** For code that needs undici's handler interface. */
  get dispatcher(): Dispatcher {
    return this.#agent
  }

  /** Rejects on network errors and deadlines; every status is an answer. The body must be read or dumped. */
  request(url: string | URL, request: HttpRequest = {}): Promise<HttpResponse> {
    const target = typeof url === 'string' ? new URL(url) : url
    return this.#agent.request({
      origin: target.origin,
      path: target.pathname + target.search,
      method: request.method ?? 'GET',
      headers: request.headers ?? {},
      body: request.body ?? null,
      signal: request.signal ?? null,
      ...(request.headersTimeoutMs !== undefined && { headersTimeout: request.headersTimeoutMs }),
      ...(request.bodyTimeoutMs !== undefined && { bodyTimeout: request.bodyTimeoutMs }),
    })
  }

  /** Drops what is under way: whoever disposes has drained before. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy()
  }
}
