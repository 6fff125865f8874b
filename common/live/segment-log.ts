// The log of one broadcast's recorded segments, from which the playlists and MPD of its replay are written.
//
// Structure: a broadcast has takes, a take has renditions, and the log is a list of rows, by number. A row is
// the same two seconds in the renditions of its take; it enters whole or not at all, so all playlists agree on
// discontinuities and times. It lacks a rendition only where that was a gap when it was live. Numbers are
// those of the live playlists and the names of the files; they have holes where nothing could be recorded.
//
// Times: all media times of a broadcast share one origin, `timelineZeroMs` on the wall clock. It lies a
// little before the first frame, so that no encoder delay can push a time below zero.

export interface LoggedRendition {
  name: string
  kind: 'video' | 'audio'
  /** As in RFC 6381. */
  codec: string
  timescale: number
  /** Video only, else 0. */
  width: number
  height: number
  framesPerSecond: number
  /** Audio only, else 0. */
  sampleRate: number
  channels: number
  isSource: boolean
  /** What the encoder was told not to exceed; 0 where the publisher decides. */
  nominalBitsPerSecond: number
}

export interface LoggedTake {
  /** Public name, unique for ever. */
  name: string
  number: number
  /** Private name below the folder of the broadcast. */
  folder: string
  renditions: readonly LoggedRendition[]
}

export interface LoggedSegment {
  startTicks: number
  durationTicks: number
  sizeBytes: number
}

export interface LogRow {
  number: number
  /** Name of the take. */
  take: string
  /** By rendition name; at least one. */
  segments: Readonly<Record<string, LoggedSegment>>
}

export interface BroadcastFacts {
  broadcastId: string
  liveId: string
  broadcastTag: string
  startedAtMs: number
  isRecorded: boolean
  /** Of the first row; above 1 when an earlier transcoder has published rows already. */
  firstNumber: number
  /** Takes that earlier transcoders have published. */
  earlierTakes: number
}

const leadSeconds = 10

export function timelineZeroMs(broadcast: BroadcastFacts): number {
  return broadcast.startedAtMs - leadSeconds * 1000
}

export class SegmentLog {
  readonly broadcast: BroadcastFacts
  readonly #takes: LoggedTake[] = []
  readonly #takesByName = new Map<string, LoggedTake>()
  readonly #rows: LogRow[] = []
  #isEnded = false
  #sizeBytes = 0

  constructor(broadcast: BroadcastFacts) {
    this.broadcast = broadcast
  }

  get takes(): readonly LoggedTake[] {
    return this.#takes
  }

  get rows(): readonly LogRow[] {
    return this.#rows
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Above every row that is here. */
  get nextNumber(): number {
    return (this.#rows.at(-1)?.number ?? this.broadcast.firstNumber - 1) + 1
  }

  /** End of the newest row on the media timeline. */
  get endSeconds(): number {
    const row = this.#rows.at(-1)
    return row ? rowEndSeconds(this, row) : 0
  }

  takeNamed(name: string): LoggedTake | undefined {
    return this.#takesByName.get(name)
  }

  /** A take that is there already gets the renditions that have become known since. */
  addTake(take: LoggedTake): void {
    const index = this.#takes.findIndex((it) => it.name === take.name)
    if (index >= 0) this.#takes[index] = take
    else {
      this.#takes.push(take)
      this.#takes.sort((a, b) => a.number - b.number)
    }
    this.#takesByName.set(take.name, take)
  }

  /** Why the row cannot be added. Rows may come in any order. */
  misfit(row: LogRow, take = this.#takesByName.get(row.take)): string | undefined {
    const names = Object.keys(row.segments)
    if (this.#isEnded) return 'the broadcast has ended'
    if (take?.name !== row.take) return `take ${row.take} is not known`
    if (row.number < this.broadcast.firstNumber) return 'it lies before the first'
    if (this.rowNumbered(row.number)) return 'it is there already'
    if (names.length === 0) return 'it is empty'
    // A zero-length EXTINF breaks players.
    if (Object.values(row.segments).some((it) => it.durationTicks <= 0)) return 'it has no length'
    const stray = names.find((name) => !take.renditions.some((it) => it.name === name))
    return stray === undefined ? undefined : `rendition ${stray} is not known`
  }

  addRow(row: LogRow): void {
    const misfit = this.misfit(row)
    if (misfit !== undefined) {
      throw new Error(`row ${row.number} of take ${row.take} does not fit the log: ${misfit}`)
    }
    for (const { sizeBytes } of Object.values(row.segments)) this.#sizeBytes += sizeBytes
    if (row.number >= this.nextNumber) this.#rows.push(row)
    else this.#rows.splice(this.#indexOf(row.number), 0, row)
  }

  rowNumbered(number: number): LogRow | undefined {
    const row = this.#rows[this.#indexOf(number)]
    return row?.number === number ? row : undefined
  }

  /** Of the first row whose number is not below. */
  #indexOf(number: number): number {
    let [low, high] = [0, this.#rows.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#rows[middle]!.number < number) low = middle + 1
      else high = middle
    }
    return low
  }

  /** What is on disk must be read again. */
  clear(): void {
    this.#isEnded = false
    this.#takes.length = 0
    this.#takesByName.clear()
    this.#rows.length = 0
    this.#sizeBytes = 0
  }

  end(): void {
    this.#isEnded = true
  }

  reopen(): void {
    this.#isEnded = false
  }
}

/** The rendition whose segment measures a row: its first picture, else the sound. */
function leader(log: SegmentLog, row: LogRow): [LoggedRendition, LoggedSegment] {
  const renditions = renditionsOf(log, row)
  const rendition = renditions.find((it) => it.kind === 'video') ?? renditions[0]!
  return [rendition, row.segments[rendition.name]!]
}

/** Those that a row has, in the order of its take. */
export function renditionsOf(log: SegmentLog, row: LogRow): LoggedRendition[] {
  return log.takeNamed(row.take)!.renditions.filter((it) => row.segments[it.name] !== undefined)
}

export function rowStartSeconds(log: SegmentLog, row: LogRow): number {
  const [rendition, segment] = leader(log, row)
  return segment.startTicks / rendition.timescale
}

export function rowSeconds(log: SegmentLog, row: LogRow): number {
  const [rendition, segment] = leader(log, row)
  return segment.durationTicks / rendition.timescale
}

export function rowEndSeconds(log: SegmentLog, row: LogRow): number {
  return rowStartSeconds(log, row) + rowSeconds(log, row)
}
