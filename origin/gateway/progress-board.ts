// The progress of a gateway's connections: heard from their transcoders, and told to the edges that own them.
//
// Edges hear what has come here, not what a transcoder has taken: a gateway looks for another transcoder itself, and an
// edge that left it for that would do so again at the next one.
import type { IncomingMessage } from 'node:http'
import type { Clock } from '../../common/clock.ts'
import type { Progress, ProgressLine, ProgressSource } from '../../common/contract/progress.ts'
import type { Logger } from '../../common/log.ts'
import { ProgressClients } from '../../common/relay/progress-clients.ts'
import {
  type ProgressAnswer,
  ProgressLines,
  progressPath,
} from '../../common/relay/progress-lines.ts'
import type { ProgressSink } from './publish-ingest.ts'

export interface ProgressBoardOptions {
  /** A node token for transcoders. */
  authorize: () => Promise<string>
  clock: Clock
  log: Logger
}

export class ProgressBoard implements ProgressSink, AsyncDisposable {
  readonly #clients: ProgressClients
  readonly #lines: ProgressLines
  readonly #tellers = new Map<string, () => Progress | undefined>()

  constructor(options: ProgressBoardOptions) {
    this.#clients = new ProgressClients(options)
    this.#lines = new ProgressLines({ clock: options.clock, lines: () => this.#told() })
  }

  /** Of the transcoder with this URL. */
  at(url: string): ProgressSource {
    return this.#clients.at(url)
  }

  tell(connection: string, progress: () => Progress | undefined): Disposable {
    this.#tellers.set(connection, progress)
    const forget = () =>
      this.#tellers.get(connection) === progress && this.#tellers.delete(connection)
    return { [Symbol.dispose]: () => void forget() }
  }

  /** For the request handler of the gateway's door. False: it asks for something else. */
  answer(request: Pick<IncomingMessage, 'method' | 'url'>, answer: ProgressAnswer): boolean {
    if (request.method !== 'GET' || request.url !== progressPath) return false
    this.#lines.serve(answer)
    return true
  }

  *#told(): Iterable<ProgressLine> {
    for (const [connection, progress] of this.#tellers) {
      const told = progress()
      if (told) yield { connection, ...told }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#lines[Symbol.dispose]()
    await this.#clients[Symbol.asyncDispose]()
  }
}
