// What a node hears of progress at all its next hops: one client for each, however many connections go there.
import type { ProgressSource } from '../contract/progress.ts'
import { HttpClient } from '../http-client.ts'
import { ProgressClient, type ProgressClientOptions } from './progress-client.ts'

export type ProgressClientsOptions = Omit<ProgressClientOptions, 'url' | 'http'> & {
  /** PEM of a certificate authority to trust besides the system's. */
  ca?: string
}

const connectTimeoutMs = 1_000
const answerTimeoutMs = 2_000

export class ProgressClients implements AsyncDisposable {
  readonly #options: ProgressClientsOptions
  readonly #http: HttpClient
  readonly #clients = new Map<string, ProgressClient>()

  constructor(options: ProgressClientsOptions) {
    this.#options = options
    this.#http = new HttpClient({
      connectTimeoutMs,
      headersTimeoutMs: answerTimeoutMs,
      bodyTimeoutMs: 0,
      ...(options.ca !== undefined && { ca: options.ca }),
    })
  }

  /** `url` is the next hop's base URL. A client that nobody watches has no connection open. */
  at(url: string): ProgressSource {
    const base = url.replace(/\/$/, '')
    const known = this.#clients.get(base)
    if (known) return known
    const client = new ProgressClient({ ...this.#options, http: this.#http, url: base })
    this.#clients.set(base, client)
    return client
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#clients.values()].map((it) => it[Symbol.asyncDispose]()))
    await this.#http[Symbol.asyncDispose]()
  }
}
