// The coordinator's public API as the command line uses it: JSON in and out, problems as errors with their words.
import { messageOf, ServiceError } from '../common/errors.ts'

export interface ApiClientOptions {
  url: string
  token: string
}

const timeoutMs = 10_000

export class ApiClient {
  readonly url: string
  readonly #token: string

  constructor(options: ApiClientOptions) {
    this.url = options.url.replace(/\/$/, '')
    this.#token = options.token
  }

  async get<T>(path: string): Promise<T> {
    return (await this.#request('GET', path)).json() as Promise<T>
  }

  async post<T>(path: string, body: unknown = {}): Promise<T> {
    return (await this.#request('POST', path, body)).json() as Promise<T>
  }

  async delete(path: string): Promise<void> {
    await this.#request('DELETE', path)
  }

  /** False on 404; every other problem throws. */
  async exists(path: string): Promise<boolean> {
    try {
      await this.#request('GET', path)
      return true
    } catch (err) {
      if (err instanceof ServiceError && err.code === 'http-404') return false
      throw err
    }
  }

  /** Throws a ServiceError with code `http-<status>`, or `coordinator-away` when nothing answers. */
  async #request(method: string, path: string, body?: unknown): Promise<Response> {
    let response: Response
    try {
      response = await fetch(`${this.url}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${this.#token}`,
          ...(body !== undefined && { 'content-type': 'application/json' }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(timeoutMs),
      })
    } catch (err) {
      const cause = err instanceof Error && err.cause ? err.cause : err
      throw new ServiceError(
        `the coordinator at ${this.url} does not answer: ${messageOf(cause)}`,
        {
          code: 'coordinator-away',
          source: 'upstream',
          retryable: true,
          cause: err,
        },
      )
    }
    if (response.ok) return response
    throw new ServiceError(await problemText(response), {
      code: `http-${response.status}`,
      source: response.status < 500 ? 'downstream' : 'upstream',
    })
  }
}

/** Title and detail of an RFC 9457 problem, or the status where the body is something else. */
async function problemText(response: Response): Promise<string> {
  const text = await response.text()
  try {
    const problem = JSON.parse(text) as { title?: string; detail?: string }
    const words = [problem.title, problem.detail].filter(Boolean).join(': ')
    if (words) return words
  } catch {}
  return `${response.status} ${response.statusText}`
}
