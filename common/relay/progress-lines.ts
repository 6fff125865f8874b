// Writes progress to whoever asks for it: one answer without an end for each, a JSON line for each connection.
import type { ServerResponse } from 'node:http'
import type { Clock, Timer } from '../clock.ts'
import type { ProgressLine } from '../contract/progress.ts'

export const progressPath = '/internal/v1/progress'

export interface ProgressLinesOptions {
  clock: Clock
  /** What is known at each beat. */
  lines: () => Iterable<ProgressLine>
}

export type ProgressAnswer = Pick<
  ServerResponse,
  'writeHead' | 'write' | 'end' | 'once' | 'writableNeedDrain'
>

const beatMs = 500

export class ProgressLines implements Disposable {
  readonly #options: ProgressLinesOptions
  readonly #answers = new Set<ProgressAnswer>()
  #timer: Timer | undefined

  constructor(options: ProgressLinesOptions) {
    this.#options = options
  }

  /** Answers until the one who asked leaves, or the signal aborts. */
  serve(answer: ProgressAnswer, signal?: AbortSignal): void {
    answer.writeHead(200, { 'content-type': 'application/jsonl', 'cache-control': 'no-store' })
    if (signal?.aborted) {
      answer.end()
      return
    }
    this.#answers.add(answer)
    const stop = () => answer.end()
    signal?.addEventListener('abort', stop, { once: true })
    answer.once('close', () => {
      signal?.removeEventListener('abort', stop)
      this.#forget(answer)
    })
    this.#timer ??= this.#options.clock.setInterval(() => this.#beat(), beatMs)
    this.#write(answer, this.#known())
  }

  [Symbol.dispose](): void {
    for (const answer of [...this.#answers]) {
      this.#forget(answer)
      answer.end()
    }
  }

  #forget(answer: ProgressAnswer): void {
    this.#answers.delete(answer)
    if (this.#answers.size > 0) return
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #beat(): void {
    const text = this.#known()
    for (const answer of this.#answers) this.#write(answer, text)
  }

  /** An empty line where nothing is known: it says that we are here. */
  #known(): string {
    return textOf(this.#options.lines()) || '\n'
  }

  /** A reader that is too slow loses lines: each says all that the one before it did. */
  #write(answer: ProgressAnswer, text: string): void {
    if (!answer.writableNeedDrain) answer.write(text)
  }
}

function textOf(lines: Iterable<ProgressLine>): string {
  let text = ''
  for (const line of lines) text += `${JSON.stringify(line)}\n`
  return text
}
