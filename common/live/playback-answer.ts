// An answer of the playback server before it is written: a status, headers, and where the body comes from.

export interface Answer<Body = AnswerBody> {
  status: number
  type: string
  cacheControl: string
  body: Body
}

export type AnswerBody =
  | Buffer
  | { file: string }
  /** A segment that is in memory, perhaps still growing. */
  | { segment: SegmentName }

export interface SegmentName {
  take: string
  rendition: string
  number: number
}

export const immutable = 'public, max-age=31536000, immutable'
/** Less than half a target duration, so that a player never waits for a cache. */
const shortLived = 'public, max-age=1'
export const uncached = 'no-store'

export const types = {
  playlist: 'application/vnd.apple.mpegurl',
  mpd: 'application/dash+xml',
  init: 'video/mp4',
  segment: 'video/iso.segment',
}

export function manifestAnswer(body: Buffer, type: string): Answer {
  return { status: 200, type, cacheControl: shortLived, body }
}

export function mediaAnswer(body: AnswerBody, type: string): Answer {
  return { status: 200, type, cacheControl: immutable, body }
}

export function refused(status: number, error: string, message: string): Answer<Buffer> {
  const body = Buffer.from(`${JSON.stringify({ error, message })}\n`)
  const cacheControl = status === 404 || error === 'too-far' ? 'max-age=0' : uncached
  return { status, type: 'application/json', cacheControl, body }
}

export const segmentUnknown = refused(404, 'segment-unknown', 'No such segment.')
export const renditionUnknown = refused(404, 'rendition-unknown', 'No such rendition.')
