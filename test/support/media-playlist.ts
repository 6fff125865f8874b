// Reads HLS media playlists in tests and holds them to the rules of a live one (RFC 8216bis §6.2).

export interface ReadSegment {
  uri: string
  number: number
  durationSeconds: number
  mapUri: string
  programDateTimeMs: number
  hasDiscontinuity: boolean
  isGap: boolean
}

export interface ReadPlaylist {
  targetDuration: number
  mediaSequence: number
  discontinuitySequence: number
  isEnded: boolean
  isVod: boolean
  segments: ReadSegment[]
}

export function readMediaPlaylist(text: string): ReadPlaylist {
  const lines = text.trimEnd().split('\n')
  if (lines[0] !== '#EXTM3U') throw new Error(`not a playlist: ${lines[0]}`)
  const playlist: ReadPlaylist = {
    targetDuration: Number.NaN,
    mediaSequence: 0,
    discontinuitySequence: 0,
    isEnded: false,
    isVod: false,
    segments: [],
  }
  let mapUri = ''
  let next = {
    hasDiscontinuity: false,
    isGap: false,
    programDateTimeMs: Number.NaN,
    durationSeconds: Number.NaN,
  }
  for (const line of lines) {
    const [tag = '', value = ''] = /^#?([^:]*):?(.*)$/.exec(line)?.slice(1) ?? []
    if (tag === 'EXT-X-TARGETDURATION') playlist.targetDuration = Number(value)
    else if (tag === 'EXT-X-MEDIA-SEQUENCE') playlist.mediaSequence = Number(value)
    else if (tag === 'EXT-X-DISCONTINUITY-SEQUENCE') playlist.discontinuitySequence = Number(value)
    else if (tag === 'EXT-X-PLAYLIST-TYPE') playlist.isVod = value === 'VOD'
    else if (tag === 'EXT-X-ENDLIST') playlist.isEnded = true
    else if (tag === 'EXT-X-DISCONTINUITY') next.hasDiscontinuity = true
    else if (tag === 'EXT-X-GAP') next.isGap = true
    else if (tag === 'EXT-X-MAP') mapUri = /URI="([^"]+)"/.exec(value)?.[1] ?? ''
    else if (tag === 'EXT-X-PROGRAM-DATE-TIME') next.programDateTimeMs = Date.parse(value)
    else if (tag === 'EXTINF') next.durationSeconds = Number.parseFloat(value)
    else if (!line.startsWith('#') && line !== '') {
      playlist.segments.push({
        ...next,
        uri: line,
        mapUri,
        number: playlist.mediaSequence + playlist.segments.length,
      })
      next = { ...next, hasDiscontinuity: false, isGap: false }
    }
  }
  for (const broken of brokenRules(playlist)) throw new Error(`${broken}\n${text}`)
  return playlist
}

function* brokenRules({ targetDuration, segments }: ReadPlaylist): Generator<string> {
  if (!Number.isInteger(targetDuration)) yield 'no target duration'
  for (const [index, segment] of segments.entries()) {
    if (!(segment.durationSeconds > 0)) yield `segment ${segment.uri} has no duration`
    if (Math.round(segment.durationSeconds) > targetDuration) yield `${segment.uri} is too long`
    if (!Number.isFinite(segment.programDateTimeMs)) yield `${segment.uri} has no date`
    if (segment.uri.startsWith('/')) yield `${segment.uri} is not relative`
    if (segment.mapUri === '') yield `${segment.uri} has no init section`
    const before = segments[index - 1]
    if (!before) continue
    if (segment.mapUri !== before.mapUri && !segment.hasDiscontinuity) {
      yield `${segment.uri} changes the init section without a discontinuity`
    }
    const seamMs =
      segment.programDateTimeMs - before.programDateTimeMs - before.durationSeconds * 1000
    if (!segment.hasDiscontinuity && Math.abs(seamMs) > 50)
      yield `${segment.uri} is ${seamMs} ms off`
    if (seamMs < -50) yield `${segment.uri} goes back in time`
  }
}

/** What may not change between two reloads of a live playlist. */
export function assertSuccessor(before: ReadPlaylist, after: ReadPlaylist): void {
  if (after.targetDuration !== before.targetDuration) throw new Error('the target duration changed')
  if (after.mediaSequence < before.mediaSequence) throw new Error('the media sequence went back')
  if (after.discontinuitySequence < before.discontinuitySequence) {
    throw new Error('the discontinuity sequence went back')
  }
  for (const segment of after.segments) {
    const same = before.segments.find((it) => it.number === segment.number)
    if (same && same.uri !== segment.uri) {
      throw new Error(`segment ${segment.number} was ${same.uri} and is ${segment.uri}`)
    }
  }
  const last = before.segments.at(-1)
  if (last && after.segments.at(-1)!.number < last.number)
    throw new Error('segments were withdrawn')
}
