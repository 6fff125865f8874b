// DASH MPDs of a broadcast, live, ended or as a replay, written from its segment log.
export { replayMpd } from './dash-replay.ts'

import { type MpdPeriod, type MpdRepresentation, writeMpd } from '../../media/dash/mpd.ts'
import { listedRows, type WindowSettings } from './hls-manifests.ts'
import { type OfferedRendition, presentationOf } from './presentation.ts'
import {
  type LoggedTake,
  type LogRow,
  rowEndSeconds,
  rowSeconds,
  rowStartSeconds,
  type SegmentLog,
  timelineZeroMs,
} from './segment-log.ts'

/** From `/live/{liveId}/manifest.mpd`, also with a token in front of it. */
const timeUri = '../../time'

export interface MpdSettings extends WindowSettings {
  segmentSeconds: number
}

/** Live, or static over the same timeline once the broadcast has ended. */
export function liveMpd(log: SegmentLog, settings: MpdSettings, nowMs: number): string | undefined {
  const rows = listedRows(log, settings)
  const spans = takeSpans(log, rows)
  const last = spans.at(-1)
  if (!last) return undefined
  const periods = spans.map((span): MpdPeriod => {
    const isOpen = span === last && !log.isEnded
    return {
      id: span.take.name,
      startSeconds: span.takeStartSeconds,
      mediaStartSeconds: span.takeStartSeconds,
      ...(!isOpen && { durationSeconds: span.endSeconds - span.takeStartSeconds }),
      ...representations(log, span),
    }
  })
  const base = { maxSegmentSeconds: settings.targetDurationSeconds, periods }
  if (log.isEnded) return writeMpd({ ...base, durationSeconds: last.endSeconds })
  return writeMpd({
    ...base,
    live: {
      availabilityStartTimeMs: timelineZeroMs(log.broadcast),
      publishTimeMs: nowMs,
      minimumUpdatePeriodSeconds: settings.segmentSeconds,
      timeShiftBufferDepthSeconds: rows.reduce((sum, row) => sum + rowSeconds(log, row), 0),
      suggestedPresentationDelaySeconds: 3 * settings.segmentSeconds,
      timeUri,
    },
  })
}

interface TakeSpan {
  take: LoggedTake
  rows: LogRow[]
  /** Of the take's first row ever, listed or not: a Period never changes its start. */
  takeStartSeconds: number
  endSeconds: number
}

function takeSpans(log: SegmentLog, rows: readonly LogRow[]): TakeSpan[] {
  const spans: TakeSpan[] = []
  for (const row of rows) {
    let span = spans.at(-1)
    if (span?.take.name !== row.take) {
      span = {
        take: log.takeNamed(row.take)!,
        rows: [],
        takeStartSeconds: takeStart(log, row),
        endSeconds: 0,
      }
      spans.push(span)
    }
    span.rows.push(row)
    span.endSeconds = rowEndSeconds(log, row)
  }
  return spans
}

function takeStart(log: SegmentLog, row: LogRow): number {
  let first = row
  for (let before = log.rowBefore(row); before; before = log.rowBefore(before)) {
    if (before.take !== row.take) break
    first = before
  }
  return rowStartSeconds(log, first)
}

function representations(log: SegmentLog, { take, rows }: TakeSpan) {
  const { video, audio } = presentationOf(log, rows, true)
  const write = (it: OfferedRendition): MpdRepresentation => ({
    id: it.name,
    bitsPerSecond: it.peakBitsPerSecond,
    codec: it.codec,
    timescale: it.timescale,
    mediaTemplate: `${take.name}/${it.name}/$Number$.m4s`,
    initializationUri: `${take.name}/${it.name}/init.mp4`,
    startNumber: rows[0]!.number,
    segments: rows.map((row) => row.segments[it.name]!),
    ...(it.kind === 'video'
      ? { width: it.width, height: it.height, framesPerSecond: it.framesPerSecond }
      : { sampleRate: it.sampleRate, channels: it.channels }),
  })
  return { video: video.map(write), audio: audio ? [write(audio)] : [] }
}
