// The journal of one broadcast: one JSON line per take, row, setting and mark, appended, never rewritten.
//
// A line counts when it parses; anything else is skipped, so that a torn write costs the line it tore. An append
// that fails is cut off again; where even that fails, the next one begins with a newline of its own. The size is
// checked before each append: what somebody else did to the file is noticed.
import { open, readFile } from 'node:fs/promises'
import { z } from 'zod'

const renditionSchema = z.object({
  name: z.string().regex(/^[a-z0-9]{1,16}$/),
  kind: z.enum(['video', 'audio']),
  codec: z.string(),
  timescale: z.int().positive(),
  width: z.int(),
  height: z.int(),
  framesPerSecond: z.number(),
  sampleRate: z.int(),
  channels: z.int(),
  isSource: z.boolean(),
  nominalBitsPerSecond: z.number(),
})

const lineSchema = z.union([
  z.object({
    take: z.object({
      name: z.string().regex(/^[a-z0-9]+-\d+$/),
      number: z.int(),
      folder: z.string().regex(/^\d+-\d+$/),
      renditions: z.array(renditionSchema).min(1),
    }),
  }),
  z.object({
    row: z.object({
      number: z.int(),
      take: z.string(),
      segments: z.record(
        z.string(),
        z.object({ startTicks: z.number(), durationTicks: z.number(), sizeBytes: z.number() }),
      ),
    }),
  }),
  z.object({
    settings: z.object({
      targetDurationSeconds: z.number().positive(),
      partTargetSeconds: z.number().positive(),
      segmentSeconds: z.number().positive(),
      windowSegments: z.int().positive(),
    }),
  }),
  z.object({
    listed: z.object({
      below: z.int(),
      takes: z.int(),
      endSeconds: z.number(),
      atMs: z.number(),
      isFinal: z.boolean(),
    }),
  }),
])

export type JournalLine = z.infer<typeof lineSchema>

/** The file is not what it was after the last append: it must be read again. */
export class JournalMovedError extends Error {
  constructor(path: string) {
    super(`${path} was changed by somebody else`)
    this.name = 'JournalMovedError'
  }
}

export class Journal {
  readonly #path: string
  #sizeBytes = 0
  #endsTorn = false

  constructor(path: string) {
    this.#path = path
  }

  /** A journal that is not there is empty. */
  async read(): Promise<JournalLine[]> {
    const bytes = await readFile(this.#path).catch((err: NodeJS.ErrnoException) => {
      if (err.code === 'ENOENT') return Buffer.alloc(0)
      throw err
    })
    this.#sizeBytes = bytes.length
    this.#endsTorn = bytes.length > 0 && bytes.at(-1) !== 0x0a
    const lines: JournalLine[] = []
    for (const text of bytes.toString('utf8').split('\n')) {
      const line = lineSchema.safeParse(parseJson(text))
      if (line.success) lines.push(line.data)
    }
    return lines
  }

  /** All lines or none, as far as the disk allows. */
  async append(lines: readonly JournalLine[]): Promise<void> {
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('')
    const bytes = Buffer.from(this.#endsTorn ? `\n${text}` : text)
    const file = await open(this.#path, 'a')
    try {
      if ((await file.stat()).size !== this.#sizeBytes) throw new JournalMovedError(this.#path)
      try {
        await file.appendFile(bytes)
      } catch (err) {
        await file.truncate(this.#sizeBytes).catch(() => {})
        throw err
      }
      this.#sizeBytes += bytes.length
      this.#endsTorn = false
    } finally {
      await file.close()
    }
  }
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
