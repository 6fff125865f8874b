// A patient HTTP/1.1 client for tests that trusts one authority, keeps its connections and reads whole answers.
import { type IncomingMessage, Agent as PlainAgent, request as plainRequest } from 'node:http'
import { Agent, request } from 'node:https'

export interface ReadAnswer {
  status: number
  headers: IncomingMessage['headers']
  body: Buffer
  /** How the body arrived: the sizes of its pieces. */
  pieces: number[]
}

export class TlsClient {
  readonly #secure: Agent
  readonly #plain = new PlainAgent({ keepAlive: true })

  /** @param ca PEM of the only authority that is trusted. */
  constructor(ca: string | Buffer) {
    this.#secure = new Agent({ keepAlive: true, ca })
  }

  /** Rejects when the connection breaks; once more is tried where an idle one had been closed meanwhile. */
  async get(url: string, options: { signal?: AbortSignal } = {}): Promise<ReadAnswer> {
    try {
      return await this.#get(url, options)
    } catch (err) {
      if ((err as { code?: string }).code !== 'ECONNRESET' || options.signal?.aborted) throw err
      return await this.#get(url, options)
    }
  }

  close(): void {
    this.#secure.destroy()
    this.#plain.destroy()
  }

  #get(url: string, { signal }: { signal?: AbortSignal }): Promise<ReadAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<ReadAnswer>()
    const isSecure = url.startsWith('https:')
    const req = (isSecure ? request : plainRequest)(
      url,
      { agent: isSecure ? this.#secure : this.#plain, ...(signal && { signal }) },
      (res) => {
        const pieces: Buffer[] = []
        res.on('data', (piece: Buffer) => pieces.push(piece))
        res.on('error', reject)
        res.on('end', () =>
          resolve({
            status: res.statusCode ?? 0,
            headers: res.headers,
            body: Buffer.concat(pieces),
            pieces: pieces.map(({ length }) => length),
          }),
        )
      },
    )
    req.on('error', reject)
    req.end()
    return promise
  }
}
