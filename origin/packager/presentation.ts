// What a set of rows offers as a whole: its renditions, their bitrates, and which segment stands in where a
// take lacks a rendition that the playlists have promised.
import type { LoggedRendition, LoggedTake, LogRow, SegmentLog } from './segment-log.ts'

export interface OfferedRendition extends LoggedRendition {
  peakBitsPerSecond: number
  averageBitsPerSecond: number
  /** All codecs that occur over the takes. */
  codecs: readonly string[]
}

export interface Presentation {
  /** From the tallest down. */
  video: readonly OfferedRendition[]
  audio: OfferedRendition | undefined
}

/** Segments shorter than this say nothing about a bitrate. */
const minimumMeasuredSeconds = 0.5

/** With `newestTakeOnly` just what is being made now is offered, else whatever any row has. */
export function presentationOf(
  log: SegmentLog,
  rows: readonly LogRow[],
  newestTakeOnly: boolean,
): Presentation {
  const names = new Set(rows.map((row) => row.take))
  const takes = log.takes.filter((take) => names.has(take.name))
  const offering = newestTakeOnly ? takes.slice(-1) : takes
  const byName = new Map<string, LoggedRendition>()
  for (const take of offering) for (const it of take.renditions) byName.set(it.name, it)
  const offered = [...byName.values()].map((it) => measure(it, takes, rows, log))
  return {
    video: offered.filter((it) => it.kind === 'video').sort((a, b) => b.height - a.height),
    audio: offered.find((it) => it.kind === 'audio'),
  }
}

/** The rendition of a take that serves a playlist's name: itself, else the picture nearest in height. */
export function renditionFor<R extends LoggedRendition>(
  take: { renditions: readonly R[] },
  name: string,
): R | undefined {
  const exact = take.renditions.find((it) => it.name === name)
  if (exact) return exact
  const height = /^(\d+)p$/.exec(name)?.[1]
  if (height === undefined) return undefined
  const distance = (it: R) => Math.abs(it.height - Number(height))
  return take.renditions
    .filter((it) => it.kind === 'video')
    .sort((a, b) => distance(a) - distance(b))[0]
}

function measure(
  rendition: LoggedRendition,
  takes: readonly LoggedTake[],
  rows: readonly LogRow[],
  log: SegmentLog,
): OfferedRendition {
  let peak = rendition.nominalBitsPerSecond
  let bits = 0
  let seconds = 0
  for (const row of rows) {
    const segment = row.segments[rendition.name]
    const timescale = log
      .takeNamed(row.take)
      ?.renditions.find((it) => it.name === rendition.name)?.timescale
    if (!segment || timescale === undefined) continue
    const duration = segment.durationTicks / timescale
    bits += segment.sizeBytes * 8
    seconds += duration
    if (duration >= minimumMeasuredSeconds)
      peak = Math.max(peak, (segment.sizeBytes * 8) / duration)
  }
  const codecs = takes.flatMap((take) => renditionFor(take, rendition.name)?.codec ?? [])
  const average = seconds > 0 ? bits / seconds : peak
  return {
    ...rendition,
    peakBitsPerSecond: Math.max(peak, average),
    averageBitsPerSecond: average,
    codecs: [...new Set(codecs)],
  }
}
