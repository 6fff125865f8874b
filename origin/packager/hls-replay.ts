// HLS playlists of a replay, written from its segment log.

import { renditionFor } from '../../common/live/presentation.ts'
import {
  type LogRow,
  rowSeconds,
  rowStartSeconds,
  type SegmentLog,
  timelineZeroMs,
} from '../../common/live/segment-log.ts'
import { type PlaylistSegment, writeMediaPlaylist } from '../../media/hls/media-playlist.ts'
import { type Variant, writeMultivariantPlaylist } from '../../media/hls/multivariant-playlist.ts'
import {
  longestSegmentSeconds,
  type ReplaySpan,
  replayPresentation,
  replaySpans,
} from './replay-spans.ts'

export interface ReplaySettings {
  /** Unless a segment is longer. */
  targetDurationSeconds: number
}

export function replayMultivariant(log: SegmentLog): string | undefined {
  const { video, audio } = replayPresentation(replaySpans(log))
  if (video.length === 0 && !audio) return undefined
  if (video.length === 0) {
    return writeMultivariantPlaylist({
      variants: [
        {
          uri: `${audio!.name}.m3u8`,
          bitsPerSecond: audio!.listed.peak,
          averageBitsPerSecond: audio!.listed.average,
          codecs: audio!.codecs,
        },
      ],
    })
  }
  const variants = video.map(
    (it): Variant => ({
      uri: `${it.name}.m3u8`,
      bitsPerSecond: it.listed.peak + (audio?.listed.peak ?? 0),
      averageBitsPerSecond: it.listed.average + (audio?.listed.average ?? 0),
      codecs: [...it.codecs, ...(audio?.codecs ?? [])],
      picture: { width: it.width, height: it.height, framesPerSecond: it.framesPerSecond },
    }),
  )
  return writeMultivariantPlaylist({
    variants,
    ...(audio && {
      audio: { uri: `${audio.name}.m3u8`, name: 'Original', channels: audio.channels },
    }),
  })
}

export function replayMediaPlaylist(
  log: SegmentLog,
  settings: ReplaySettings,
  name: string,
): string | undefined {
  const spans = replaySpans(log)
  const first = spans[0]
  const isOffered = spans.some((span) => span.renditions.some((it) => it.name === name))
  if (!first || !isOffered) return undefined
  const segments = spans.flatMap((span) =>
    span.rows.map((row) => playlistSegment(log, span, row, name, span !== first)),
  )
  return writeMediaPlaylist({
    targetDurationSeconds: Math.max(settings.targetDurationSeconds, longestSegmentSeconds(spans)),
    mediaSequence: first.rows[0]!.number,
    discontinuitySequence: 0,
    segments,
    isEnded: true,
    isVod: true,
  })
}

function playlistSegment(
  log: SegmentLog,
  span: ReplaySpan,
  row: LogRow,
  name: string,
  opensWithDiscontinuity: boolean,
): PlaylistSegment {
  const rendition = renditionFor(span, name)
  const segment = rendition && row.segments[rendition.name]
  const folder = `${row.take}/${rendition?.name ?? name}`
  const startSeconds = segment
    ? segment.startTicks / rendition.timescale
    : rowStartSeconds(log, row)
  return {
    uri: `${folder}/${row.number}.m4s`,
    mapUri: segment && `${folder}/init.mp4`,
    durationSeconds: segment ? segment.durationTicks / rendition.timescale : rowSeconds(log, row),
    programDateTimeMs: timelineZeroMs(log.broadcast) + startSeconds * 1000,
    hasDiscontinuity: opensWithDiscontinuity && row === span.rows[0],
    isGap: segment === undefined,
  }
}
