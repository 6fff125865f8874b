// Status and headers of an upstream answer, reduced to what may be passed on. Whatever is not read here
// (cookies, hop-by-hop and private headers) never reaches a viewer.
import { createHash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { ObjectTarget } from './cache-key.ts'
import type { ObjectPolicy } from './freshness.ts'

export interface AnswerHead {
  status: number
  contentType: string
  contentEncoding: string | undefined
  /** Undefined while the end of the body is not known. */
  length: number | undefined
  /** The end of the body can be told from a lost connection. */
  isDelimited: boolean
  etag: string | undefined
  /** As upstream said it. */
  cacheControl: string | undefined
  retryAfter: string | undefined
  /** Members of the caches before us. */
  cacheStatus: string | undefined
  /** As upstream said it; 0 where it did not. */
  ageSeconds: number
}

/** Types in which a node of ours explains an error; anything else is shown as plain text. */
const errorTypes = ['application/json', 'application/problem+json', 'text/plain']

/**
 * What is wrong with the framing of an answer that undici has let through: it takes the end of the connection for the end
 * of a body in a coding that it does not know, and so would a cache that trusts the name of the coding.
 */
export function framingFault(headers: IncomingHttpHeaders): string | undefined {
  const { 'transfer-encoding': coding, 'content-encoding': encoding } = headers
  if (coding !== undefined && !/^chunked$/i.test(String(coding).trim())) {
    return `transfer coding ${coding}`
  }
  if (coding !== undefined && headers['content-length'] !== undefined) return 'length and coding'
  if (Array.isArray(headers['content-length'])) return 'two lengths'
  // None is asked for: what came would have to be unpacked by whoever watches, however large it gets.
  if (encoding !== undefined && encoding !== 'identity') return `content coding ${encoding}`
  return undefined
}

export function readHead(
  target: ObjectTarget,
  policy: ObjectPolicy,
  status: number,
  headers: IncomingHttpHeaders,
): AnswerHead {
  const length = readNumber(headers['content-length'])
  return {
    status,
    // The grammar of paths decides, not upstream: a type that a page could run never gets out.
    contentType: status === 200 ? policy.contentType : errorType(headers['content-type']),
    contentEncoding: headers['content-encoding'],
    length,
    isDelimited: length !== undefined || headers['transfer-encoding'] !== undefined,
    etag: status === 200 ? (strong(headers.etag) ?? ownEtag(target, policy)) : undefined,
    cacheControl: headers['cache-control'],
    retryAfter: headers['retry-after'],
    cacheStatus: joined(headers['cache-status']),
    ageSeconds: readNumber(headers.age) ?? 0,
  }
}

function errorType(type: string | undefined): string {
  const essence = type?.split(';', 1)[0]?.trim().toLowerCase()
  return errorTypes.find((known) => known === essence) ?? 'text/plain; charset=utf-8'
}

function strong(etag: string | undefined): string | undefined {
  return etag !== undefined && /^"[\x21\x23-\x7e]{1,128}"$/.test(etag) ? etag : undefined
}

/** A name that stands for the same bytes for ever is as good a validator as a digest of them. */
function ownEtag(target: ObjectTarget, policy: ObjectPolicy): string | undefined {
  if (!policy.isImmutable) return undefined
  return `"${createHash('sha256').update(target.key).digest('base64url').slice(0, 22)}"`
}

function readNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

function joined(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(', ') : value
}
