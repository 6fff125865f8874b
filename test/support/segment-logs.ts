// Segment logs for tests, written in one line per take.
import type { PackagedRendition, PackagedTake } from '../../common/live/live-broadcast.ts'
import {
  type BroadcastFacts,
  type LoggedRendition,
  type LogRow,
  SegmentLog,
} from '../../common/live/segment-log.ts'

export const broadcast: BroadcastFacts = {
  broadcastId: '0b6d1a54-6d6c-4b52-9a57-5e2f3f6f2a11',
  liveId: 'demo',
  broadcastTag: 'abcdefgh12',
  startedAtMs: Date.UTC(2026, 0, 1),
  isRecorded: true,
  firstNumber: 1,
  earlierTakes: 0,
}

export function videoRendition(
  height: number,
  changes: Partial<LoggedRendition> = {},
): LoggedRendition {
  return {
    name: `${height}p`,
    kind: 'video',
    codec: 'avc1.64001f',
    timescale: 90_000,
    width: (height * 16) / 9,
    height,
    framesPerSecond: 30,
    sampleRate: 0,
    channels: 0,
    isSource: false,
    nominalBitsPerSecond: 0,
    ...changes,
  }
}

export const audioRendition: LoggedRendition = {
  ...videoRendition(0),
  name: 'audio',
  kind: 'audio',
  codec: 'mp4a.40.2',
  timescale: 48_000,
  width: 0,
  framesPerSecond: 0,
  sampleRate: 48_000,
  channels: 2,
}

export interface TestTake {
  rows: number
  /** Where its media starts on the timeline. */
  startSeconds: number
  renditions?: LoggedRendition[]
  rowSeconds?: number
}

export const standardRenditions = [
  videoRendition(720, { isSource: true }),
  videoRendition(360),
  audioRendition,
]

export function segmentLog(takes: TestTake[], facts: Partial<BroadcastFacts> = {}): SegmentLog {
  const log = new SegmentLog({ ...broadcast, ...facts })
  for (const take of takes) addTake(log, take)
  return log
}

export function addTake(log: SegmentLog, take: TestTake): LogRow[] {
  const { rows, startSeconds, renditions = standardRenditions, rowSeconds = 2 } = take
  const number = log.broadcast.earlierTakes + log.takes.length + 1
  const name = `${log.broadcast.broadcastTag}-${number}`
  log.addTake({ name, number, folder: `1-${number}`, renditions })
  return Array.from({ length: rows }, (_, index) =>
    addRow(log, {
      number: log.nextNumber,
      startSeconds: startSeconds + index * rowSeconds,
      rowSeconds,
    }),
  )
}

export interface TestRow {
  number: number
  startSeconds: number
  rowSeconds?: number
  /** Of the renditions of the newest take; all of them, unless told. */
  names?: readonly string[]
}

/** A row of the newest take; numbers may leave holes. */
export function addRow(log: SegmentLog, row: TestRow): LogRow {
  const { number, startSeconds, rowSeconds = 2, names } = row
  const take = log.takes.at(-1)!
  const renditions = take.renditions.filter((it) => names?.includes(it.name) ?? true)
  const segments = Object.fromEntries(
    renditions.map((it) => [
      it.name,
      {
        startTicks: Math.round(startSeconds * it.timescale),
        durationTicks: Math.round(rowSeconds * it.timescale),
        sizeBytes: 1_000 * (it.height || 10),
      },
    ]),
  )
  const added = { number, take: take.name, segments }
  log.addRow(added)
  return added
}

/** As the packager hands it to the archive; init sections name their rendition. */
export function packagedTake(
  number: number,
  changes: Partial<PackagedTake> & { logged?: readonly LoggedRendition[] } = {},
): PackagedTake {
  const { logged = standardRenditions, ...rest } = changes
  const renditions = logged.map(
    (it): PackagedRendition => ({
      ...it,
      init: Buffer.from(`init of ${it.name} in take ${number}`),
      track: {
        kind: it.kind,
        trackId: 1,
        timescale: it.timescale,
        codec: it.codec,
        width: it.width,
        height: it.height,
        sampleRate: it.sampleRate,
        channels: it.channels,
        defaults: { durationTicks: 0, sizeBytes: 0, flags: 0 },
      },
    }),
  )
  return {
    name: `${broadcast.broadcastTag}-${number}`,
    number,
    epoch: 1,
    firstNumber: 1,
    startSeconds: 12,
    endSeconds: undefined,
    isRegular: true,
    renditions,
    isComplete: true,
    ...rest,
  }
}
