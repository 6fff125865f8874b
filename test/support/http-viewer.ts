// A viewer over HTTP/1.1, on either road, or HTTP/2 that reads an answer piece by piece and sees how it ends.
import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:http2'
import type { Readable } from 'node:stream'

/** The fast ones have the fast road before node:http and node:http2. */
export const protocols = ['h1', 'h2', 'fast', 'fast-h2'] as const

export type Protocol = (typeof protocols)[number]

export class ViewedAnswer {
  readonly status: number
  readonly headers: Record<string, string>
  readonly #body: Readable
  readonly #close: () => void
  #pieces: Buffer[] = []
  #ended = false
  #broken = false
  #changed: (() => void) | undefined

  constructor(
    status: number,
    headers: Record<string, string>,
    body: Readable,
    close: () => void,
    isPaused: boolean,
  ) {
    this.status = status
    this.headers = headers
    this.#body = body
    this.#close = close
    const change = () => this.#changed?.()
    if (!isPaused) this.resume()
    body.on('end', () => {
      this.#ended = true
      change()
    })
    body.on('error', () => {
      this.#broken = true
      change()
    })
    body.on('close', () => {
      this.#broken = !this.#ended
      change()
    })
  }

  resume(): void {
    this.#body.on('data', (piece: Buffer) => {
      this.#pieces.push(piece)
      this.#changed?.()
    })
  }

  get received(): Buffer {
    return Buffer.concat(this.#pieces)
  }

  /** Resolves when that much has arrived. */
  async bytes(count: number): Promise<Buffer> {
    await this.#until(() => this.received.length >= count || this.#ended || this.#broken)
    return this.received
  }

  /** The whole body and whether it ended cleanly. */
  async rest(): Promise<{ body: Buffer; end: 'clean' | 'broken' }> {
    await this.#until(() => this.#ended || this.#broken)
    this.#close()
    return { body: this.received, end: this.#ended ? 'clean' : 'broken' }
  }

  async text(): Promise<string> {
    return (await this.rest()).body.toString()
  }

  leave(): void {
    this.#body.destroy()
    this.#close()
  }

  async #until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve
      })
    }
  }
}

export interface ViewOptions {
  method?: string
  headers?: Record<string, string>
  /** Takes no byte of the body before `resume()`. */
  isPaused?: boolean
  /** Leaves when this aborts, also before an answer. */
  signal?: AbortSignal
  /** Called when the request has been handed to the kernel. */
  onSent?: () => void
}

/** Resolves with the head of the answer; rejects when the connection breaks before. */
export function view(
  protocol: Protocol,
  base: string,
  path: string,
  options: ViewOptions = {},
): Promise<ViewedAnswer> {
  return protocol.endsWith('h2') ? viewH2(base, path, options) : viewH1(base, path, options)
}

async function viewH1(base: string, path: string, options: ViewOptions): Promise<ViewedAnswer> {
  const { hostname, port } = new URL(base)
  const req = request({
    host: hostname,
    port,
    path,
    method: options.method ?? 'GET',
    headers: options.headers ?? {},
    agent: false,
    ...(options.signal && { signal: options.signal }),
  })
  req.end(() => options.onSent?.())
  const [res] = await once(req, 'response')
  req.on('error', () => {})
  return new ViewedAnswer(
    res.statusCode,
    res.headers,
    res,
    () => req.destroy(),
    options.isPaused === true,
  )
}

async function viewH2(base: string, path: string, options: ViewOptions): Promise<ViewedAnswer> {
  const session = connect(base)
  const stream = session.request(
    { ':path': path, ':method': options.method ?? 'GET', ...options.headers },
    { endStream: true, ...(options.signal && { signal: options.signal }) },
  )
  stream.on('error', () => session.destroy())
  session.on('error', () => {})
  options.onSent?.()
  const [headers] = await once(stream, 'response')
  const { ':status': status, ...rest } = headers
  return new ViewedAnswer(status, rest, stream, () => session.destroy(), options.isPaused === true)
}
