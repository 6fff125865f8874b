// Writes an HLS media playlist (RFC 8216bis §4.4) from plain values: live with parts, as an update of an older
// one, of keyframes alone, or of a whole replay.

export interface SegmentHead {
  /** Init section; a tag is written where it changes. Undefined for gaps that no init section belongs to. */
  mapUri: string | undefined
  programDateTimeMs: number
  /** The encoding or the timeline differs from that of the segment before. */
  hasDiscontinuity: boolean
}

export interface PlaylistPart {
  uri: string
  durationSeconds: number
  /** Begins with a keyframe. */
  isIndependent: boolean
  isGap: boolean
}

export interface PlaylistSegment extends SegmentHead {
  /** Relative, without a leading slash. */
  uri: string
  durationSeconds: number
  /** No media exists for this time; players skip it. */
  isGap: boolean
  /** Of which it consists, as long as players may want them. */
  parts?: readonly PlaylistPart[]
  /** Length of the part of the file, from its start, that is meant: a keyframe. */
  prefixBytes?: number
}

/** Has no file yet, at least one part. */
export interface OpenSegment extends SegmentHead {
  parts: readonly PlaylistPart[]
}

/**
 * What the server does with delivery directives (§4.4.3.8). Equal in all playlists of a broadcast. HOLD-BACK is left out:
 * its default is the least it may be, three target durations, and Shaka Player goes three segments near where it is not named.
 */
export interface ServerControl {
  partHoldBackSeconds: number
  skipUntilSeconds: number
}

/** How far another playlist of the broadcast has got (§4.4.5.4). */
export interface RenditionReport {
  uri: string
  lastNumber: number
  /** Index in its segment; undefined if no part is listed. */
  lastPart: number | undefined
}

export interface MediaPlaylist {
  targetDurationSeconds: number
  mediaSequence: number
  /** Discontinuities that left the playlist at its start. */
  discontinuitySequence: number
  segments: readonly PlaylistSegment[]
  isEnded: boolean
  isVod: boolean
  serverControl?: ServerControl
  /** Where there are parts. */
  partTargetSeconds?: number
  open?: OpenSegment | undefined
  /** Of the part that comes next. */
  hintUri?: string | undefined
  reports?: readonly RenditionReport[]
  /** So many of the oldest segments are left out, as the client has them (§6.2.5.1). */
  skippedSegments?: number
  /** Each segment is one keyframe. */
  hasOnlyKeyframes?: boolean
}

export function writeMediaPlaylist(playlist: MediaPlaylist): string {
  const { serverControl, partTargetSeconds, skippedSegments = 0, open, hintUri } = playlist
  const lines = [
    '#EXTM3U',
    `#EXT-X-VERSION:${versionOf(playlist)}`,
    `#EXT-X-TARGETDURATION:${playlist.targetDurationSeconds}`,
    `#EXT-X-MEDIA-SEQUENCE:${playlist.mediaSequence}`,
    `#EXT-X-DISCONTINUITY-SEQUENCE:${playlist.discontinuitySequence}`,
    '#EXT-X-INDEPENDENT-SEGMENTS',
  ]
  if (playlist.hasOnlyKeyframes) lines.push('#EXT-X-I-FRAMES-ONLY')
  if (playlist.isVod) lines.push('#EXT-X-PLAYLIST-TYPE:VOD')
  if (serverControl) lines.push(serverControlTag(serverControl))
  if (partTargetSeconds) lines.push(`#EXT-X-PART-INF:PART-TARGET=${limit(partTargetSeconds)}`)
  if (skippedSegments > 0) lines.push(`#EXT-X-SKIP:SKIPPED-SEGMENTS=${skippedSegments}`)

  // The first segment that is not skipped names its init section again, which is in force already.
  let mapUri: string | undefined
  const pushHead = (head: SegmentHead) => {
    if (head.hasDiscontinuity) lines.push('#EXT-X-DISCONTINUITY')
    if (head.mapUri !== undefined && head.mapUri !== mapUri) {
      lines.push(`#EXT-X-MAP:URI="${head.mapUri}"`)
      mapUri = head.mapUri
    }
    lines.push(`#EXT-X-PROGRAM-DATE-TIME:${dateTime(head.programDateTimeMs)}`)
  }
  for (const segment of playlist.segments.slice(skippedSegments)) {
    pushHead(segment)
    lines.push(...(segment.parts ?? []).map(partTag))
    if (segment.isGap) lines.push('#EXT-X-GAP')
    lines.push(`#EXTINF:${segment.durationSeconds.toFixed(5)},`)
    if (segment.prefixBytes) lines.push(`#EXT-X-BYTERANGE:${segment.prefixBytes}@0`)
    lines.push(segment.uri)
  }
  if (open) {
    pushHead(open)
    lines.push(...open.parts.map(partTag))
  }
  if (hintUri !== undefined) lines.push(`#EXT-X-PRELOAD-HINT:TYPE=PART,URI="${hintUri}"`)
  for (const { uri, lastNumber, lastPart } of playlist.reports ?? []) {
    const part = lastPart === undefined ? '' : `,LAST-PART=${lastPart}`
    lines.push(`#EXT-X-RENDITION-REPORT:URI="${uri}",LAST-MSN=${lastNumber}${part}`)
  }
  if (playlist.isEnded) lines.push('#EXT-X-ENDLIST')
  return `${lines.join('\n')}\n`
}

/**
 * The lowest that will do (§8): 9 for EXT-X-SKIP (10 only if it removed date ranges, which we have none of), 8 for
 * EXT-X-GAP, 6 for EXT-X-MAP, or 5 among keyframes. A live playlist may get a gap at any time, and no server may
 * change this tag then (§6.2.1).
 */
function versionOf(playlist: MediaPlaylist): number {
  if (playlist.skippedSegments) return 9
  if (playlist.serverControl || playlist.segments.some((segment) => segment.isGap)) return 8
  return playlist.hasOnlyKeyframes ? 5 : 6
}

function serverControlTag(control: ServerControl): string {
  const attributes = [
    'CAN-BLOCK-RELOAD=YES',
    `PART-HOLD-BACK=${limit(control.partHoldBackSeconds)}`,
    `CAN-SKIP-UNTIL=${limit(control.skipUntilSeconds)}`,
  ]
  return `#EXT-X-SERVER-CONTROL:${attributes.join(',')}`
}

function partTag({ uri, durationSeconds, isIndependent, isGap }: PlaylistPart): string {
  const flags = `${isIndependent ? ',INDEPENDENT=YES' : ''}${isGap ? ',GAP=YES' : ''}`
  return `#EXT-X-PART:DURATION=${durationSeconds.toFixed(5)},URI="${uri}"${flags}`
}

/** Rounded up, so that no duration that holds to the limit is above it when written with five decimals. */
function limit(seconds: number): string {
  return String(Math.ceil(seconds * 100_000 - 0.001) / 100_000)
}

function dateTime(ms: number): string {
  return new Date(Math.round(ms)).toISOString()
}
