// Says in words how this server reads a URL: for operators, off the way of viewers.
import { classify, isMalformed, type MediaObject } from './media-path.ts'

const keptDirectives = new Set(['_HLS_msn', '_HLS_part', '_HLS_skip'])

/** A URL, or a path and query, as a client would send it: nothing is decoded or normalised. */
export function pathOfUrl(url: string): { path: string; query: string; hasToken: boolean } {
  const target = url.replace(/^https?:\/\/[^/?#]*/i, '').replace(/#.*$/s, '') || '/'
  const mark = target.indexOf('?')
  const asked = mark < 0 ? target : target.slice(0, mark)
  // A playback token in the path says who may, not what.
  const path = asked.replace(/^\/t\/[^/]+(?=\/)/, '')
  return { path, query: mark < 0 ? '' : target.slice(mark + 1), hasToken: path !== asked }
}

/** Why a path names no media object. */
export function whyNoObject(path: string): string {
  if (!path.startsWith('/')) return 'A path begins with a slash.'
  if (path.length > 256) return `The path has ${path.length} characters; none of ours has over 256.`
  if (/[^\x21-\x7e]/.test(path)) return 'The path has a space, control or non-ASCII character.'
  if (path.includes('%'))
    return 'Nothing in our paths is percent-encoded, so that one object has one spelling.'
  if (/[\\;]/.test(path)) return 'No path of ours has a backslash or a semicolon.'
  if (isMalformed(path))
    return 'Empty steps (//) and dots (/./, /../) are not resolved but refused.'
  const [, scope, id = '', ...rest] = path.split('/')
  if (scope !== 'live' && scope !== 'replay') {
    return 'Media is below /live/LIVE_ID/ and /replay/RECORDING_ID/ alone.'
  }
  if (rest.length === 0 || (rest.length === 1 && rest[0] === '')) {
    return `This is the folder of ${scope === 'live' ? 'a live id' : 'a recording'}: a file name is missing.`
  }
  if (!classify(`/${scope}/${id}/index.m3u8`)) {
    return scope === 'live'
      ? `"${id}" is no live id: small letters, digits, - and _, 63 at most, a letter or digit first.`
      : `"${id}" is no id of a recording: that is a UUID in small letters.`
  }
  return whyNoFile(scope, rest)
}

function whyNoFile(scope: MediaObject['scope'], rest: readonly string[]): string {
  const [take = '', rendition = '', file = ''] = rest
  if (rest.length === 1) {
    return `There is no file "${take}" ${scope === 'live' ? 'of a live stream' : 'of a recording'}: index.m3u8, manifest.mpd, timeline.mpd or RENDITION.m3u8.`
  }
  if (rest.length !== 3) return 'Media is at TAKE/RENDITION/FILE below its live id or recording.'
  if (!/^[a-z0-9]{8,16}-\d{1,6}$/.test(take)) {
    return `"${take}" is no take: the tag of the broadcast, a dash and a number, as playlists list it.`
  }
  if (!/^[a-z0-9][a-z0-9-]{0,31}$/.test(rendition)) {
    return `"${rendition}" is no rendition: small letters, digits and -, 32 at most.`
  }
  if (scope === 'replay' && /^p\d+\.m4s$/.test(file)) return 'Recordings have segments, no parts.'
  return `"${file}" is no media file: init.mp4, NUMBER.m4s or pNUMBER.m4s.`
}

export interface QueryPart {
  name: string
  kept: boolean
  why: string
}

/** What becomes of each part of a query; values are left out, since they may be secrets. */
export function queryParts(media: MediaObject, query: string): QueryPart[] {
  if (query === '') return []
  return query.split('&').map((pair) => {
    const split = pair.indexOf('=')
    const name = (split < 0 ? pair : pair.slice(0, split)).slice(0, 64)
    if (keptDirectives.has(name)) {
      const kept = media.kind === 'media-playlist'
      const why = kept
        ? 'a delivery directive of low-latency HLS'
        : 'only media playlists have delivery directives'
      return { name, kept, why }
    }
    return { name, kept: false, why: whyDropped(name) }
  })
}

function whyDropped(name: string): string {
  if (/^cmcd(?:-|$)/i.test(name))
    return 'what the player says of itself: the object is the same for all'
  if (name.startsWith('_HLS_')) return 'a delivery directive that this version does not know'
  return 'no part of a query but delivery directives names another object'
}
