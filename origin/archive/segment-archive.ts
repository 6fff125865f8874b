// Writes what the packager has closed to disk, and makes the recording's journal of it.
//
//   packager ─► init(), segment() ─► queue ─► one writer: file by file ─► row whole? ─► journal
//
// - Live never notices: both calls return at once and never throw. The queue is bounded; what does not fit,
//   and what the disk refuses, is left out of the recording, counted and logged. Nothing is tried again but the
//   init sections, which later segments need: when the disk works again, the recording goes on.
// - A row is the segments of one number. It is journalled once every rendition of its take is on disk or was a
//   gap; a row of which anything was lost is taken off the disk again.
// - One writer per broadcast, and few at a time in the process (disk-turns.ts).
import { mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Clock, Timer } from '../../common/clock.ts'
import {
  isPartlyElsewhere,
  type LiveSettings,
  type PackagedRendition,
  type PackagedSegment,
  type PackagedTake,
} from '../../common/live/live-broadcast.ts'
import type {
  LoggedRendition,
  LoggedSegment,
  LoggedTake,
  LogRow,
} from '../../common/live/segment-log.ts'
import type { Logger } from '../../common/log.ts'
import { LogBudget } from '../../common/log-budget.ts'
import type { BroadcastFolder } from './broadcast-folder.ts'
import { type DiskTurns, sharedDiskTurns } from './disk-turns.ts'
import { FileConflictError, placeFile } from './place-file.ts'

/** Why a segment is not in the recording. */
export type DropReason =
  /** The disk is too slow: the queue was full. */
  | 'overflow'
  | 'disk-full'
  | 'disk-failed'
  /** Another segment of its row was lost, or never came. */
  | 'row-incomplete'
  /** The name was taken by other bytes. */
  | 'conflict'
  /** Another transcoder has begun it, and has its first parts. */
  | 'begun-elsewhere'

export interface SegmentArchiveOptions {
  folder: BroadcastFolder
  clock: Clock
  log: Logger
  maxQueuedBytes?: number
  turns?: DiskTurns
  /** Once per segment that is lost. */
  onDropped?: (reason: DropReason) => void
  /** A row is on disk and journalled. */
  onRow?: (row: LogRow) => void
}

const defaultMaxQueuedBytes = 64 * 1024 * 1024
/** What a queued call costs beside its bytes. */
const callBytes = 1024
/** Rows that wait for a rendition: far more than any rendition may lag behind. */
const maxOpenRows = 64
/** Takes whose init sections are kept in memory. */
const maxKnownTakes = 16
/** A disk that hangs must not keep a broadcast from ending. */
const closeMs = 10_000

interface KnownTake {
  folder: string
  /** As it was last seen: its renditions become known one by one. */
  latest: PackagedTake
  inits: Map<string, { rendition: PackagedRendition; isWritten: boolean }>
}

type Outcome = LoggedSegment | 'gap' | 'lost'

interface OpenRow {
  number: number
  take: KnownTake
  outcomes: Map<string, Outcome>
  /** The disk was given something of it: it is settled in the writer's turn. */
  isOnDisk: boolean
  isDone: boolean
}

export class SegmentArchive {
  readonly #options: SegmentArchiveOptions
  readonly #folder: BroadcastFolder
  readonly #maxQueuedBytes: number
  readonly #turns: DiskTurns
  readonly #lines: LogBudget
  readonly #queue: { sizeBytes: number; work: () => Promise<void> }[] = []
  #queuedBytes = 0
  readonly #takes = new Map<string, KnownTake>()
  /** By number. */
  readonly #rows = new Map<number, OpenRow>()
  #writing: Promise<void> | undefined
  #areNotesQueued = false
  #isFailing = false
  #isClosed = false
  #closing: Promise<void> | undefined

  constructor(options: SegmentArchiveOptions) {
    this.#options = options
    this.#folder = options.folder
    this.#maxQueuedBytes = options.maxQueuedBytes ?? defaultMaxQueuedBytes
    this.#turns = options.turns ?? sharedDiskTurns
    this.#lines = new LogBudget({ clock: options.clock, log: options.log, lines: 5, perMs: 60_000 })
    this.#folder.resumePoint(options.clock.now())
    this.#note({})
  }

  /** Held in memory for the disk. */
  get queuedBytes(): number {
    return this.#queuedBytes
  }

  settings(settings: LiveSettings): void {
    this.#folder.noteSettings(settings)
    this.#queueNotes()
  }

  /** A rendition of a take is known, before any segment of it. */
  init(take: PackagedTake, rendition: PackagedRendition): void {
    if (this.#isClosed) return
    const known = this.#know(take)
    if (!known.inits.has(rendition.name)) {
      known.inits.set(rendition.name, { rendition, isWritten: false })
      // A failure is no loss yet: the first segment tries again.
      if (this.#hasRoom(rendition.init.length)) {
        this.#push(rendition.init.length, () => this.#writeInit(known, rendition.name))
      }
    }
    this.#note({ takes: take.number })
  }

  /** A closed segment, or a gap; its bytes are those of its parts and must not change any more. */
  segment(segment: PackagedSegment, bytes: readonly Buffer[]): void {
    if (this.#isClosed) return
    const { number, rendition, startTicks, durationTicks, take, isGap } = segment
    const endSeconds = (startTicks + durationTicks) / rendition.timescale
    this.#note({ nextNumber: number + 1, takes: take.number, endSeconds })
    if (!this.#folder.log.broadcast.isRecorded) return
    const known = this.#know(take)
    if (!known.inits.has(rendition.name)) {
      known.inits.set(rendition.name, { rendition, isWritten: false })
    }
    const row = this.#row(number, known)
    if (row.isDone || row.outcomes.has(rendition.name)) return
    const sizeBytes = bytes.reduce((sum, it) => sum + it.length, 0)
    if (isPartlyElsewhere(segment)) this.#lose(row, rendition.name, 'begun-elsewhere')
    else if (isGap || sizeBytes === 0) row.outcomes.set(rendition.name, 'gap')
    else if (!this.#hasRoom(sizeBytes)) this.#lose(row, rendition.name, 'overflow')
    else {
      row.isOnDisk = true
      const logged = { startTicks, durationTicks, sizeBytes }
      this.#push(sizeBytes, () => this.#write(row, rendition.name, logged, bytes))
      return
    }
    this.#settleInTurn(row)
  }

  /** Resolves when nothing waits for the disk. */
  async settled(): Promise<void> {
    while (this.#writing) await this.#writing
  }

  /** Nothing more will come: writes what waits, for ten seconds at most. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#isClosed = true
    const { clock } = this.#options
    this.#push(0, async () => {
      for (const row of [...this.#rows.values()]) await this.#settleRow(row, true)
      await this.#writeNotes(true)
    })
    let timer: Timer | undefined
    const late = new Promise<void>((resolve) => {
      timer = clock.setTimeout(() => {
        // What hangs in the kernel is left to it.
        this.#queue.length = 0
        this.#options.log.error('the disk hangs; the end of the recording is lost')
        resolve()
      }, closeMs)
    })
    await Promise.race([this.settled(), late])
    timer?.cancel()
    this.#rows.clear()
    this.#takes.clear()
  }

  #hasRoom(sizeBytes: number): boolean {
    return this.#queuedBytes + callBytes + sizeBytes <= this.#maxQueuedBytes
  }

  /** Of what the disk never saw there is nothing to do, however long it hangs. */
  #settleInTurn(row: OpenRow, isLast = false): void {
    if (row.isOnDisk) this.#push(0, () => this.#settleRow(row, isLast))
  }

  #push(sizeBytes: number, work: () => Promise<void>): void {
    if (!this.#folder.log.broadcast.isRecorded) return
    this.#queue.push({ sizeBytes: sizeBytes + callBytes, work })
    this.#queuedBytes += sizeBytes + callBytes
    this.#writing ??= this.#drain()
  }

  async #drain(): Promise<void> {
    // Not in the packager's own call.
    await Promise.resolve()
    for (let next = this.#queue.shift(); next; next = this.#queue.shift()) {
      await this.#turns.run(next.work).catch((err: unknown) => this.#fail(err, {}))
      this.#queuedBytes -= next.sizeBytes
    }
    this.#queuedBytes = 0
    this.#writing = undefined
  }

  #note(listed: Parameters<BroadcastFolder['noteListed']>[0]): void {
    if (this.#folder.noteListed(listed, this.#options.clock.now())) this.#queueNotes()
  }

  #queueNotes(): void {
    if (this.#areNotesQueued || this.#isClosed) return
    this.#areNotesQueued = true
    this.#push(0, async () => {
      this.#areNotesQueued = false
      await this.#writeNotes(false)
    })
  }

  async #writeNotes(isFinal: boolean): Promise<void> {
    await this.#onDisk(() => this.#folder.writeNotes(this.#options.clock.now(), isFinal))
  }

  #know(take: PackagedTake): KnownTake {
    let known = this.#takes.get(take.name)
    if (!known) {
      known = { folder: `${take.epoch}-${take.number}`, latest: take, inits: new Map() }
      this.#takes.set(take.name, known)
      for (const [name, it] of this.#takes) {
        if (this.#takes.size <= maxKnownTakes) break
        if (![...this.#rows.values()].some((row) => row.take === it)) this.#takes.delete(name)
      }
    }
    known.latest = take
    return known
  }

  #row(number: number, take: KnownTake): OpenRow {
    let row = this.#rows.get(number)
    if (!row) {
      row = { number, take, outcomes: new Map(), isOnDisk: false, isDone: false }
      this.#rows.set(number, row)
      // What waits for so long waits for something that never comes.
      for (const oldest of this.#rows.values()) {
        if (this.#rows.size <= maxOpenRows) break
        this.#rows.delete(oldest.number)
        this.#settleInTurn(oldest, true)
      }
    }
    return row
  }

  async #write(
    row: OpenRow,
    name: string,
    segment: LoggedSegment,
    bytes: readonly Buffer[],
  ): Promise<void> {
    if (row.isDone || [...row.outcomes.values()].includes('lost')) {
      this.#lose(row, name, 'row-incomplete')
    } else {
      try {
        await this.#writeInit(row.take, name)
        await this.#place(this.#segmentPath(row, name), bytes)
        row.outcomes.set(name, segment)
      } catch (err) {
        this.#lose(row, name, this.#fail(err, { number: row.number, rendition: name }))
      }
    }
    await this.#settleRow(row)
  }

  async #writeInit(take: KnownTake, name: string): Promise<void> {
    const init = take.inits.get(name)
    if (!init || init.isWritten) return
    const path = join(this.#folder.renditionPath(take, name), 'init.mp4')
    await this.#place(path, [init.rendition.init])
    init.isWritten = true
  }

  async #place(path: string, bytes: readonly Buffer[]): Promise<void> {
    const place = () => placeFile(path, this.#folder.temporaryPath(), bytes)
    await this.#onDisk(() =>
      place().catch(async (err: unknown) => {
        if (codeOf(err) !== 'ENOENT') throw err
        // The first file of its folder, or somebody has taken folders away, and init sections with them.
        for (const { inits } of this.#takes.values()) {
          for (const init of inits.values()) init.isWritten = false
        }
        await this.#folder.restore()
        await mkdir(dirname(path), { recursive: true })
        await place()
      }),
    )
  }

  /** Journals the row if it is whole, takes it back if it never can be. With `isLast` it is one or the other. */
  async #settleRow(row: OpenRow, isLast = false): Promise<void> {
    if (row.isDone) return
    const { latest } = row.take
    const isKnown = latest.isComplete || isLast
    const isHere = latest.renditions.every((it) => row.outcomes.has(it.name))
    if (!isLast && !(isKnown && isHere)) return
    row.isDone = true
    if (this.#rows.get(row.number) === row) this.#rows.delete(row.number)
    const outcomes = [...row.outcomes]
    const written = outcomes.filter((it): it is [string, LoggedSegment] => {
      return it[1] !== 'gap' && it[1] !== 'lost'
    })
    if (written.length === 0) return
    const isLost = !isHere || outcomes.some(([, it]) => it === 'lost')
    const reason = isLost ? 'row-incomplete' : await this.#journal(row, Object.fromEntries(written))
    if (reason === undefined) return
    for (const [name] of written) {
      this.#options.onDropped?.(reason)
      await rm(this.#segmentPath(row, name), { force: true }).catch(() => {})
    }
  }

  /** Answers why it could not. */
  async #journal(
    { number, take }: OpenRow,
    segments: Record<string, LoggedSegment>,
  ): Promise<DropReason | undefined> {
    const row: LogRow = { number, take: take.latest.name, segments }
    const logged: LoggedTake = {
      name: take.latest.name,
      number: take.latest.number,
      folder: take.folder,
      renditions: take.latest.renditions.map(loggedRendition),
    }
    try {
      for (const name of Object.keys(segments)) await this.#writeInit(take, name)
      if (!(await this.#folder.holds(row, logged))) throw new Error('a file has vanished')
      await this.#onDisk(() => this.#folder.commitRow(row, logged))
    } catch (err) {
      return this.#fail(err, { number })
    }
    this.#options.onRow?.(row)
    return undefined
  }

  #segmentPath(row: OpenRow, name: string): string {
    return join(this.#folder.renditionPath(row.take, name), `${row.number}.m4s`)
  }

  #lose(row: OpenRow, name: string, reason: DropReason): void {
    row.outcomes.set(name, 'lost')
    this.#options.onDropped?.(reason)
    const where = { number: row.number, rendition: name }
    if (reason === 'overflow') this.#fail(undefined, where)
    else if (reason === 'begun-elsewhere' && this.#lines.take()) {
      this.#options.log.warn({ reason, ...where }, 'not recorded')
    }
  }

  /** Remembers that the disk works, and that it has failed. */
  async #onDisk(work: () => Promise<void>): Promise<void> {
    await work()
    if (this.#isFailing) this.#options.log.info('the recording goes on')
    this.#isFailing = false
  }

  #fail(err: unknown, where: { number?: number; rendition?: string }): DropReason {
    this.#isFailing = true
    const reason = err === undefined ? 'overflow' : reasonOf(err)
    if (this.#lines.take()) this.#options.log.warn({ err, reason, ...where }, 'not recorded')
    return reason
  }
}

function codeOf(err: unknown): string | undefined {
  return (err as NodeJS.ErrnoException | undefined)?.code
}

function reasonOf(err: unknown): DropReason {
  if (err instanceof FileConflictError) return 'conflict'
  const code = codeOf(err)
  return code === 'ENOSPC' || code === 'EDQUOT' ? 'disk-full' : 'disk-failed'
}

function loggedRendition(it: PackagedRendition): LoggedRendition {
  const { name, kind, codec, timescale, width, height, framesPerSecond } = it
  const { sampleRate, channels, isSource, nominalBitsPerSecond } = it
  return {
    ...{ name, kind, codec, timescale, width, height, framesPerSecond },
    ...{ sampleRate, channels, isSource, nominalBitsPerSecond },
  }
}
