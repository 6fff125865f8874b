// Refuses HTTP requests that two implementations could read in two ways, before any handler sees them.
// Node's parser already refuses most; these are the ones that it lets through.
import type { IncomingMessage } from 'node:http'
import { Http2ServerRequest } from 'node:http2'
import type { HostList } from './host-list.ts'

export interface RequestFault {
  status: number
  reason: string
}

/** An edge takes no request bodies, which leaves nothing to smuggle. */
export const allowedMethods = ['GET', 'HEAD', 'OPTIONS'] as const

const methods: ReadonlySet<string> = new Set(allowedMethods)
/** Beyond its own bound Node drops headers without a word, a second Host among them. */
export const maxHeaderPairs = 100
const maxHostLength = 255
/** Tokens and what players tell (CMCD) fit; nothing of it is kept. */
const maxQueryLength = 2_048
const maxTargetLength = 4_096
// RFC 3986 §3.2.2, without user information and without the characters that only look like a host.
const hostForm = /^(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/
// Visible ASCII without '#': a fragment never belongs into a request (RFC 9112 §3.2).
const targetForm = /^\/[\x21\x22\x24-\x7e]*$/
const absoluteForm = /^https?:\/\/([^/?#]+)(.*)$/i

/** What is wrong with a request of either HTTP version; undefined for a good one. `hosts`: those that are served. */
export function requestFault(req: IncomingMessage, hosts?: HostList): RequestFault | undefined {
  const { headers, rawHeaders } = req
  let host = headers.host
  if (isHttp2(req)) {
    const { stream } = req as unknown as Http2ServerRequest
    const authority = headers[':authority']?.toString()
    if (authority !== undefined && host !== undefined && host !== authority) {
      return bad('two authorities')
    }
    host = authority ?? host ?? ''
    // Without a length, too, a body may follow.
    if (!stream.endAfterHeaders) return commonFault(req) ?? bad('a body is not accepted')
  } else {
    if (req.httpVersion !== '1.1' && req.httpVersion !== '1.0') {
      return { status: 505, reason: 'HTTP version not supported' }
    }
    if (rawHeaders.length > 2 * maxHeaderPairs) return { status: 431, reason: 'too many headers' }
    if (countOf(rawHeaders, 'host') > 1) return bad('more than one Host')
    if (host === undefined && req.httpVersion === '1.1') return bad('no Host')
  }
  if (host !== undefined && !isHost(host)) return bad('malformed Host')
  return commonFault(req) ?? (hosts && !hosts.includes(host ?? '') ? misdirected : undefined)
}

/** The path and query of the request target: RFC 9112 §3.2.2 also allows a client the absolute form. */
export function targetPath(req: IncomingMessage): string | undefined {
  const target = req.url ?? ''
  if (target.startsWith('/')) return target
  const match = absoluteForm.exec(target)
  if (!match) return undefined
  const host = req.headers.host
  if (host !== undefined && match[1]!.toLowerCase() !== host.toLowerCase()) return undefined
  return match[2]!.startsWith('/') ? match[2] : `/${match[2]}`
}

/** By its class: the version of an HTTP/1 request is whatever its sender wrote. */
export function isHttp2(req: IncomingMessage): boolean {
  return (req as unknown) instanceof Http2ServerRequest
}

function commonFault(req: IncomingMessage): RequestFault | undefined {
  if (!methods.has(req.method ?? '')) return { status: 405, reason: 'method not allowed' }
  const path = targetPath(req)
  if ((req.url ?? '').length > maxTargetLength) return tooLong
  if (path === undefined || !targetForm.test(path)) return bad('malformed request target')
  const mark = path.indexOf('?')
  if (mark >= 0 && path.length - mark - 1 > maxQueryLength) return tooLong
  if (req.headers.expect !== undefined) return { status: 417, reason: 'no expectation can be met' }
  if (req.headers['transfer-encoding'] !== undefined) return bad('a body is not accepted')
  const length = req.headers['content-length']
  if (length !== undefined && length !== '0') return bad('a body is not accepted')
  return undefined
}

/** A Host as it may stand in a request here. */
export function isHost(host: string): boolean {
  return host.length <= maxHostLength && hostForm.test(host)
}

const misdirected: RequestFault = { status: 421, reason: 'this host is not served here' }
const tooLong: RequestFault = { status: 414, reason: 'request target too long' }

function bad(reason: string): RequestFault {
  return { status: 400, reason }
}

function countOf(rawHeaders: readonly string[], name: string): number {
  let count = 0
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.length === name.length && rawHeaders[i]!.toLowerCase() === name) count++
  }
  return count
}
