// The paths that this node serves, matched byte by byte: nothing is decoded, so nothing can climb out.

export type PlaybackPath =
  | { kind: 'time' }
  | { kind: 'multivariant' | 'mpd'; from: Source }
  | { kind: 'playlist'; from: Source; rendition: string }
  | { kind: 'init'; from: Source; take: string; rendition: string }
  | { kind: 'segment'; from: Source; take: string; rendition: string; number: number }

export type Source = { kind: 'live'; liveId: string } | { kind: 'replay'; recordingId: string }

const grammar =
  /^\/(?:live\/(?<liveId>[a-z0-9][a-z0-9_-]{0,62})|replay\/(?<recordingId>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}))\/(?:(?<manifest>index\.m3u8|manifest\.mpd)|(?<playlist>[a-z0-9]{1,16})\.m3u8|(?<take>[a-z0-9]{8,16}-[0-9]{1,9})\/(?<rendition>[a-z0-9]{1,16})\/(?:init\.mp4|(?<number>[0-9]{1,10})\.m4s))$/

/** `target` is the request target as it came; a query is not looked at. */
export function parsePlaybackPath(target: string): PlaybackPath | undefined {
  const path = target.split('?', 1)[0]!
  if (path === '/time') return { kind: 'time' }
  const groups = grammar.exec(path)?.groups
  if (!groups) return undefined
  const { liveId, recordingId, manifest, playlist, take, rendition, number } = groups
  const from: Source =
    liveId !== undefined ? { kind: 'live', liveId } : { kind: 'replay', recordingId: recordingId! }
  if (manifest === 'index.m3u8') return { kind: 'multivariant', from }
  if (manifest === 'manifest.mpd') return { kind: 'mpd', from }
  if (playlist !== undefined) return { kind: 'playlist', from, rendition: playlist }
  if (take === undefined || rendition === undefined) return undefined
  if (number === undefined) return { kind: 'init', from, take, rendition }
  return { kind: 'segment', from, take, rendition, number: Number(number) }
}
