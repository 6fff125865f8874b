// The grammar of playback URLs: which object a path names, or none. The same names hold at the transcoder,
// the gateway and the edge. Nothing is decoded or normalised, so that one object has one spelling.

export type ObjectKind =
  | 'multivariant'
  | 'media-playlist'
  | 'mpd'
  | 'status'
  | 'init'
  | 'segment'
  /** A piece of a segment, for low-latency HLS. */
  | 'part'

export interface MediaObject {
  scope: 'live' | 'replay'
  /** Live id, or id of the recording. */
  id: string
  kind: ObjectKind
  /** Name of the rendition, where the object belongs to one. */
  rendition: string | undefined
}

const maxPathLength = 256
const rendition = '[a-z0-9][a-z0-9-]{0,31}'
const take = '[a-z0-9]{8,16}-\\d{1,6}'
const grammar = new RegExp(
  `^/(live|replay)/([a-z0-9][a-z0-9_-]{0,62})/(?:` +
    `(?<name>index\\.m3u8|manifest\\.mpd|timeline\\.mpd|status\\.json)|` +
    `(?<playlist>${rendition})\\.m3u8|` +
    `${take}/(?<media>${rendition})/(?<file>init\\.mp4|p?\\d{1,10}\\.m4s))$`,
)
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

const kindOfName: Record<string, ObjectKind> = {
  'index.m3u8': 'multivariant',
  'manifest.mpd': 'mpd',
  'timeline.mpd': 'mpd',
  'status.json': 'status',
}

export function classify(path: string): MediaObject | undefined {
  if (path.length > maxPathLength) return undefined
  const match = grammar.exec(path)
  if (!match) return undefined
  const scope = match[1] as MediaObject['scope']
  const id = match[2]!
  if (scope === 'replay' && !uuid.test(id)) return undefined
  const { name, playlist, media, file } = match.groups!
  if (name !== undefined) {
    if (scope === 'replay' && name === 'status.json') return undefined
    return { scope, id, kind: kindOfName[name]!, rendition: undefined }
  }
  // The DVR window is no rendition, and not of this version.
  if (playlist === 'dvr') return undefined
  if (playlist !== undefined) return { scope, id, kind: 'media-playlist', rendition: playlist }
  // Parts are of use only near the live edge.
  if (scope === 'replay' && file?.startsWith('p')) return undefined
  return { scope, id, kind: kindOfFile(file!), rendition: media }
}

function kindOfFile(file: string): ObjectKind {
  if (file === 'init.mp4') return 'init'
  return file.startsWith('p') ? 'part' : 'segment'
}

// Spellings by which caches have been made to disagree with the origin behind them: encoded or bare dots and
// slashes, backslashes, parameters after a semicolon, control and non-ASCII characters.
const suspicious = /[^\x21-\x7e]|[%\\;]|\/\/|\/\.\.?(?:\/|$)|^[^/]/

/** True for a path that no URL of ours can have in any spelling: a 400 rather than a 404. */
export function isMalformed(path: string): boolean {
  return path.length > maxPathLength || suspicious.test(path)
}
