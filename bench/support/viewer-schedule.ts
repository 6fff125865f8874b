// When viewers of a live stream ask for what, by the clock alone: a model of players that the server cannot slow down.
// A request that is answered late delays none after it, and its delay counts in full (no coordinated omission).
import { readLivePlaylist } from '../../test/support/hls-text.ts'

/** Where a stream stands, in wall ms, as its playlist tells. */
export interface LiveTimeline {
  /** Of media, relative to the playlist. */
  folder: string
  segmentMs: number
  partMs: number
  partsEach: number
  /** One segment, and when its media begins. */
  number: number
  beginsAtMs: number
  firstPartId: number
}

export const viewerKinds = ['LL-HLS', 'HLS', 'DASH'] as const
export type ViewerKind = (typeof viewerKinds)[number]

export interface DueRequest {
  /** Of the kind of viewer. */
  what: 'playlist' | 'reload' | 'part' | 'segment' | 'MPD'
  /** Relative to the stream. */
  path: string
  dueMs: number
  /** Before then there is no answer: a blocking reload. */
  availableMs: number
}

/** From the playlist to its viewer, and back; players differ by as much. */
const roadMs = { least: 20, most: 70 }

/** Throws where the playlist has no dated segment with parts. */
export function timelineOf(text: string): LiveTimeline {
  const { segments, partTarget } = readLivePlaylist(text)
  const dated = segments.findLast((it) => it.uri !== undefined && it.parts.length > 0)
  const first = /^(.*\/)p(\d+)\.m4s$/.exec(dated?.parts[0]?.uri ?? '')
  if (!dated || dated.dateMs === undefined || !first || !partTarget) {
    throw new Error(`a playlist of no low latency:\n${text}`)
  }
  return {
    folder: first[1]!,
    segmentMs: dated.seconds * 1000,
    partMs: partTarget * 1000,
    partsEach: dated.parts.length,
    number: dated.number,
    beginsAtMs: dated.dateMs,
    firstPartId: Number(first[2]),
  }
}

export interface ScheduleOptions {
  timeline: LiveTimeline
  rendition: string
  fromMs: number
  untilMs: number
  /** 0 to 1: where between the others this viewer is. */
  phase: number
}

/** In the order of their time. */
export function scheduleOf(kind: ViewerKind, options: ScheduleOptions): DueRequest[] {
  const { fromMs, untilMs } = options
  const all =
    kind === 'LL-HLS'
      ? lowLatency(options)
      : kind === 'HLS'
        ? plainHls(options)
        : plainDash(options)
  return all
    .filter(({ dueMs }) => dueMs >= fromMs && dueMs < untilMs)
    .toSorted((a, b) => a.dueMs - b.dueMs)
}

/** Asks for each part's playlist as soon as it has that of the one before, then for the part. */
function lowLatency({
  timeline,
  rendition,
  fromMs,
  untilMs,
  phase,
}: ScheduleOptions): DueRequest[] {
  const { beginsAtMs, partMs, partsEach, number, folder, firstPartId } = timeline
  const lagMs = lagOf(phase)
  const first = Math.floor((fromMs - beginsAtMs) / partMs)
  const last = Math.ceil((untilMs - beginsAtMs) / partMs)
  return range(first - 1, last + 1).flatMap((part) => {
    const availableMs = beginsAtMs + (part + 1) * partMs
    const msn = number + Math.floor(part / partsEach)
    const index = part - Math.floor(part / partsEach) * partsEach
    const reload = `${rendition}.m3u8?_HLS_msn=${msn}&_HLS_part=${index}`
    const dueMs = availableMs + lagMs
    return [
      { what: 'reload' as const, path: reload, dueMs: dueMs - partMs, availableMs },
      {
        what: 'part' as const,
        path: `${folder}p${firstPartId + part}.m4s`,
        dueMs,
        availableMs: dueMs,
      },
    ]
  })
}

/** Reloads once a segment, wherever in it this viewer came, and then fetches the newest. */
function plainHls({ timeline, rendition, fromMs, untilMs, phase }: ScheduleOptions): DueRequest[] {
  const { segmentMs, folder } = timeline
  const rounds = Math.ceil((untilMs - fromMs) / segmentMs)
  return range(0, rounds).flatMap((round) => {
    const atMs = fromMs + (round + phase) * segmentMs
    const newest = numberAt(timeline, atMs - roadMs.most) - 1
    const dueMs = atMs + lagOf(phase)
    return [
      {
        what: 'playlist' as const,
        path: `${rendition}.m3u8`,
        dueMs: atMs,
        availableMs: atMs,
      },
      { what: 'segment' as const, path: `${folder}${newest}.m4s`, dueMs, availableMs: dueMs },
    ]
  })
}

/** Knows from the clock when a segment is there, and fetches it then; the MPD once a segment. */
function plainDash({ timeline, fromMs, untilMs, phase }: ScheduleOptions): DueRequest[] {
  const { segmentMs, folder, beginsAtMs, number } = timeline
  const lagMs = lagOf(phase)
  const first = numberAt(timeline, fromMs) - 1
  return range(first, numberAt(timeline, untilMs) + 1).flatMap((segment) => {
    const dueMs = beginsAtMs + (segment + 1 - number) * segmentMs + lagMs
    const mpdMs = dueMs + phase * segmentMs
    return [
      { what: 'segment' as const, path: `${folder}${segment}.m4s`, dueMs, availableMs: dueMs },
      { what: 'MPD' as const, path: 'timeline.mpd', dueMs: mpdMs, availableMs: mpdMs },
    ]
  })
}

/** Of the segment that is growing at a time. */
function numberAt({ number, beginsAtMs, segmentMs }: LiveTimeline, atMs: number): number {
  return number + Math.floor((atMs - beginsAtMs) / segmentMs)
}

function lagOf(phase: number): number {
  return roadMs.least + phase * (roadMs.most - roadMs.least)
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index)
}
