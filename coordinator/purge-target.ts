// What an operator wants purged, as the prefix of paths that caches understand.

import { classify } from '../common/cache/media-path.ts'
import { pathOfUrl, whyNoObject } from '../common/cache/url-words.ts'

/** `problem`: nothing in a cache can be meant. */
export function prefixOfUrl(url: string): { prefix: string } | { problem: string } {
  const { path } = pathOfUrl(url)
  // No path of an object begins another one's: what follows it is the query of a held reload.
  if (classify(path)) return { prefix: path }
  const folder = /^\/(live|replay)\/([^/]+)\/?$/.exec(path)
  const isFolder = folder && classify(`/${folder[1]}/${folder[2]}/index.m3u8`)
  if (isFolder) return { prefix: `/${folder[1]}/${folder[2]}/` }
  return { problem: whyNoObject(path) }
}

export function prefixOfLiveId(liveId: string): string {
  return `/live/${liveId}/`
}

export function prefixOfRecording(id: string): string {
  return `/replay/${id}/`
}
