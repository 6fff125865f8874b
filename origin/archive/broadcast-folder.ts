// One broadcast on disk: its facts, a journal of its takes and rows, and the committed segments.
//
//   {root}/{broadcastId}/broadcast.json      facts, written once, atomically
//   {root}/{broadcastId}/segments.jsonl      one line per take and row, appended; a torn last line is ignored
//   {root}/{broadcastId}/recording.json      present once the broadcast has ended and is kept
//   {root}/{broadcastId}/{epoch}-{take}/{rendition}/{init.mp4, {number}.m4s}
//
// The journal is the truth: after a crash the log is what the journal says, and the files it names exist,
// since a row is journalled only after its files are in place.
import { appendFile, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { type LoggedTake, type LogRow, SegmentLog } from '../packager/segment-log.ts'

const factsSchema = z.object({
  broadcastId: z.uuid(),
  liveId: z.string(),
  broadcastTag: z.string(),
  startedAtMs: z.number(),
  isRecorded: z.boolean(),
  firstNumber: z.int(),
  earlierTakes: z.int(),
})

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
])

/** Ten minutes of usual segments: far more than any live window. */
const maxUnrecordedRows = 300

export class BroadcastFolder {
  readonly path: string
  readonly log: SegmentLog
  /** Appends run one after another, so that lines never mix. */
  #appending: Promise<void> = Promise.resolve()

  constructor(path: string, log: SegmentLog) {
    this.path = path
    this.log = log
  }

  /** Makes the folder of a new broadcast. */
  static async create(root: string, log: SegmentLog): Promise<BroadcastFolder> {
    const folder = new BroadcastFolder(join(root, log.broadcast.broadcastId), log)
    await mkdir(folder.path, { recursive: true })
    await writeAtomically(join(folder.path, 'broadcast.json'), JSON.stringify(log.broadcast))
    return folder
  }

  /** Reads a folder back; `undefined` when it does not hold a broadcast. */
  static async load(path: string): Promise<BroadcastFolder | undefined> {
    const facts = factsSchema.safeParse(await readJson(join(path, 'broadcast.json')))
    if (!facts.success) return undefined
    const log = new SegmentLog(facts.data)
    const journal = await readFile(join(path, 'segments.jsonl'), 'utf8').catch(() => '')
    for (const text of journal.split('\n')) {
      const line = lineSchema.safeParse(parseJson(text))
      if (!line.success) continue
      try {
        if ('take' in line.data) log.addTake(line.data.take)
        else log.addRow(line.data.row)
      } catch {
        // A row that does not fit means the journal was torn there: what comes before it is whole.
        break
      }
    }
    await removeWork(path)
    return new BroadcastFolder(path, log)
  }

  renditionPath(take: LoggedTake, rendition: string): string {
    return join(this.path, take.folder, rendition)
  }

  /** The files of the row must be in place. */
  async commitRow(row: LogRow, newTake?: LoggedTake): Promise<void> {
    if (newTake) this.log.addTake(newTake)
    this.log.addRow(row)
    const lines = newTake ? [{ take: newTake }, { row }] : [{ row }]
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('')
    this.#appending = this.#appending.then(() =>
      appendFile(join(this.path, 'segments.jsonl'), text),
    )
    await this.#appending
    if (!this.log.broadcast.isRecorded)
      await this.#dropRow(this.log.rows.at(-1 - maxUnrecordedRows))
  }

  /** A show that is not recorded may run for months: its old segments go while it runs. */
  async #dropRow(row: LogRow | undefined): Promise<void> {
    const take = row && this.log.takeNamed(row.take)
    for (const { name } of take?.renditions ?? []) {
      await rm(join(this.renditionPath(take!, name), `${row!.number}.m4s`), { force: true })
    }
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
    await this.#appending.catch(() => {})
    await rm(this.path, { recursive: true, force: true })
  }
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
  return parseJson(await readFile(path, 'utf8').catch(() => ''))
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** What encoders that were killed have left behind. */
async function removeWork(path: string): Promise<void> {
  for (const name of await readdir(path)) {
    if (/^\d+-\d+$/.test(name)) await rm(join(path, name, 'work'), { recursive: true, force: true })
  }
}
