// Writes an HLS media playlist (RFC 8216bis §4.4) from plain values.

export interface PlaylistSegment {
  /** Relative, without a leading slash. */
  uri: string
  durationSeconds: number
  /** Init section; a tag is written where it changes. */
  mapUri: string
  programDateTimeMs: number
  /** The encoding or the timeline differs from that of the segment before. */
  hasDiscontinuity: boolean
  /** No media exists for this time; players skip it. */
  isGap: boolean
}

export interface MediaPlaylist {
  targetDurationSeconds: number
  mediaSequence: number
  /** Discontinuities that left the playlist at its start. */
  discontinuitySequence: number
  segments: readonly PlaylistSegment[]
  isEnded: boolean
  isVod: boolean
}

export function writeMediaPlaylist(playlist: MediaPlaylist): string {
  // EXT-X-GAP came with version 8, EXT-X-MAP outside I-frame playlists with version 6 (§8).
  const version = playlist.segments.some((segment) => segment.isGap) ? 8 : 6
  const lines = [
    '#EXTM3U',
    `#EXT-X-VERSION:${version}`,
    `#EXT-X-TARGETDURATION:${playlist.targetDurationSeconds}`,
    `#EXT-X-MEDIA-SEQUENCE:${playlist.mediaSequence}`,
    `#EXT-X-DISCONTINUITY-SEQUENCE:${playlist.discontinuitySequence}`,
    '#EXT-X-INDEPENDENT-SEGMENTS',
  ]
  if (playlist.isVod) lines.push('#EXT-X-PLAYLIST-TYPE:VOD')
  let mapUri: string | undefined
  for (const segment of playlist.segments) {
    if (segment.hasDiscontinuity) lines.push('#EXT-X-DISCONTINUITY')
    if (segment.mapUri !== mapUri) lines.push(`#EXT-X-MAP:URI="${segment.mapUri}"`)
    mapUri = segment.mapUri
    lines.push(`#EXT-X-PROGRAM-DATE-TIME:${new Date(segment.programDateTimeMs).toISOString()}`)
    if (segment.isGap) lines.push('#EXT-X-GAP')
    lines.push(`#EXTINF:${segment.durationSeconds.toFixed(5)},`, segment.uri)
  }
  if (playlist.isEnded) lines.push('#EXT-X-ENDLIST')
  return `${lines.join('\n')}\n`
}
