// A replay as runs of rows that play without a seam, which playlists and MPD share.
//
// A span is one take, numbers without a hole, and the same renditions in every row. Where one ends, every
// playlist has a discontinuity and the MPD a new Period, so that all of them agree whatever was lost; the time
// between two spans is left out, as nobody wants to wait in a recording.
import { renditionFor } from '../../common/live/presentation.ts'
import {
  type LoggedRendition,
  type LoggedTake,
  type LogRow,
  renditionsOf,
  rowEndSeconds,
  rowSeconds,
  rowStartSeconds,
  type SegmentLog,
} from '../../common/live/segment-log.ts'

export interface ReplaySpan {
  /** Unique in the replay. */
  id: string
  take: LoggedTake
  /** Every row has a segment of each. */
  renditions: readonly LoggedRendition[]
  rows: readonly LogRow[]
  /** On the media timeline. */
  startSeconds: number
  durationSeconds: number
}

export interface Bitrates {
  peak: number
  average: number
}

export interface ReplayRendition extends LoggedRendition {
  /** Of its own segments. */
  own: Bitrates
  /** Of its playlist, in which others stand in where there are none of its own. */
  listed: Bitrates
  /** All codecs that occur in its playlist. */
  codecs: readonly string[]
}

export interface ReplayPresentation {
  /** From the tallest down. */
  video: readonly ReplayRendition[]
  audio: ReplayRendition | undefined
}

/** A last row that is shorter, a frame or two, is left out: players stumble over it, nobody misses it. */
const minimumTailSeconds = 0.1
/** Segments shorter than this say nothing about a bitrate. */
const minimumMeasuredSeconds = 0.5

export function replaySpans(log: SegmentLog): ReplaySpan[] {
  const runs: LogRow[][] = []
  for (const row of log.rows) {
    const run = runs.at(-1)
    const before = run?.at(-1)
    if (run && before && goesOn(before, row)) run.push(row)
    else runs.push([row])
  }
  const trimmed = runs.map((rows) => withoutTail(log, rows)).filter((rows) => rows.length > 0)
  const names = new Set<string>()
  return (trimmed.length > 0 ? trimmed : runs).map((rows): ReplaySpan => {
    const first = rows[0]!
    const startSeconds = rowStartSeconds(log, first)
    const id = names.has(first.take) ? `${first.take}-${first.number}` : first.take
    names.add(first.take)
    return {
      id,
      take: log.takeNamed(first.take)!,
      renditions: renditionsOf(log, first),
      rows,
      startSeconds,
      durationSeconds: rowEndSeconds(log, rows.at(-1)!) - startSeconds,
    }
  })
}

function goesOn(before: LogRow, row: LogRow): boolean {
  if (row.take !== before.take || row.number !== before.number + 1) return false
  const names = Object.keys(row.segments)
  return (
    names.length === Object.keys(before.segments).length &&
    names.every((name) => before.segments[name] !== undefined)
  )
}

function withoutTail(log: SegmentLog, rows: LogRow[]): LogRow[] {
  const isTail = rowSeconds(log, rows.at(-1)!) < minimumTailSeconds
  return isTail ? rows.slice(0, -1) : rows
}

export function replayPresentation(spans: readonly ReplaySpan[]): ReplayPresentation {
  const byName = new Map<string, LoggedRendition>()
  for (const { renditions } of spans) for (const it of renditions) byName.set(it.name, it)
  const offered = [...byName.values()].map((it): ReplayRendition => {
    const { name, nominalBitsPerSecond } = it
    const own = (span: ReplaySpan) => span.renditions.find((other) => other.name === name)
    const listed = (span: ReplaySpan) => renditionFor(span, name)
    return {
      ...it,
      own: bitrates(spans, own, nominalBitsPerSecond),
      listed: bitrates(spans, listed, nominalBitsPerSecond),
      codecs: [...new Set(spans.flatMap((span) => listed(span)?.codec ?? []))],
    }
  })
  return {
    video: offered.filter((it) => it.kind === 'video').sort((a, b) => b.height - a.height),
    audio: offered.find((it) => it.kind === 'audio'),
  }
}

/** Over all renditions, since all playlists have the same target duration; rounded as EXTINF is. */
export function longestSegmentSeconds(spans: readonly ReplaySpan[]): number {
  let longest = 0
  for (const { renditions, rows } of spans) {
    for (const row of rows) {
      for (const { name, timescale } of renditions) {
        longest = Math.max(longest, Math.round(row.segments[name]!.durationTicks / timescale))
      }
    }
  }
  return longest
}

/** Never below what the encoder was allowed to spend. */
function bitrates(
  spans: readonly ReplaySpan[],
  pick: (span: ReplaySpan) => LoggedRendition | undefined,
  nominal: number,
): Bitrates {
  let peak = nominal
  let bits = 0
  let seconds = 0
  for (const span of spans) {
    const rendition = pick(span)
    if (!rendition) continue
    for (const row of span.rows) {
      const { sizeBytes, durationTicks } = row.segments[rendition.name]!
      const duration = durationTicks / rendition.timescale
      bits += sizeBytes * 8
      seconds += duration
      if (duration >= minimumMeasuredSeconds) peak = Math.max(peak, (sizeBytes * 8) / duration)
    }
  }
  const average = seconds > 0 ? bits / seconds : peak
  return { peak: Math.max(peak, average), average }
}
