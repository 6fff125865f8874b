// One broadcast on disk: its facts, a journal of its takes and rows, and the committed segments.
//
//   {root}/{broadcastId}/broadcast.json      facts, written once, atomically
//   {root}/{broadcastId}/segments.jsonl      one line per take and row, appended (journal.ts)
//   {root}/{broadcastId}/recording.json      present once the broadcast has ended and is kept
//   {root}/{broadcastId}/{epoch}-{take}/{rendition}/{init.mp4, {number}.m4s}
//   {root}/{broadcastId}/{n}.tmp             being written; swept at the next start
//
// The journal is the truth: after a crash the log is what the journal says, and the files it names exist,
// since a row is journalled only after its files are in place. A show that is not recorded has no folder: it is
// played from memory.
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { LiveSettings } from '../../common/live/live-broadcast.ts'
import { type LoggedTake, type LogRow, SegmentLog } from '../../common/live/segment-log.ts'
import { Journal, type JournalLine, JournalMovedError, parseJson } from './journal.ts'
import { ListedNumbers, type ListedPoint } from './listed-mark.ts'

const factsSchema = z.object({
  broadcastId: z.uuid(),
  liveId: z.string(),
  broadcastTag: z.string(),
  startedAtMs: z.number(),
  isRecorded: z.boolean(),
  firstNumber: z.int(),
  earlierTakes: z.int(),
})

/** What the packager needs to go on with a broadcast. */
export interface ResumePoint extends ListedPoint {
  settings?: LiveSettings
}

/** A power cut takes files that were named less than a minute ago: so many rows are looked after. */
const unsureRows = 32

export class BroadcastFolder {
  readonly path: string
  readonly log: SegmentLog
  readonly #journal: Journal
  readonly #listed: ListedNumbers
  #settings: LiveSettings | undefined
  #areSettingsWritten = false
  /** What the journal says of each take. */
  readonly #writtenTakes = new Map<string, LoggedTake>()
  /** Appends run one after another. */
  #appending: Promise<void> = Promise.resolve()
  #temporaries = 0

  constructor(path: string, log: SegmentLog) {
    this.path = path
    this.log = log
    this.#journal = new Journal(join(path, 'segments.jsonl'))
    this.#listed = new ListedNumbers({
      nextNumber: log.nextNumber,
      takes: log.broadcast.earlierTakes,
      endSeconds: log.endSeconds,
    })
  }

  /** Makes the folder of a new broadcast. Where the disk refuses, it is made when there is something to write. */
  static async create(root: string, log: SegmentLog): Promise<BroadcastFolder> {
    const folder = new BroadcastFolder(join(root, log.broadcast.broadcastId), log)
    if (log.broadcast.isRecorded) await folder.restore().catch(() => {})
    return folder
  }

  /** Reads a folder back; `undefined` when it does not hold a broadcast. */
  static async load(path: string): Promise<BroadcastFolder | undefined> {
    const facts = factsSchema.safeParse(await readJson(join(path, 'broadcast.json')))
    if (!facts.success) return undefined
    const folder = new BroadcastFolder(path, new SegmentLog(facts.data))
    const isFinished = (await folder.readRecording()) !== undefined
    await folder.#read(isFinished)
    // A disk that is read only has recordings to play all the same.
    if (!isFinished) await sweep(path).catch(() => {})
    return folder
  }

  renditionPath(take: Pick<LoggedTake, 'folder'>, rendition: string): string {
    return join(this.path, take.folder, rendition)
  }

  temporaryPath(): string {
    return join(this.path, `${++this.#temporaries}.tmp`)
  }

  /** Makes what is missing of an empty folder. */
  async restore(): Promise<void> {
    await mkdir(this.path, { recursive: true })
    const path = join(this.path, 'broadcast.json')
    if (!(await sizeOf(path))) await writeAtomically(path, JSON.stringify(this.log.broadcast))
  }

  /** Where to go on; from now on what is listed must be noted. */
  resumePoint(nowMs: number): ResumePoint {
    return {
      ...this.#listed.open(nowMs),
      ...(this.#settings && { settings: this.#settings }),
    }
  }

  noteSettings(settings: LiveSettings): void {
    this.#settings = settings
    this.#areSettingsWritten = false
  }

  /** Was listed live, whether it will be recorded or not. True: `writeNotes` is due. */
  noteListed(listed: Partial<ListedPoint>, nowMs: number): boolean {
    this.#listed.note(listed, nowMs)
    return this.#listed.due(nowMs) !== undefined
  }

  /** Journals what was noted and is not written yet. */
  async writeNotes(nowMs: number, isFinal = false): Promise<void> {
    await this.#serially(async () => {
      const mark = isFinal ? this.#listed.final(nowMs) : this.#listed.due(nowMs)
      const lines: JournalLine[] = this.#settingsLines()
      if (mark) lines.push({ listed: mark })
      await this.#append(lines)
      if (mark) this.#listed.written(mark)
    })
  }

  /** The files of the row must be in place. */
  async commitRow(row: LogRow, take = this.log.takeNamed(row.take)): Promise<void> {
    await this.#serially(async () => {
      const misfit = this.log.misfit(row, take)
      if (misfit !== undefined || !take) {
        throw new Error(`row ${row.number} of take ${row.take} does not fit the log: ${misfit}`)
      }
      const isNewTake = !isSameTake(this.#writtenTakes.get(take.name), take)
      const lines: JournalLine[] = this.#settingsLines()
      if (isNewTake) lines.push({ take: { ...take, renditions: [...take.renditions] } })
      lines.push({ row: { ...row, segments: { ...row.segments } } })
      await this.#append(lines)
      if (isNewTake) this.log.addTake(take)
      this.#writtenTakes.set(take.name, take)
      this.log.addRow(row)
      this.#listed.note({
        nextNumber: row.number + 1,
        takes: take.number,
        endSeconds: this.log.endSeconds,
      })
    })
  }

  /** Every file of the row is there, with the size that the row tells. */
  async holds(row: LogRow, take = this.log.takeNamed(row.take)): Promise<boolean> {
    if (!take) return false
    for (const [name, { sizeBytes }] of Object.entries(row.segments)) {
      const folder = this.renditionPath(take, name)
      if ((await sizeOf(join(folder, `${row.number}.m4s`))) !== sizeBytes) return false
      if (!(await sizeOf(join(folder, 'init.mp4')))) return false
    }
    return true
  }

  async writeRecording(recording: object): Promise<void> {
    await writeAtomically(join(this.path, 'recording.json'), JSON.stringify(recording))
  }

  async readRecording(): Promise<unknown> {
    return await readJson(join(this.path, 'recording.json'))
  }

  /** The broadcast goes on after all. */
  async withdrawRecording(): Promise<void> {
    await rm(join(this.path, 'recording.json'), { force: true })
  }

  async delete(): Promise<void> {
    await this.#appending
    await rm(this.path, { recursive: true, force: true })
  }

  #serially(work: () => Promise<void>): Promise<void> {
    const done = this.#appending.then(work)
    this.#appending = done.catch(() => {})
    return done
  }

  #settingsLines(): JournalLine[] {
    return this.#settings && !this.#areSettingsWritten ? [{ settings: this.#settings }] : []
  }

  async #append(lines: readonly JournalLine[]): Promise<void> {
    if (lines.length === 0) return
    try {
      await this.#journal.append(lines)
      this.#areSettingsWritten = this.#settings !== undefined
    } catch (err) {
      if (err instanceof JournalMovedError) await this.#read(false)
      throw err
    }
  }

  /** Makes the log what the journal says, as far as the files are there. */
  async #read(areFilesSure: boolean): Promise<void> {
    const lines = await this.#journal.read()
    this.log.clear()
    this.#writtenTakes.clear()
    this.#listed.written(undefined)
    this.#areSettingsWritten = false
    const rows: LogRow[] = []
    for (const line of lines) {
      if ('take' in line) {
        this.log.addTake(line.take)
        this.#writtenTakes.set(line.take.name, line.take)
        this.#listed.note({ takes: line.take.number })
      } else if ('listed' in line) this.#listed.read(line.listed)
      else if ('settings' in line) {
        this.#settings ??= line.settings
        this.#areSettingsWritten = true
      } else if (this.log.takeNamed(line.row.take)) rows.push(line.row)
    }
    const unsureFrom = areFilesSure ? rows.length : rows.length - unsureRows
    for (const [index, row] of rows.entries()) {
      this.#listed.note({ nextNumber: row.number + 1 })
      if (this.log.misfit(row) !== undefined) continue
      if (index < unsureFrom || (await this.holds(row))) this.log.addRow(row)
    }
    this.#listed.note({ endSeconds: this.log.endSeconds })
  }
}

function isSameTake(written: LoggedTake | undefined, take: LoggedTake): boolean {
  return written === take || JSON.stringify(written) === JSON.stringify(take)
}

async function writeAtomically(path: string, text: string): Promise<void> {
  const temporary = `${path}.tmp`
  const file = await open(temporary, 'w')
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
}

async function readJson(path: string): Promise<unknown> {
  return parseJson((await readFile(path, 'utf8').catch(ifMissing)) ?? '')
}

async function sizeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(ifMissing))?.size
}

/** A disk that cannot be read is no proof that there is nothing. */
function ifMissing(err: NodeJS.ErrnoException): undefined {
  if (err.code !== 'ENOENT' && err.code !== 'ENOTDIR') throw err
}

/** What a process that was killed has left behind; `work` is from encoders that wrote files. */
async function sweep(path: string): Promise<void> {
  for (const name of await readdir(path)) {
    if (name.endsWith('.tmp')) await rm(join(path, name), { recursive: true, force: true })
    else if (/^\d+-\d+$/.test(name)) {
      await rm(join(path, name, 'work'), { recursive: true, force: true })
    }
  }
}
