// DASH MPDs of a live broadcast, and of one that has just ended, written from what the packager publishes.
//
// - A take is a Period. Media times are the wall clock's (`timelineZeroMs`), so a Period starts at the media
//   time of its first sample, and neither start nor first number ever changes.
// - Addressed by `number`, a regular take is a grid of segments: the client computes the newest number from the
//   clock, asks before the segment is whole, and gets its parts as they come. Numbers without media are 404.
// - Addressed by `timeline`, or irregular, it is a list of whole segments. In a SegmentTimeline numbers step by
//   one from entry to entry, so a rendition is listed from behind its last gap.
// - After the end the MPD is static on the same timeline.
import {
  type MpdAddressing,
  type MpdPeriod,
  type MpdRepresentation,
  type MpdService,
  writeMpd,
} from '../../media/dash/mpd.ts'
import type {
  LiveBroadcast,
  LiveSettings,
  PackagedRendition,
  PackagedSegment,
  PackagedTake,
} from './live-broadcast.ts'
import { livePresentation, rateOf } from './live-presentation.ts'
import { liveWindowOf, secondsOf, windowSecondsOf } from './live-window.ts'
import { timelineZeroMs } from './segment-log.ts'

export interface LiveMpdOptions {
  addressing: 'number' | 'timeline'
  nowMs: number
  /** When this version was made; now, unless told. */
  publishTimeMs?: number
}

/** From `/live/{liveId}/manifest.mpd`, also with a token in front of it. */
const timeUri = '../../time'
const updateSeconds = 2
/** While nobody publishes: what comes next is a new Period, which players only learn from the MPD. */
const updateSecondsInPause = 1
/** Of players that cannot know of parts. */
const segmentsOfDelay = 3

/** Undefined while there is nothing to play. */
export function liveMpd(broadcast: LiveBroadcast, options: LiveMpdOptions): string | undefined {
  const { settings, facts } = broadcast
  if (!settings) return undefined
  const spans = takeSpans(broadcast, settings, options)
  const last = spans.at(-1)
  if (!last) return undefined
  const zeroMs = timelineZeroMs(facts)
  const bandwidthOf = bandwidths(broadcast)
  const periods = spans.map(({ take, tracks, endSeconds: end }, index): MpdPeriod => {
    const endSeconds = index === spans.length - 1 && !broadcast.isEnded ? undefined : end
    const write = (track: Track) => representation(take, track, bandwidthOf(track))
    const of = (kind: 'video' | 'audio') =>
      tracks.filter(({ rendition }) => rendition.kind === kind).map(write)
    return {
      id: take.name,
      startSeconds: take.startSeconds,
      mediaStartSeconds: take.startSeconds,
      ...(endSeconds !== undefined && { durationSeconds: endSeconds - take.startSeconds }),
      producedAtMs: zeroMs + take.startSeconds * 1000,
      video: of('video').sort((a, b) => (b.height ?? 0) - (a.height ?? 0)),
      audio: of('audio'),
    }
  })
  // Players take it for the length of the segment that is being made: more would be latency.
  const isGrid = spans.every(({ tracks }) => tracks.every(({ addressing }) => addressing.grid))
  const maxSegmentSeconds = isGrid ? settings.segmentSeconds : settings.targetDurationSeconds
  if (broadcast.isEnded) {
    return writeMpd({ durationSeconds: last.endSeconds!, maxSegmentSeconds, periods })
  }
  const isLowLatency = last.tracks.some(({ addressing }) => addressing.grid)
  return writeMpd({
    maxSegmentSeconds,
    periods,
    live: {
      availabilityStartTimeMs: zeroMs,
      publishTimeMs: options.publishTimeMs ?? options.nowMs,
      minimumUpdatePeriodSeconds:
        last.endSeconds === undefined ? updateSeconds : updateSecondsInPause,
      timeShiftBufferDepthSeconds: depthSeconds(broadcast, settings, spans[0]!, options.nowMs),
      timeUri,
      // With a delay as well Shaka Player would add it to that of the parts; and players that know nothing of
      // parts would take one this short for theirs.
      ...(isLowLatency
        ? { service: latencyService(settings.partTargetSeconds) }
        : { suggestedPresentationDelaySeconds: segmentsOfDelay * settings.segmentSeconds }),
    },
  })
}

/**
 * What players aim at, from media time to screen. A part can be asked for when it begins and is there one part
 * later; a second one and a fifth of a second are for the road. dash.js stays within the rates and jumps when it
 * is half a second beyond the maximum.
 */
export function latencyService(partTargetSeconds: number): MpdService {
  const targetLatencyMs = Math.max(900, Math.round(200 + 2000 * partTargetSeconds))
  return {
    targetLatencyMs,
    minLatencyMs: Math.round(targetLatencyMs / 2),
    maxLatencyMs: targetLatencyMs + 2000,
    minPlaybackRate: 0.95,
    maxPlaybackRate: 1.05,
  }
}

interface Track {
  rendition: PackagedRendition
  /** All that is kept, oldest first; gaps and the open one as well. */
  kept: readonly PackagedSegment[]
  /** Number of the first segment by this addressing. */
  startNumber: number
  addressing: MpdAddressing
}

interface TakeSpan {
  take: PackagedTake
  tracks: readonly Track[]
  /** Undefined while the take goes on. */
  endSeconds: number | undefined
}

function takeSpans(
  broadcast: LiveBroadcast,
  settings: LiveSettings,
  { addressing }: LiveMpdOptions,
): TakeSpan[] {
  const firstListed = firstListedNumber(broadcast)
  if (firstListed === undefined) return []
  return broadcast.takes.flatMap((take, index): TakeSpan[] => {
    if (!take.isComplete) return []
    const kept = take.renditions.map((rendition) => ({
      rendition,
      kept: segmentsOf(broadcast, take, rendition),
    }))
    const listed = kept.flatMap((it) => it.kept.filter((segment) => segment.number >= firstListed))
    if (!listed.some(hasMedia)) return []
    const hasEnded = take.endSeconds !== undefined || broadcast.isEnded
    const isRegular = addressing === 'number' && take.isRegular
    // After the end a list of the window, instead of a grid that begins with what cannot be had any more.
    const isGrid = isRegular && !(broadcast.isEnded && firstListed > take.firstNumber)
    const tracks = kept.flatMap((it): Track[] => {
      if (isGrid) return [{ ...it, startNumber: take.firstNumber, addressing: gridOf(broadcast) }]
      const run = lastRun(it.kept, firstListed)
      return run[0] ? [{ ...it, startNumber: run[0].number, addressing: { segments: run } }] : []
    })
    // A set that comes later into a Period is seen by no player: all kinds at once or nothing.
    const kinds = new Set(take.renditions.map((it) => it.kind))
    const isWhole = [...kinds].every((kind) => tracks.some((it) => it.rendition.kind === kind))
    if (!isWhole && !hasEnded) return []
    if (tracks.length === 0) return []
    if (!hasEnded) return [{ take, tracks, endSeconds: undefined }]
    const { seconds, number } = mediaEnd(take, tracks)
    // Not beyond the last number's share of a grid: players would ask for one that never was.
    const count = number - take.firstNumber + 1
    const limit = isRegular ? take.startSeconds + count * settings.segmentSeconds : seconds
    // Clocks that were rounded may let two takes overlap by a little; Periods do not.
    const next = broadcast.takes[index + 1]?.startSeconds ?? seconds
    return [{ take, tracks, endSeconds: Math.min(seconds, limit, next) }]
  })
}

function gridOf({ isEnded, settings }: LiveBroadcast): MpdAddressing {
  const { segmentSeconds, partTargetSeconds } = settings!
  return {
    grid: {
      segmentSeconds,
      ...(!isEnded && { availabilityTimeOffsetSeconds: segmentSeconds - partTargetSeconds }),
    },
  }
}

/**
 * Of the window that playlists list, the same number in all of them. Where that opens with a gap, of the last media in
 * front of it: without a Period there is no MPD, and a Period that leaves before its end was told has none for Shaka
 * Player, which goes on asking for its numbers.
 */
function firstListedNumber(broadcast: LiveBroadcast): number | undefined {
  const names = broadcast.takes.flatMap((take) => take.renditions.map((it) => it.name))
  const windows = [...new Set(names)].flatMap((name) => liveWindowOf(broadcast, name) ?? [])
  if (windows.length === 0) return undefined
  const first = Math.min(...windows.map((it) => it.mediaSequence))
  const inFront = windows
    .flatMap(({ playlist }) => playlist.segments)
    .filter((it) => it.take.isComplete && hasMedia(it) && it.number <= first)
  return inFront.length === 0 ? first : Math.max(...inFront.map((it) => it.number))
}

/**
 * How far behind now players may be: back to where the oldest Period ended, if it has. dash.js carries a picture that
 * stands still forward once this has passed it, and from behind the end of a Period it finds no way out.
 */
function depthSeconds(
  { facts }: LiveBroadcast,
  settings: LiveSettings,
  { endSeconds }: TakeSpan,
  nowMs: number,
): number {
  const windowSeconds = windowSecondsOf(settings)
  if (endSeconds === undefined) return windowSeconds
  const nowSeconds = (nowMs - timelineZeroMs(facts)) / 1000
  return Math.max(windowSeconds, Math.ceil(nowSeconds - endSeconds) + 2 * updateSeconds)
}

/** The take's own under that name: neither another take's nor a stand-in's. */
function segmentsOf(
  broadcast: LiveBroadcast,
  take: PackagedTake,
  { name }: PackagedRendition,
): PackagedSegment[] {
  const segments = broadcast.playlist(name)?.segments ?? []
  return segments.filter((it) => it.take.name === take.name && it.rendition.name === name)
}

function hasMedia({ isGap, sizeBytes }: PackagedSegment): boolean {
  return !isGap && sizeBytes > 0
}

/** Whole segments from behind the last gap on; where nothing came after it, those before. */
function lastRun(kept: readonly PackagedSegment[], firstListed: number): PackagedSegment[] {
  const whole = kept.filter((it) => !it.isOpen && hasMedia(it) && it.number >= firstListed)
  const breaksBefore = whole.findLastIndex(
    (it, index) => index > 0 && it.number !== whole[index - 1]!.number + 1,
  )
  return whole.slice(Math.max(0, breaksBefore))
}

/** Where the last media ends, the picture's if there is one, and its number. */
function mediaEnd(
  take: PackagedTake,
  tracks: readonly Track[],
): { seconds: number; number: number } {
  const pictures = tracks.filter(({ rendition }) => rendition.kind === 'video')
  const media = (pictures.length > 0 ? pictures : tracks).flatMap((it) => it.kept.filter(hasMedia))
  const ends = media.map((it) => it.startTicks / it.rendition.timescale + secondsOf(it))
  return {
    seconds: Math.min(Math.max(...ends), take.endSeconds ?? Number.POSITIVE_INFINITY),
    number: Math.max(...media.map((it) => it.number)),
  }
}

function representation(
  take: PackagedTake,
  { rendition: it, startNumber, addressing }: Track,
  bitsPerSecond: number,
): MpdRepresentation {
  return {
    id: it.name,
    bitsPerSecond,
    codec: it.codec,
    timescale: it.timescale,
    mediaTemplate: `${take.name}/${it.name}/$Number$.m4s`,
    initializationUri: `${take.name}/${it.name}/init.mp4`,
    startNumber,
    ...addressing,
    ...(it.kind === 'video'
      ? { width: it.width, height: it.height, framesPerSecond: it.framesPerSecond }
      : { sampleRate: it.sampleRate, channels: it.channels }),
  }
}

/** As the multivariant playlist has them; of a rendition that is not made any more, what is kept tells. */
function bandwidths(broadcast: LiveBroadcast): (track: Track) => number {
  const offer = livePresentation(broadcast)
  const offered = [...(offer?.video ?? []), ...(offer?.audio ? [offer.audio] : [])]
  return ({ rendition, kept }) => {
    const now = offered.find((it) => it.name === rendition.name)
    if (now) return now.peakBitsPerSecond
    const average = rateOf(kept.filter(hasMedia)) || 1
    return broadcast.peaks.raise(rendition.name, Math.max(average, rendition.nominalBitsPerSecond))
  }
}
