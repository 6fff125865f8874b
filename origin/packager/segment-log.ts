// The log of one broadcast's committed segments, from which every playlist and MPD is written.
//
// Structure: a broadcast has takes, a take has renditions, and the log is a list of rows. A row is the same
// two seconds in every rendition of its take; it enters whole or not at all, so all playlists agree on
// numbers, discontinuities and times. Row numbers grow by one and are the media sequence numbers of HLS,
// the segment numbers of DASH and the names of the files.
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
  /** By rendition name; every rendition of the take is present. */
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

  get nextNumber(): number {
    return this.broadcast.firstNumber + this.#rows.length
  }

  /** End of the newest row on the media timeline. */
  get endSeconds(): number {
    const row = this.#rows.at(-1)
    return row ? rowEndSeconds(this, row) : 0
  }

  takeNamed(name: string): LoggedTake | undefined {
    return this.#takesByName.get(name)
  }

  addTake(take: LoggedTake): void {
    this.#takes.push(take)
    this.#takesByName.set(take.name, take)
  }

  /** Adds the next row of a take; its number must be `nextNumber` and its renditions complete. */
  addRow(row: LogRow): void {
    const take = this.#takesByName.get(row.take)
    if (this.#isEnded || !take || row.number !== this.nextNumber) {
      throw new Error(`row ${row.number} of take ${row.take} does not fit the log`)
    }
    for (const { name } of take.renditions) {
      const segment = row.segments[name]
      if (!segment) throw new Error(`row ${row.number} lacks rendition ${name}`)
      this.#sizeBytes += segment.sizeBytes
    }
    this.#rows.push(row)
  }

  end(): void {
    this.#isEnded = true
  }

  reopen(): void {
    this.#isEnded = false
  }
}

/** The newest rows: at least so many, and at least so long in time, as far as there are any. */
export function liveWindow(
  log: SegmentLog,
  minimumRows: number,
  minimumSeconds: number,
): readonly LogRow[] {
  const { rows } = log
  let from = rows.length
  let seconds = 0
  while (from > 0 && (rows.length - from < minimumRows || seconds < minimumSeconds)) {
    from--
    seconds += rowSeconds(log, rows[from]!)
  }
  return rows.slice(from)
}

/** Discontinuities before a row: each take but the first of the broadcast opens with one. */
export function discontinuitiesBefore(log: SegmentLog, row: LogRow): number {
  const index = log.takes.findIndex((take) => take.name === row.take)
  return log.broadcast.earlierTakes + Math.max(0, index)
}

export function opensTake(log: SegmentLog, row: LogRow): boolean {
  const before = log.rows[row.number - log.broadcast.firstNumber - 1]
  return before === undefined ? log.broadcast.earlierTakes > 0 : before.take !== row.take
}

/** The rendition whose segment measures a row: the first picture, else the sound. */
function leader(log: SegmentLog, row: LogRow): [LoggedRendition, LoggedSegment] {
  const take = log.takeNamed(row.take)!
  const rendition = take.renditions.find((it) => it.kind === 'video') ?? take.renditions[0]!
  return [rendition, row.segments[rendition.name]!]
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
