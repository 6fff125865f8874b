// The headers of a media answer, the same on every road by which it leaves.
import { acceptsCoding } from '../net/accept-encoding.ts'
import type { AnswerHead } from './answer-head.ts'
import type { CacheObject } from './cache-object.ts'
import { appendCacheStatus, cacheStatusMember } from './cache-status.ts'
import type { Opened } from './fill-cache.ts'
import { lifetimeOf } from './freshness.ts'
import type { ObjectKind } from './media-path.ts'

/** Every page may play from here, and read what the headers say. */
export const corsHeaders = [
  'access-control-allow-origin',
  '*',
  'access-control-expose-headers',
  'Age, Cache-Status, Content-Length, Content-Range, Date, ETag, Retry-After',
  'timing-allow-origin',
  '*',
  'x-content-type-options',
  'nosniff',
]

export const preflightHeaders = [
  'access-control-allow-origin',
  '*',
  'access-control-allow-methods',
  'GET, HEAD, OPTIONS',
  'access-control-allow-headers',
  'Range, If-Range, If-None-Match, Cache-Control, CMCD-Object, CMCD-Request, CMCD-Session, CMCD-Status',
  'access-control-max-age',
  '86400',
  'content-length',
  '0',
]

const textKinds: ReadonlySet<ObjectKind> = new Set(['multivariant', 'media-playlist', 'mpd'])

export type Coding = 'gzip' | 'identity'

/** Undefined where the answer is the same for everybody, whatever they accept. */
export function codingOf(
  object: CacheObject,
  head: AnswerHead,
  acceptEncoding: string | undefined,
): Coding | undefined {
  if (head.status !== 200 || head.contentEncoding !== undefined) return undefined
  if (!textKinds.has(object.target.media.kind)) return undefined
  return acceptsCoding(acceptEncoding, 'gzip') ? 'gzip' : 'identity'
}

export interface AnswerFacts {
  /** Name of this cache as a structured field item. */
  member: string
  opened: Opened
  head: AnswerHead
  coding: Coding | undefined
  /** The body goes out compressed by us. */
  isGzip: boolean
  failedStatus: number | undefined
  ageSeconds: number
}

/** Names and values in turn; without what depends on a range or on the framing. */
export function answerHeaders(facts: AnswerFacts): string[] {
  const { head, opened, coding, isGzip } = facts
  const { policy } = opened.object
  const headers = [
    'content-type',
    head.contentType,
    'cache-control',
    head.cacheControl ?? (head.status === 200 ? policy.cacheControl : 'max-age=0'),
    'age',
    String(facts.ageSeconds),
    'cache-status',
    appendCacheStatus(head.cacheStatus, describe(facts)),
  ]
  // The same text in other bytes (RFC 9110 §8.8.1).
  if (head.etag !== undefined) headers.push('etag', isGzip ? `W/${head.etag}` : head.etag)
  if (head.retryAfter !== undefined) headers.push('retry-after', head.retryAfter)
  if (isGzip) headers.push('content-encoding', 'gzip')
  else if (head.contentEncoding !== undefined) {
    headers.push('content-encoding', head.contentEncoding)
  }
  if (coding !== undefined) headers.push('vary', 'accept-encoding')
  headers.push(...corsHeaders)
  return headers
}

function describe({ member, opened, head, failedStatus }: AnswerFacts): string {
  const { object, outcome } = opened
  const filling = outcome === 'miss' || outcome === 'expired'
  return cacheStatusMember(member, outcome, {
    ...(opened.freshMs !== undefined && { ttlSeconds: Math.floor(opened.freshMs / 1000) }),
    stored: filling && head.isDelimited && lifetimeOf(object.policy, head).freshMs > 0,
    failedStatus,
  })
}
