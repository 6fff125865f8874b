// Low-latency HLS playlists of a live broadcast (RFC 8216bis draft 22), written from what the packager publishes,
// and whether a blocking reload can be answered.
//
// - All playlists share target duration, hold-backs and skip boundary; none of them ever changes (§6.2.1).
// - A segment is listed from its first part on, with its discontinuity, init section and date, in one version.
// - Parts are listed in segments that end within three target durations of the playlist's end (§6.2.2); in gaps too.
// - After the end: no parts, no hint, no reports; they would name what is about to leave memory.
import {
  type MediaPlaylist,
  type OpenSegment,
  type PlaylistPart,
  type PlaylistSegment,
  type RenditionReport,
  type SegmentHead,
  type ServerControl,
  writeMediaPlaylist,
} from '../../media/hls/media-playlist.ts'
import { type Variant, writeMultivariantPlaylist } from '../../media/hls/multivariant-playlist.ts'
import type {
  LiveBroadcast,
  LiveSettings,
  PackagedPart,
  PackagedSegment,
} from './live-broadcast.ts'
import { livePresentation, offeredTake } from './live-presentation.ts'
import { type LiveWindow, liveWindowOf, secondsOf } from './live-window.ts'
import { timelineZeroMs } from './segment-log.ts'

export interface DeliveryDirectives {
  /** `_HLS_skip`: leave out what the client has. There are no date ranges, so both values mean the same. */
  skip?: 'YES' | 'v2'
}

export interface ReloadRequest {
  /** `_HLS_msn` */
  msn: number
  /** `_HLS_part` */
  part?: number
}

export type ReloadState =
  /** The playlist holds what is asked for, or something later. */
  | 'ready'
  | 'wait'
  /** Beyond what a client can know of: status 400. */
  | 'too-far'
  /** No such playlist, or nothing in it yet. */
  | 'unknown'

/** Apple's authoring specification asks for three, the RFC for two (§4.4.3.8). */
const partTargetsOfHoldBack = 3
const targetDurationsOfSkipBoundary = 6
const targetDurationsOfParts = 3

export function liveMediaPlaylist(
  broadcast: LiveBroadcast,
  name: string,
  { skip }: DeliveryDirectives = {},
): string | undefined {
  const window = liveWindowOf(broadcast, name)
  if (!window) return undefined
  const { settings, complete, open } = window
  const isEnded = broadcast.isEnded
  const zeroMs = timelineZeroMs(broadcast.facts)
  const partsFrom = isEnded ? complete.length : firstWithParts(window)
  const segments = complete.map(
    (it, index): PlaylistSegment => ({
      ...headOf(window, index, zeroMs),
      uri: `${folderOf(it)}/${it.number}.m4s`,
      durationSeconds: secondsOf(it),
      isGap: it.isGap,
      parts: index < partsFrom ? [] : partsOf(it, settings),
    }),
  )
  return writeMediaPlaylist({
    ...commonOf(window, isEnded),
    partTargetSeconds: settings.partTargetSeconds,
    segments,
    open: open && openSegment(window, open, zeroMs),
    skippedSegments: skip && !isEnded ? skippable(window) : 0,
    ...(!isEnded && { hintUri: hintUri(window), reports: reportsFor(broadcast, name) }),
  })
}

/** The keyframe of each complete segment. Open ones are not listed: a range of a growing file is no help to anybody. */
export function liveIframePlaylist(
  broadcast: LiveBroadcast,
  name: string,
  { skip }: DeliveryDirectives = {},
): string | undefined {
  const window = liveWindowOf(broadcast, name)
  if (window?.playlist.kind !== 'video') return undefined
  const zeroMs = timelineZeroMs(broadcast.facts)
  const segments = window.complete.map(
    (it, index): PlaylistSegment => ({
      ...headOf(window, index, zeroMs),
      uri: `${folderOf(it)}/${it.number}.m4s`,
      durationSeconds: secondsOf(it),
      isGap: it.isGap || it.keyframeBytes === 0,
      prefixBytes: it.keyframeBytes,
    }),
  )
  return writeMediaPlaylist({
    ...commonOf(window, broadcast.isEnded),
    hasOnlyKeyframes: true,
    segments,
    skippedSegments: skip && !broadcast.isEnded ? skippable(window) : 0,
  })
}

/** What is made now. Bandwidths never fall between versions. */
export function liveMultivariant(broadcast: LiveBroadcast): string | undefined {
  const offer = livePresentation(broadcast)
  if (!offer) return undefined
  const { video, audio, keyframes } = offer
  const alone = video.length === 0 ? audio : undefined
  const variants = (alone ? [alone] : video).map((it): Variant => {
    const sound = alone ? undefined : audio
    return {
      uri: `${it.name}.m3u8`,
      stableId: it.name,
      bitsPerSecond: it.peakBitsPerSecond + (sound?.peakBitsPerSecond ?? 0),
      averageBitsPerSecond: it.averageBitsPerSecond + (sound?.averageBitsPerSecond ?? 0),
      codecs: [...it.codecs, ...(sound?.codecs ?? [])],
      ...(it.kind === 'video' && {
        picture: { width: it.width, height: it.height, framesPerSecond: it.framesPerSecond },
      }),
    }
  })
  return writeMultivariantPlaylist({
    variants,
    ...(audio &&
      !alone && {
        audio: {
          uri: `${audio.name}.m3u8`,
          stableId: audio.name,
          name: 'Original',
          channels: audio.channels,
        },
      }),
    ...(keyframes && {
      keyframes: {
        uri: `${keyframes.name}-iframes.m3u8`,
        stableId: `${keyframes.name}-iframes`,
        bitsPerSecond: keyframes.peakBitsPerSecond,
        averageBitsPerSecond: keyframes.averageBitsPerSecond,
        codecs: keyframes.codecs,
        picture: { width: keyframes.width, height: keyframes.height },
      },
    }),
  })
}

/** The rules of blocking reloads (§6.2.5.2). A playlist of keyframes has no parts: leave `part` away for it. */
export function reloadState(
  broadcast: LiveBroadcast,
  name: string,
  { msn, part }: ReloadRequest,
): ReloadState {
  const window = liveWindowOf(broadcast, name)
  if (!window) return 'unknown'
  if (broadcast.isEnded) return 'ready'
  const { settings, complete, open, mediaSequence } = window
  const last = complete.at(-1)
  const lastNumber = last?.number ?? mediaSequence - 1
  if (msn > lastNumber + 2) return 'too-far'
  if (msn < lastNumber) return 'ready'
  const { partTargetSeconds } = settings
  const advanceLimit = partTargetSeconds < 1 ? Math.ceil(3 / partTargetSeconds) : 3

  if (last && msn === lastNumber) {
    const listed = partsOf(last, settings).length
    if (part === undefined || part < listed) return 'ready'
    // Past the segment's end means the first part of the next segment.
    if (open) return 'ready'
    return part >= listed + advanceLimit ? 'too-far' : 'wait'
  }
  if (part === undefined) return 'wait'
  const partsThere = msn === open?.number ? open.parts.length : 0
  if (part < partsThere) return 'ready'
  return part >= partsThere + advanceLimit ? 'too-far' : 'wait'
}

function commonOf(
  { settings, mediaSequence, discontinuitySequence }: LiveWindow,
  isEnded: boolean,
): Omit<MediaPlaylist, 'segments'> {
  return {
    targetDurationSeconds: settings.targetDurationSeconds,
    mediaSequence,
    discontinuitySequence,
    isEnded,
    isVod: false,
    serverControl: serverControl(settings),
  }
}

function serverControl({ targetDurationSeconds, partTargetSeconds }: LiveSettings): ServerControl {
  return {
    partHoldBackSeconds: partTargetsOfHoldBack * partTargetSeconds,
    skipUntilSeconds: targetDurationsOfSkipBoundary * targetDurationSeconds,
  }
}

function headOf(
  { complete, open, hasDiscontinuity }: LiveWindow,
  index: number,
  zeroMs: number,
): SegmentHead {
  const segment = complete[index] ?? open!
  const { take, rendition, startTicks } = segment
  const hasInit = take.renditions.some((it) => it.name === rendition.name)
  return {
    mapUri: hasInit ? `${folderOf(segment)}/init.mp4` : undefined,
    programDateTimeMs: zeroMs + (startTicks / rendition.timescale) * 1000,
    hasDiscontinuity: hasDiscontinuity[index] ?? false,
  }
}

function openSegment(window: LiveWindow, open: PackagedSegment, zeroMs: number): OpenSegment {
  return {
    ...headOf(window, window.complete.length, zeroMs),
    parts: open.parts.map((part) => playlistPart(open, part)),
  }
}

/**
 * A gap has parts as well, gaps themselves (§4.4.4.9): players that load by parts count on over them. Behind a gap
 * without any, hls.js asks for the part after the last one that it knows, which is there at once, and then polls.
 */
function partsOf(segment: PackagedSegment, { partTargetSeconds }: LiveSettings): PlaylistPart[] {
  if (!segment.isGap) return segment.parts.map((part) => playlistPart(segment, part))
  const seconds = secondsOf(segment)
  const count = Math.max(1, Math.ceil(seconds / partTargetSeconds - 0.0001))
  return Array.from({ length: count }, (_, index) => ({
    uri: `${folderOf(segment)}/${segment.number}-${index}.m4s`,
    durationSeconds: Math.min(partTargetSeconds, seconds - index * partTargetSeconds),
    isIndependent: false,
    isGap: true,
  }))
}

function playlistPart(segment: PackagedSegment, part: PackagedPart): PlaylistPart {
  return {
    uri: `${folderOf(segment)}/p${part.id}.m4s`,
    durationSeconds: part.durationTicks / segment.rendition.timescale,
    isIndependent: part.isIndependent,
    isGap: part.isGap,
  }
}

function folderOf({ take, rendition }: Pick<PackagedSegment, 'take' | 'rendition'>): string {
  return `${take.name}/${rendition.name}`
}

/**
 * None for the first part of a take: what names its init section is not listed yet, and Shaka Player, which loads
 * what is hinted at, would decode it with the one in force.
 */
function hintUri({ playlist: { next }, complete, open }: LiveWindow): string | undefined {
  const last = open ?? complete.at(-1)!
  const isInForce =
    next?.take.name === last.take.name && next.rendition.name === last.rendition.name
  return isInForce ? `${folderOf(next)}/p${next.partId}.m4s` : undefined
}

/** Index of the first complete segment whose parts are listed. */
function firstWithParts({ settings, complete, open }: LiveWindow): number {
  const reachSeconds = targetDurationsOfParts * settings.targetDurationSeconds
  return firstWithin(reachSeconds, complete, open ? secondsOf(open) : 0)
}

/** Complete segments that end before the skip boundary, counted from the end of the last complete one. */
function skippable({ settings, complete }: LiveWindow): number {
  const boundarySeconds = targetDurationsOfSkipBoundary * settings.targetDurationSeconds
  return firstWithin(boundarySeconds, complete)
}

/** Index of the first segment with less than the reach behind it; `behindSeconds` are behind the last one. */
function firstWithin(
  reachSeconds: number,
  segments: readonly PackagedSegment[],
  behindSeconds = 0,
): number {
  let index = segments.length
  let seconds = behindSeconds
  while (index > 0 && seconds < reachSeconds) {
    index--
    seconds += secondsOf(segments[index]!)
  }
  return index
}

function reportsFor(broadcast: LiveBroadcast, name: string): RenditionReport[] {
  const offered = offeredTake(broadcast)?.renditions ?? []
  return offered.flatMap((it) => {
    const window = it.name === name ? undefined : liveWindowOf(broadcast, it.name)
    return window ? [reportOf(it.name, window)] : []
  })
}

/** Of the last part; of the last segment where no part is listed. */
function reportOf(name: string, window: LiveWindow): RenditionReport {
  const { settings, complete, open } = window
  const withParts = [...complete.slice(firstWithParts(window)), ...(open ? [open] : [])]
  const last = withParts.findLast((it) => it.isGap || it.parts.length > 0)
  return {
    uri: `${name}.m3u8`,
    lastNumber: (last ?? complete.at(-1)!).number,
    lastPart: last && partsOf(last, settings).length - 1,
  }
}
