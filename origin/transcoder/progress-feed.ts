// Tells gateways how far their publishers' media has got in this transcoder: `GET /internal/v1/progress`.
import type { Clock } from '../../common/clock.ts'
import type { ProgressLine } from '../../common/contract/progress.ts'
import { type ProgressAnswer, ProgressLines } from '../../common/relay/progress-lines.ts'

export interface ProgressFeedOptions {
  clock: Clock
  /** A job has progress while a publisher is connected to it. */
  jobs: () => Iterable<{ progress: ProgressLine | undefined }>
}

export class ProgressFeed implements Disposable {
  readonly #lines: ProgressLines

  constructor({ clock, jobs }: ProgressFeedOptions) {
    this.#lines = new ProgressLines({
      clock,
      lines: function* () {
        for (const { progress } of jobs()) if (progress) yield progress
      },
    })
  }

  serve(answer: ProgressAnswer, signal: AbortSignal): void {
    this.#lines.serve(answer, signal)
  }

  [Symbol.dispose](): void {
    this.#lines[Symbol.dispose]()
  }
}
