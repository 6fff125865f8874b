// HLS playlists of a broadcast, live, ended or as a replay, written from its segment log.
export { replayMediaPlaylist, replayMultivariant } from './hls-replay.ts'

import { type PlaylistSegment, writeMediaPlaylist } from '../../media/hls/media-playlist.ts'
import { type Variant, writeMultivariantPlaylist } from '../../media/hls/multivariant-playlist.ts'
import { type Presentation, presentationOf, renditionFor } from './presentation.ts'
import {
  discontinuitiesBefore,
  type LogRow,
  liveWindow,
  opensTake,
  rowSeconds,
  rowStartSeconds,
  type SegmentLog,
  timelineZeroMs,
} from './segment-log.ts'

export interface WindowSettings {
  /** Never changes while a broadcast runs (RFC 8216bis §6.2.1). */
  targetDurationSeconds: number
  windowRows: number
}

/** A live playlist must not fall below three target durations (§6.2.2). */
const minimumTargetDurations = 3

export function listedRows(log: SegmentLog, settings: WindowSettings): readonly LogRow[] {
  const minimumSeconds = minimumTargetDurations * settings.targetDurationSeconds
  return liveWindow(log, settings.windowRows, minimumSeconds)
}

export function liveMultivariant(log: SegmentLog, settings: WindowSettings): string | undefined {
  return multivariant(presentationOf(log, listedRows(log, settings), !log.isEnded))
}

export function liveMediaPlaylist(
  log: SegmentLog,
  settings: WindowSettings,
  name: string,
): string | undefined {
  return mediaPlaylist(log, listedRows(log, settings), settings, name, false)
}

function multivariant({ video, audio }: Presentation): string | undefined {
  if (video.length === 0 && !audio) return undefined
  if (video.length === 0) {
    return writeMultivariantPlaylist({
      variants: [
        {
          uri: `${audio!.name}.m3u8`,
          bitsPerSecond: audio!.peakBitsPerSecond,
          averageBitsPerSecond: audio!.averageBitsPerSecond,
          codecs: audio!.codecs,
        },
      ],
    })
  }
  const variants = video.map(
    (it): Variant => ({
      uri: `${it.name}.m3u8`,
      bitsPerSecond: it.peakBitsPerSecond + (audio?.peakBitsPerSecond ?? 0),
      averageBitsPerSecond: it.averageBitsPerSecond + (audio?.averageBitsPerSecond ?? 0),
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

function mediaPlaylist(
  log: SegmentLog,
  rows: readonly LogRow[],
  settings: WindowSettings,
  name: string,
  isVod: boolean,
): string | undefined {
  const first = rows[0]
  const wasOffered = log.takes.some((take) => take.renditions.some((it) => it.name === name))
  if (!first || !wasOffered) return undefined
  const zeroMs = timelineZeroMs(log.broadcast)
  let isFirst = true
  const segments = rows.map((row): PlaylistSegment => {
    const rendition = renditionFor(log.takeNamed(row.take)!, name)
    const segment = rendition && row.segments[rendition.name]
    const folder = `${row.take}/${rendition?.name ?? name}`
    const startSeconds = segment
      ? segment.startTicks / rendition.timescale
      : rowStartSeconds(log, row)
    // A discontinuity before the very first segment of a replay would shift its sequence for nothing.
    const hasDiscontinuity = opensTake(log, row) && !(isVod && isFirst)
    isFirst = false
    return {
      uri: `${folder}/${row.number}.m4s`,
      mapUri: `${folder}/init.mp4`,
      durationSeconds: segment ? segment.durationTicks / rendition.timescale : rowSeconds(log, row),
      programDateTimeMs: zeroMs + startSeconds * 1000,
      hasDiscontinuity,
      isGap: segment === undefined,
    }
  })
  const longest = Math.max(...segments.map((segment) => Math.round(segment.durationSeconds)))
  return writeMediaPlaylist({
    targetDurationSeconds: isVod
      ? Math.max(settings.targetDurationSeconds, longest)
      : settings.targetDurationSeconds,
    mediaSequence: first.number,
    // A tag on the first listed segment is counted only once the segment has left.
    discontinuitySequence: isVod
      ? 0
      : discontinuitiesBefore(log, first) - (opensTake(log, first) ? 1 : 0),
    segments,
    isEnded: log.isEnded || isVod,
    isVod,
  })
}
