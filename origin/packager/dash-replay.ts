// The DASH MPD of a replay, written from its segment log.

import type { LoggedRendition, SegmentLog } from '../../common/live/segment-log.ts'
import { type MpdPeriod, type MpdRepresentation, writeMpd } from '../../media/dash/mpd.ts'
import type { ReplaySettings } from './hls-replay.ts'
import {
  longestSegmentSeconds,
  type ReplayPresentation,
  type ReplaySpan,
  replayPresentation,
  replaySpans,
} from './replay-spans.ts'

/** Static, one span after another without the pauses between them. */
export function replayMpd(log: SegmentLog, settings: ReplaySettings): string | undefined {
  const spans = replaySpans(log)
  if (spans.length === 0) return undefined
  const presentation = replayPresentation(spans)
  let startSeconds = 0
  const periods = spans.map((span): MpdPeriod => {
    const { id, durationSeconds } = span
    const representations = span.renditions.map((it) => representation(span, it, presentation))
    const period = {
      id,
      startSeconds,
      mediaStartSeconds: span.startSeconds,
      durationSeconds,
      video: representations.filter((it) => it.width !== undefined),
      audio: representations.filter((it) => it.width === undefined),
    }
    startSeconds += durationSeconds
    return period
  })
  return writeMpd({
    durationSeconds: startSeconds,
    maxSegmentSeconds: Math.max(settings.targetDurationSeconds, longestSegmentSeconds(spans)),
    periods,
  })
}

function representation(
  { take, rows }: ReplaySpan,
  it: LoggedRendition,
  { video, audio }: ReplayPresentation,
): MpdRepresentation {
  const offered = video.find((other) => other.name === it.name) ?? audio!
  return {
    id: it.name,
    bitsPerSecond: offered.own.peak,
    codec: it.codec,
    timescale: it.timescale,
    mediaTemplate: `${take.name}/${it.name}/$Number$.m4s`,
    initializationUri: `${take.name}/${it.name}/init.mp4`,
    startNumber: rows[0]!.number,
    segments: rows.map((row) => row.segments[it.name]!),
    ...(it.kind === 'video'
      ? { width: it.width, height: it.height, framesPerSecond: it.framesPerSecond }
      : { sampleRate: it.sampleRate, channels: it.channels }),
  }
}
