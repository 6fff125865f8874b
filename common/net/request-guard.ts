// Refuses HTTP requests that two implementations could read in two ways, before any handler sees them.
// Node's parser already refuses most; these are the ones that it lets through.
import type { IncomingMessage } from 'node:http'
import { Http2ServerRequest } from 'node:http2'

export interface RequestFault {
  status: number
  reason: string
}

/** An edge takes no request bodies, which leaves nothing to smuggle. */
export const allowedMethods = ['GET', 'HEAD', 'OPTIONS'] as const

const methods: ReadonlySet<string> = new Set(allowedMethods)
// RFC 3986 §3.2.2, without user information and without the characters that only look like a host.
const hostForm = /^(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/
// Visible ASCII without '#': a fragment never belongs into a request (RFC 9112 §3.2).
const targetForm = /^\/[\x21\x22\x24-\x7e]*$/
const absoluteForm = /^https?:\/\/([^/?#]+)(.*)$/i

/** What is wrong with a request of either HTTP version; undefined for a good one. */
export function requestFault(req: IncomingMessage): RequestFault | undefined {
  if (isHttp2(req)) {
    return hostFault(req.headers[':authority'] ?? req.headers.host) ?? commonFault(req)
  }
  if (req.httpVersion !== '1.1' && req.httpVersion !== '1.0') {
    return { status: 505, reason: 'HTTP version not supported' }
  }
  const hosts = valuesOf(req.rawHeaders, 'host')
  if (hosts.length > 1) return bad('more than one Host')
  if (hosts.length === 0 && req.httpVersion === '1.1') return bad('no Host')
  return (hosts.length === 1 ? hostFault(hosts[0]) : undefined) ?? commonFault(req)
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
  if (path === undefined || !targetForm.test(path)) return bad('malformed request target')
  if (req.headers.expect !== undefined) return { status: 417, reason: 'no expectation can be met' }
  if (req.headers['transfer-encoding'] !== undefined) return bad('a body is not accepted')
  const length = req.headers['content-length']
  if (length !== undefined && length !== '0') return bad('a body is not accepted')
  return undefined
}

/** A Host as it may stand in a request here. */
export function isHost(text: string): boolean {
  return hostForm.test(text)
}

function hostFault(host: string | string[] | undefined): RequestFault | undefined {
  return typeof host === 'string' && isHost(host) ? undefined : bad('malformed Host')
}

function bad(reason: string): RequestFault {
  return { status: 400, reason }
}

function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  const values: string[] = []
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.length === name.length && rawHeaders[i]!.toLowerCase() === name) {
      values.push(rawHeaders[i + 1]!)
    }
  }
  return values
}
