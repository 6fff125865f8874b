// Watches the work folder of one take and commits its rows in order, until the take is over.
import { type FSWatcher, watch } from 'node:fs'
import { rm } from 'node:fs/promises'
import type { Clock, Timer } from '../../common/clock.ts'
import { messageOf } from '../../common/errors.ts'
import type { BroadcastFolder } from '../archive/broadcast-folder.ts'
import { type CollectedStream, SegmentCollector } from './segment-collector.ts'
import type { LoggedTake, LogRow } from './segment-log.ts'

export interface TakeRecorderOptions {
  folder: BroadcastFolder
  /** Name, number and folder of the take; its renditions are known with the first row. */
  take: Omit<LoggedTake, 'renditions'>
  workFolder: string
  streams: readonly CollectedStream[]
  clock: Clock
  /** Rows of the take before this one come first. */
  after: Promise<void>
  onRow: (row: LogRow) => void
  /** A file cannot be used: the take cannot go on. */
  onBroken: (reason: string) => void
}

/** For file systems that report no changes. */
const pollMs = 500

export class TakeRecorder {
  readonly #options: TakeRecorderOptions
  readonly #collector: SegmentCollector
  readonly #done = Promise.withResolvers<void>()
  #watcher: FSWatcher | undefined
  #pollTimer: Timer | undefined
  #take: LoggedTake
  #rowCount = 0
  #isCollecting = false
  #isWanted = false
  #isClosing = false
  #isBroken = false

  constructor(options: TakeRecorderOptions) {
    this.#options = options
    this.#take = { ...options.take, renditions: [] }
    this.#collector = new SegmentCollector({
      workFolder: options.workFolder,
      streams: options.streams,
      folderOf: (rendition) => options.folder.renditionPath(this.#take, rendition),
      nextNumber: () => options.folder.log.nextNumber,
    })
  }

  get rowCount(): number {
    return this.#rowCount
  }

  /** Resolves when every row is committed and the work folder is gone. */
  get done(): Promise<void> {
    return this.#done.promise
  }

  start(): void {
    void this.#options.after.then(() => {
      if (!this.#isClosing) {
        try {
          this.#watcher = watch(this.#options.workFolder, () => this.#poke())
          this.#watcher.on('error', () => {})
        } catch {
          // Polling does it alone.
        }
        this.#pollTimer = this.#options.clock.setInterval(() => this.#poke(), pollMs)
      }
      this.#poke()
    })
  }

  /** No more files will come: commits what is there, then ends. */
  close(): Promise<void> {
    this.#isClosing = true
    this.#stopWatching()
    void this.#options.after.then(() => this.#poke())
    return this.done
  }

  #poke(): void {
    this.#isWanted = true
    if (!this.#isCollecting) void this.#collect()
  }

  async #collect(): Promise<void> {
    this.#isCollecting = true
    while (this.#isWanted && !this.#isBroken) {
      this.#isWanted = false
      try {
        await this.#collectAll()
      } catch (err) {
        this.#break(messageOf(err))
      }
    }
    this.#isCollecting = false
    if (this.#isClosing) await this.#end()
  }

  async #collectAll(): Promise<void> {
    const { folder } = this.#options
    for (;;) {
      const result = await this.#collector.collect()
      if (result.kind === 'none') return
      if (result.kind === 'broken') return this.#break(result.reason)
      const isFirst = result.row.renditions !== undefined
      if (result.row.renditions) this.#take = { ...this.#take, renditions: result.row.renditions }
      const row = {
        number: folder.log.nextNumber,
        take: this.#take.name,
        segments: result.row.segments,
      }
      await folder.commitRow(row, isFirst ? this.#take : undefined)
      this.#rowCount++
      this.#options.onRow(row)
    }
  }

  #break(reason: string): void {
    this.#isBroken = true
    this.#stopWatching()
    // The tail of a take that is over anyway may be torn; that is no news.
    if (!this.#isClosing) this.#options.onBroken(reason)
  }

  #stopWatching(): void {
    this.#watcher?.close()
    this.#pollTimer?.cancel()
  }

  async #end(): Promise<void> {
    await rm(this.#options.workFolder, { recursive: true, force: true })
    this.#done.resolve()
  }
}
