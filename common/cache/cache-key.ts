// What of a request's target names an object: the path and, on a media playlist, the three delivery
// directives of low-latency HLS. Everything else of a query (tokens, CMCD, cache busters) is dropped.
import type { MediaObject } from './media-path.ts'

export interface ObjectTarget {
  media: MediaObject
  /** Names the object here, and is the path and query that upstream is asked for. */
  key: string
  path: string
  /** The answer is held back upstream until the playlist has got that far. */
  blocking: boolean
}

export type KeyResult = ObjectTarget | { problem: string }

const sequenceNumber = /^\d{1,15}$/

/** `query` is the text after the question mark, or empty. */
export function targetOf(media: MediaObject, path: string, query: string): KeyResult {
  if (media.kind !== 'media-playlist' || !query.includes('_HLS_')) {
    return { media, key: path, path, blocking: false }
  }
  let msn: string | undefined
  let part: string | undefined
  let skip: string | undefined
  for (const pair of query.split('&')) {
    const split = pair.indexOf('=')
    const value = split < 0 ? '' : pair.slice(split + 1)
    switch (split < 0 ? pair : pair.slice(0, split)) {
      case '_HLS_msn':
        if (msn !== undefined || !sequenceNumber.test(value)) return malformed('_HLS_msn')
        msn = String(Number(value))
        break
      case '_HLS_part':
        if (part !== undefined || !sequenceNumber.test(value)) return malformed('_HLS_part')
        part = String(Number(value))
        break
      case '_HLS_skip':
        if (skip !== undefined || (value !== 'YES' && value !== 'v2')) return malformed('_HLS_skip')
        skip = value
        break
    }
  }
  // RFC 8216bis §6.2.5.2: a part without its media sequence number is a 400.
  if (part !== undefined && msn === undefined) return { problem: '_HLS_part needs _HLS_msn.' }
  const directives = [
    msn !== undefined && `_HLS_msn=${msn}`,
    part !== undefined && `_HLS_part=${part}`,
    skip !== undefined && `_HLS_skip=${skip}`,
  ].filter((directive) => directive !== false)
  const key = directives.length > 0 ? `${path}?${directives.join('&')}` : path
  return { media, key, path, blocking: msn !== undefined }
}

function malformed(name: string): KeyResult {
  return { problem: `${name} is given twice or has a value that it cannot have.` }
}
