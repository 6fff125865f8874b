// What is published of a broadcast that is live: takes, segments and parts, as manifests, the playback server
// and the archive see it. The packager writes it; everybody else only reads.
//
//   broadcast ─► takes ─► renditions ─► segments ─► parts
//
// - Segment numbers step by one in every rendition. One number is the same stretch of time in all of them, and
//   belongs to one take. Where a rendition has no media for a number, its segment is a gap.
// - A segment is listed from its first part on; it is open until its last part is there. Parts are never
//   changed, and a segment's bytes are those of its parts, one after the other.
// - All times count from one zero (`timelineZeroMs` in segment-log.ts).
import type { InitTrack } from '../../media/mp4/init-section.ts'
import type { PeakRates } from './peak-rates.ts'
import type { BroadcastFacts, LoggedRendition } from './segment-log.ts'

/** Chosen once per broadcast, before anything is listed, and never changed (RFC 8216bis §6.2.1). */
export interface LiveSettings {
  targetDurationSeconds: number
  /** Longest part. */
  partTargetSeconds: number
  /** Length of the segment grid, exact: a multiple of the source's GOP where that is regular. */
  segmentSeconds: number
  /** Complete segments that a live playlist lists: at least three target durations. */
  windowSegments: number
}

export interface PackagedPart {
  /** Counts the parts of a rendition name over the whole broadcast; names the part: `p{id}.m4s`. */
  id: number
  startTicks: number
  durationTicks: number
  /** Begins with a keyframe. */
  isIndependent: boolean
  /** There is no media for this time: `bytes` is empty and is never asked for. */
  isGap: boolean
  /** One moof and one mdat. */
  bytes: Buffer
  /** Another packager made and listed it: that many bytes are kept elsewhere, and `bytes` is empty. */
  elsewhereBytes?: number
}

export interface PackagedSegment {
  number: number
  take: PackagedTake
  /** Whose media it is. Differs from the playlist's name where a take lacks that rendition. */
  rendition: PackagedRendition
  startTicks: number
  /** Of all its parts so far. */
  durationTicks: number
  parts: readonly PackagedPart[]
  isOpen: boolean
  /** Nothing of it can be fetched. Never open; has no parts. */
  isGap: boolean
  sizeBytes: number
  /** Bytes from the start of the segment to the end of its first keyframe; 0 where there is none. */
  keyframeBytes: number
}

export interface PackagedRendition extends LoggedRendition {
  init: Buffer
  track: InitTrack
}

export interface PackagedTake {
  /** Public, unique for ever. */
  name: string
  number: number
  epoch: number
  firstNumber: number
  /** Presentation time of its first sample. */
  startSeconds: number
  /** Of its last sample; undefined while it goes on. */
  endSeconds: number | undefined
  /**
   * Segment k begins within a quarter of `segmentSeconds` of `startSeconds + k × segmentSeconds`, so that a number
   * can be told from the time. Else manifests must give each segment's time.
   */
  isRegular: boolean
  /** Those whose init section is known. */
  renditions: readonly PackagedRendition[]
  /** All that were planned are known: the take may be offered in multivariant playlists and MPDs. */
  isComplete: boolean
}

export interface PackagedPlaylist {
  name: string
  kind: 'video' | 'audio'
  /** Kept in memory, oldest first, numbers stepping by one; the last one may be open. More than is listed. */
  segments: readonly PackagedSegment[]
  /** Discontinuities before `segments[0]`, its own not counted. */
  discontinuitySequence: number
  /** Of the part that comes next, and the take and rendition under which it will be found. */
  next:
    | { partId: number; number: number; take: PackagedTake; rendition: PackagedRendition }
    | undefined
}

/** Some of its bytes are kept elsewhere. */
export function isPartlyElsewhere({ parts }: PackagedSegment): boolean {
  return parts.some((it) => it.elsewhereBytes !== undefined)
}

/** What may be waited for, in numbers behind the last one. */
export const numbersAhead = 2

export type Coming =
  /** Is there, in memory. */
  | { kind: 'here' }
  /** Not there yet, and may come: worth waiting for. */
  | { kind: 'coming' }
  /** Never was, never comes, or has left memory. */
  | { kind: 'absent' }

export interface LiveBroadcast {
  readonly facts: BroadcastFacts
  /** Undefined until they are chosen; nothing is listed before. */
  readonly settings: LiveSettings | undefined
  /** Those of which a segment is kept, oldest first. */
  readonly takes: readonly PackagedTake[]
  readonly isEnded: boolean
  readonly peaks: PeakRates
  /** Grows with every change that a manifest could show. */
  readonly version: number
  /** Names of all media playlists that are or were offered. */
  readonly playlistNames: readonly string[]
  playlist(name: string): PackagedPlaylist | undefined
  /** In memory; a rendition of the take itself, not a stand-in. */
  segment(take: string, rendition: string, number: number): PackagedSegment | undefined
  part(take: string, rendition: string, id: number): PackagedPart | undefined
  take(name: string): PackagedTake | undefined
  /** Whether a segment of that name may come: at most `numbersAhead`, in a take that goes on. */
  expects(take: string, rendition: string, number: number): Coming
  expectsPart(take: string, rendition: string, id: number): Coming
  /** Called synchronously after each change, once per change however many things it touched. */
  onChange(listener: () => void): () => void
}
