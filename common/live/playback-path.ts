// The paths that this node serves, matched byte by byte: nothing is decoded, so nothing can climb out. Of a
// query only the delivery directives of low-latency HLS are looked at.

export type PlaybackPath =
  | { kind: 'time' }
  | { kind: 'multivariant'; from: Source }
  | { kind: 'mpd'; from: Source; addressing: 'number' | 'timeline' }
  | { kind: 'playlist' | 'iframes'; from: Source; rendition: string }
  | { kind: 'init'; from: Source; take: string; rendition: string }
  | { kind: 'segment'; from: Source; take: string; rendition: string; number: number }
  | { kind: 'part'; from: Source; take: string; rendition: string; id: number }

export type Source = { kind: 'live'; liveId: string } | { kind: 'replay'; recordingId: string }

const grammar =
  /^\/(?:live\/(?<liveId>[a-z0-9][a-z0-9_-]{0,62})|replay\/(?<recordingId>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}))\/(?:(?<manifest>index\.m3u8|manifest\.mpd|timeline\.mpd)|(?<playlist>[a-z0-9]{1,16})(?<iframes>-iframes)?\.m3u8|(?<take>[a-z0-9]{8,16}-[0-9]{1,9})\/(?<rendition>[a-z0-9]{1,16})\/(?:init\.mp4|(?<number>[0-9]{1,10})\.m4s|p(?<part>[0-9]{1,10})\.m4s))$/

/** `target` is the request target as it came; a query is not looked at. */
export function parsePlaybackPath(target: string): PlaybackPath | undefined {
  const path = target.split('?', 1)[0]!
  if (path === '/time') return { kind: 'time' }
  const groups = grammar.exec(path)?.groups
  if (!groups) return undefined
  const { liveId, recordingId, manifest, playlist, take, rendition, number, part } = groups
  const from: Source =
    liveId !== undefined ? { kind: 'live', liveId } : { kind: 'replay', recordingId: recordingId! }
  if (manifest === 'index.m3u8') return { kind: 'multivariant', from }
  if (manifest !== undefined) {
    return { kind: 'mpd', from, addressing: manifest === 'manifest.mpd' ? 'number' : 'timeline' }
  }
  if (playlist !== undefined) {
    return { kind: groups.iframes ? 'iframes' : 'playlist', from, rendition: playlist }
  }
  if (take === undefined || rendition === undefined) return undefined
  if (number !== undefined) {
    return { kind: 'segment', from, take, rendition, number: Number(number) }
  }
  if (part !== undefined) return { kind: 'part', from, take, rendition, id: Number(part) }
  return { kind: 'init', from, take, rendition }
}

/** RFC 8216bis §6.2.5: which playlist a client wants to get, and how much of it. */
export interface AskedDirectives {
  /** Wait for this segment, or for this part of it. */
  position?: { msn: number; part?: number }
  skip?: 'YES' | 'v2'
}

const number = /^\d{1,15}$/

/** Unknown names are left alone; a known one that makes no sense is a problem. */
export function parseDirectives(target: string): AskedDirectives | { problem: string } {
  const mark = target.indexOf('?')
  const query = new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1))
  const [msn, part, skip] = ['_HLS_msn', '_HLS_part', '_HLS_skip'].map((name) => query.get(name))
  if (msn != null && !number.test(msn)) return { problem: '_HLS_msn is not a number.' }
  if (part != null && !number.test(part)) return { problem: '_HLS_part is not a number.' }
  if (skip != null && skip !== 'YES' && skip !== 'v2') {
    return { problem: '_HLS_skip is neither YES nor v2.' }
  }
  // §6.2.5.2
  if (part != null && msn == null) return { problem: '_HLS_part needs _HLS_msn.' }
  return {
    ...(msn != null && {
      position: { msn: Number(msn), ...(part != null && { part: Number(part) }) },
    }),
    ...(skip != null && { skip }),
  }
}
