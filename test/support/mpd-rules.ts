// The rules that tie the MPDs of a live stream to its HLS playlists: the same segments under the same names, at
// the same times.
// @ts-expect-error It has no types.
import { parse } from 'mpd-parser'
import type { LiveSegment } from './hls-text.ts'
import {
  type ListedMpd,
  type ListedPeriod,
  type ListedRepresentation,
  readLiveMpd,
} from './live-mpd.ts'

/** Complete segments by playlist and number, as HLS listed them. */
export type SegmentHistory = Map<string, Map<number, LiveSegment>>

export interface MpdContext {
  url: string
  history: SegmentHistory
  /** Decode times found in segments, by URL. */
  samples: readonly { uri: string; ticks: number }[]
}

/** Dates have milliseconds. */
const dateToleranceMs = 2
/** A number told from a time may be off by this share of a segment. */
const gridShare = 0.25

export function mpdFaults(
  text: string,
  { url, history, samples }: MpdContext,
): { faults: string[]; mpd: ListedMpd | undefined } {
  const faults: string[] = []
  let mpd: ListedMpd
  try {
    mpd = readLiveMpd(text)
    parse(text, { manifestUri: url })
  } catch (err) {
    return { faults: [`cannot be parsed: ${err}`], mpd: undefined }
  }
  const byUri = new Map<string, LiveSegment>()
  for (const byNumber of history.values()) {
    for (const segment of byNumber.values()) if (segment.uri) byUri.set(segment.uri, segment)
  }
  const ticks = new Map(samples.map((sample) => [sample.uri, sample.ticks]))
  const ids = mpd.periods.map(({ id }) => id)
  if (new Set(ids).size < ids.length) faults.push('two periods have one id')
  for (const [index, period] of mpd.periods.entries()) {
    const next = mpd.periods[index + 1]
    if (next && period.durationSeconds === undefined) faults.push(`${period.id} has no duration`)
    if (next && period.startSeconds + (period.durationSeconds ?? 0) > next.startSeconds + 0.001) {
      faults.push(`${period.id} reaches into ${next.id}`)
    }
    for (const representation of period.representations) {
      faults.push(...representationFaults(mpd, period, representation, byUri, ticks, url))
    }
  }
  return { faults, mpd }
}

function* representationFaults(
  mpd: ListedMpd,
  period: ListedPeriod,
  it: ListedRepresentation,
  byUri: Map<string, LiveSegment>,
  ticks: Map<string, number>,
  url: string,
): Generator<string> {
  const name = `${period.id}/${it.id}`
  const [before = '', after = ''] = it.media.split('$Number$')
  const dateOf = (time: number) =>
    mpd.availabilityStartMs +
    (period.startSeconds + (time - it.presentationTimeOffset) / it.timescale) * 1000
  for (const [uri, segment] of byUri) {
    if (!uri.startsWith(before) || !uri.endsWith(after) || segment.isGap) continue
    const number = Number(uri.slice(before.length, uri.length - after.length))
    if (number !== segment.number) yield `${name}: number ${number} is ${segment.number} in HLS`
    const start = ticks.get(new URL(uri, url).href)
    if (start !== undefined && Math.abs(dateOf(start) - segment.dateMs!) > dateToleranceMs) {
      yield `${name}: ${number} begins ${(dateOf(start) - segment.dateMs!).toFixed(1)} ms off its date`
    }
    if (it.duration !== undefined) {
      const seconds = it.duration / it.timescale
      const expected = dateOf(it.presentationTimeOffset + (number - it.startNumber) * it.duration)
      const offMs = segment.dateMs! - expected
      if (Math.abs(offMs) > gridShare * seconds * 1000 + dateToleranceMs) {
        yield `${name}: ${number} is ${offMs.toFixed(0)} ms off its place on the grid`
      }
    }
  }
  for (const { number, time, duration } of it.timeline) {
    const segment = byUri.get(`${before}${number}${after}`)
    if (!segment || segment.isGap) continue
    const offMs = dateOf(time) - segment.dateMs!
    if (Math.abs(offMs) > dateToleranceMs)
      yield `${name}: ${number} is ${offMs.toFixed(1)} ms off HLS`
    const longerMs = (duration / it.timescale - segment.seconds) * 1000
    if (Math.abs(longerMs) > dateToleranceMs)
      yield `${name}: ${number} is ${longerMs.toFixed(1)} ms longer`
  }
}
