// The last of something that the coordinator has told on disk, so that a node can start while it is away.
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { z } from 'zod'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'

export class SnapshotFile<Snapshot> {
  readonly #file: string
  readonly #schema: z.ZodType<Snapshot>
  readonly #log: Logger
  #pending: Snapshot | undefined
  #writing: Promise<void> | undefined

  constructor(file: string, schema: z.ZodType<Snapshot>, log: Logger) {
    this.#file = file
    this.#schema = schema
    this.#log = log
  }

  /** The stored snapshot; `undefined` when there is none, it cannot be read, or another version wrote it. */
  async read(): Promise<Snapshot | undefined> {
    let text: string
    try {
      text = await readFile(this.#file, 'utf8')
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.#log.warn({ file: this.#file, error: messageOf(err) }, 'snapshot file not readable')
      }
      return undefined
    }
    try {
      return this.#schema.parse(JSON.parse(text))
    } catch (err) {
      this.#log.warn(
        { file: this.#file, error: messageOf(err) },
        'snapshot file ignored: damaged, or of another version',
      )
      return undefined
    }
  }

  /** Writes soon; of several in a row only the newest is written. */
  write(snapshot: Snapshot): void {
    this.#pending = snapshot
    this.#writing ??= this.#drain().finally(() => {
      this.#writing = undefined
    })
  }

  /** Resolves when nothing is left to write. */
  async settled(): Promise<void> {
    await this.#writing
  }

  async #drain(): Promise<void> {
    while (this.#pending) {
      const snapshot = this.#pending
      this.#pending = undefined
      try {
        await mkdir(dirname(this.#file), { recursive: true })
        const temporary = `${this.#file}.new`
        await using handle = await open(temporary, 'w', 0o600)
        await handle.writeFile(JSON.stringify(snapshot))
        // Without the sync a power cut may leave the new name over an empty file.
        await handle.datasync()
        await rename(temporary, this.#file)
      } catch (err) {
        this.#log.warn({ file: this.#file, error: messageOf(err) }, 'snapshot file not written')
      }
    }
  }
}
