// What a gateway knows of the progress of its connections: it hears it from their transcoders and passes it on to
// the edges that own them, line by line, so that a transcoder that falls silent is silent to everybody.
import type { IncomingMessage } from 'node:http'
import type { Clock } from '../../common/clock.ts'
import type { ProgressSource } from '../../common/contract/progress.ts'
import type { Logger } from '../../common/log.ts'
import { ProgressClients } from '../../common/relay/progress-clients.ts'
import {
  type ProgressAnswer,
  ProgressLines,
  progressPath,
} from '../../common/relay/progress-lines.ts'

export interface ProgressBoardOptions {
  /** A node token for transcoders. */
  authorize: () => Promise<string>
  clock: Clock
  log: Logger
}

export class ProgressBoard implements AsyncDisposable {
  readonly #clients: ProgressClients
  readonly #lines: ProgressLines

  constructor(options: ProgressBoardOptions) {
    this.#clients = new ProgressClients(options)
    this.#lines = new ProgressLines(options)
  }

  /** Of the transcoder with this URL: what is watched there is passed on to the edges too. */
  at(url: string): ProgressSource {
    const source = this.#clients.at(url)
    return {
      watch: (connection, listener) =>
        source.watch(connection, (progress) => {
          this.#lines.send({ connection, ...progress })
          listener(progress)
        }),
    }
  }

  /** For the request handler of the gateway's door. False: it asks for something else. */
  answer(request: Pick<IncomingMessage, 'method' | 'url'>, answer: ProgressAnswer): boolean {
    if (request.method !== 'GET' || request.url !== progressPath) return false
    this.#lines.serve(answer)
    return true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#lines[Symbol.dispose]()
    await this.#clients[Symbol.asyncDispose]()
  }
}
