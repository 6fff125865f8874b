// Conditional and range requests (RFC 9110 §13, §14), as far as a cache of media needs them. Pure.

/** `If-None-Match` uses weak comparison (RFC 9110 §13.1.2). */
export function noneMatchHolds(header: string, etag: string): boolean {
  if (header.trim() === '*') return false
  const opaque = etag.replace(/^W\//, '')
  return !header.split(',').some((candidate) => candidate.trim().replace(/^W\//, '') === opaque)
}

/** `If-Range` needs a strong validator; a date never matches, since we send none (§13.1.5). */
export function ifRangeHolds(header: string, etag: string | undefined): boolean {
  return etag !== undefined && !etag.startsWith('W/') && header.trim() === etag
}

/** `end` is exclusive. */
export type RangeResult = { start: number; end: number } | 'unsatisfiable' | 'ignored'

const singleRange = /^bytes=[ \t]*(\d{0,15})-(\d{0,15})[ \t]*$/i

/** One range of a body of that length. Several ranges, other units and nonsense are ignored (§14.2). */
export function parseRange(header: string, length: number): RangeResult {
  const match = singleRange.exec(header)
  if (!match) return 'ignored'
  const [, first = '', last = ''] = match
  if (first === '') {
    if (last === '') return 'ignored'
    const suffix = Number(last)
    if (suffix === 0 || length === 0) return 'unsatisfiable'
    return { start: Math.max(0, length - suffix), end: length }
  }
  const start = Number(first)
  if (last !== '' && Number(last) < start) return 'ignored'
  if (start >= length) return 'unsatisfiable'
  return { start, end: last === '' ? length : Math.min(length, Number(last) + 1) }
}
