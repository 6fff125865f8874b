// Reads JSON lines of progress: bytes in, lines out, bounded in memory. What is no such line is passed over.
import { type ProgressLine, progressLineSchema } from '../contract/progress.ts'

const maxLineChars = 4_096

export class ProgressReader {
  readonly #decoder = new TextDecoder()
  #rest = ''

  /** Lines that the piece completes. */
  push(piece: Uint8Array): ProgressLine[] {
    const texts = (this.#rest + this.#decoder.decode(piece, { stream: true })).split('\n')
    const rest = texts.pop()!
    // The end of one that is too long is no line either.
    this.#rest = rest.length > maxLineChars ? rest.slice(0, maxLineChars + 1) : rest
    return texts.flatMap((text) => (text.length > maxLineChars ? [] : readLine(text)))
  }
}

function readLine(text: string): ProgressLine[] {
  if (text === '') return []
  try {
    const line = progressLineSchema.safeParse(JSON.parse(text))
    return line.success ? [line.data] : []
  } catch {
    return []
  }
}
