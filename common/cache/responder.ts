// HTTP towards downstream: one object to one connection, HTTP/1.1 or HTTP/2, at that connection's pace.
//
// A complete small body goes out in one call. Everything else is a reader: an offset into the object, one
// write under way at a time, woken by the object (more bytes) or by the connection (room again). A body that
// breaks off upstream breaks off here too: the connection or stream is destroyed, never ended cleanly.
import { ServerResponse } from 'node:http'
import { constants, Http2ServerResponse } from 'node:http2'
import type { Clock, Timer } from '../clock.ts'
import { acceptsCoding } from '../net/accept-encoding.ts'
import type { AnswerHead } from './answer-head.ts'
import { type CacheMetrics, protocolRows } from './cache-metrics.ts'
import type { CacheObject } from './cache-object.ts'
import { appendCacheStatus, cacheStatusMember, memberName } from './cache-status.ts'
import { ifRangeHolds, noneMatchHolds, parseRange } from './conditions.ts'
import type { LocalAnswer } from './error-answer.ts'
import type { Answered, CacheRequest, CacheResponse, Opened } from './fill-cache.ts'
import { lifetimeOf } from './freshness.ts'
import type { ObjectKind } from './media-path.ts'

// A write of a view costs no copy on a plain connection, but TLS encrypts all of it at once.
const maxWriteBytes = 256 * 1024
// A reader whose connection has not taken a single write for so long is gone.
const stalledMs = 30_000

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
const preflightHeaders = [
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

export interface ResponderOptions {
  name: string
  clock: Clock
  metrics: CacheMetrics
  compress: boolean
}

const textKinds: ReadonlySet<ObjectKind> = new Set(['multivariant', 'media-playlist', 'mpd'])

export class Responder {
  readonly #member: string
  readonly #compress: boolean
  readonly #clock: Clock
  readonly #metrics: CacheMetrics

  constructor(options: ResponderOptions) {
    this.#member = memberName(options.name)
    this.#clock = options.clock
    this.#metrics = options.metrics
    this.#compress = options.compress
  }

  preflight(res: CacheResponse): void {
    writeHead(res, 204, preflightHeaders)
    res.end()
  }

  /** Answers without the cache. */
  refuse(req: CacheRequest, res: CacheResponse, answer: LocalAnswer, extra: string[] = []): void {
    const body = Buffer.from(answer.body)
    // HTTP/2 has no connection header; closing the stream is all there is to do.
    const kept = res instanceof Http2ServerResponse && extra[0] === 'connection' ? [] : extra
    writeHead(res, answer.status, [
      'content-type',
      answer.contentType ?? 'application/json',
      'content-length',
      String(body.length),
      'cache-control',
      'no-store',
      ...kept,
      ...corsHeaders,
    ])
    if (req.method === 'HEAD') res.end()
    else res.end(body)
  }

  serve(
    req: CacheRequest,
    res: CacheResponse,
    opened: Opened,
    answered: ((answer: Answered) => void) | undefined,
  ): void {
    const { object } = opened
    const proceed = (): boolean => {
      if (object.substitute) {
        const { object: stale, failedStatus } = object.substitute
        const instead: Opened = { object: stale, outcome: 'stale' }
        this.#answer(req, res, instead, stale.head!, answered, failedStatus)
      } else if (object.head) {
        // Compressed it is sent whole; its bytes come with its head, or shortly after.
        if (object.state === 'growing' && this.#coding(req, object, object.head) === 'gzip') {
          return false
        }
        this.#answer(req, res, opened, object.head, answered)
      } else if (object.state === 'broken') abort(res)
      else return false
      return true
    }
    // The fill may have ended within the call that began it.
    if (proceed()) return
    const since = this.#clock.monotonic()
    const over = this.#metrics.waits(object.target)
    const leave = object.follow(() => {
      if (!proceed()) return
      over(res.headersSent, (this.#clock.monotonic() - since) / 1000)
      // Follow before leaving: a reader that changes places is not one that has left.
      leave()
    })
    res.on('close', () => {
      over(false, 0)
      leave()
    })
  }

  #answer(
    req: CacheRequest,
    res: CacheResponse,
    opened: Opened,
    head: AnswerHead,
    answered: ((answer: Answered) => void) | undefined,
    failedStatus?: number,
  ): void {
    const { object } = opened
    const { media } = object.target
    if (isGone(res)) return
    const coding = this.#coding(req, object, head)
    const isGzip = coding === 'gzip' && object.state === 'complete'
    const etag = isGzip ? weak(head.etag) : head.etag
    const headers = [
      'content-type',
      head.contentType,
      'cache-control',
      head.cacheControl ?? (head.status === 200 ? object.policy.cacheControl : 'max-age=0'),
      'age',
      String(object.ageSeconds(this.#clock.monotonic())),
      'cache-status',
      appendCacheStatus(head.cacheStatus, this.#describe(opened, head, failedStatus)),
    ]
    if (etag !== undefined) headers.push('etag', etag)
    if (head.retryAfter !== undefined) headers.push('retry-after', head.retryAfter)
    if (head.contentEncoding !== undefined) headers.push('content-encoding', head.contentEncoding)
    if (coding !== undefined) headers.push('vary', 'accept-encoding')
    headers.push(...corsHeaders)

    const part = head.status === 200 ? selectPart(req, object, head.etag) : wholeBody(object)
    if (isGzip && part.status === 200) {
      this.#count(opened, 200)
      headers.push('content-encoding', 'gzip')
      this.#sendWhole(req, res, object, headers, object.gzipped())
      answered?.({ media, status: 200, outcome: opened.outcome })
      return
    }
    if (part.status === 200 && head.status === 200) headers.push('accept-ranges', 'bytes')
    if (part.contentRange !== undefined) headers.push('content-range', part.contentRange)
    if (part.end !== undefined && part.status !== 304) {
      headers.push('content-length', String(part.end - part.start))
    }
    const status = part.status === 200 ? head.status : part.status
    this.#count(opened, status)
    writeHead(res, status, headers)
    if (req.method === 'HEAD' || part.status === 304 || part.status === 416) res.end()
    else this.#send(res, object, part.start, part.end)
    answered?.({ media, status, outcome: opened.outcome })
  }

  /** Undefined where the answer is the same for everybody, whatever they accept. */
  #coding(
    req: CacheRequest,
    object: CacheObject,
    head: AnswerHead,
  ): 'gzip' | 'identity' | undefined {
    if (!this.#compress || head.status !== 200 || head.contentEncoding !== undefined)
      return undefined
    if (!textKinds.has(object.target.media.kind)) return undefined
    // A range is one of the bytes as they came.
    if (req.headers.range !== undefined) return 'identity'
    return acceptsCoding(req.headers['accept-encoding']?.toString(), 'gzip') ? 'gzip' : 'identity'
  }

  #count({ object, outcome }: Opened, status: number): void {
    this.#metrics.requested(outcome, object.target.media.kind, status)
    if (object.tally) object.tally.requests++
  }

  #sendWhole(
    req: CacheRequest,
    res: CacheResponse,
    object: CacheObject,
    headers: string[],
    body: Buffer,
  ): void {
    writeHead(res, 200, [...headers, 'content-length', String(body.length)])
    if (req.method === 'HEAD') res.end()
    else {
      this.#metrics.sent(body.length, protocolOf(res), object.tally)
      res.end(body)
    }
  }

  #send(res: CacheResponse, object: CacheObject, start: number, end: number | undefined): void {
    if (end !== undefined && object.size >= end && end - start <= maxWriteBytes) {
      this.#metrics.sent(end - start, protocolOf(res), object.tally)
      res.end(object.slice(start, end))
      return
    }
    new Reader(res, object, { start, end, clock: this.#clock, metrics: this.#metrics }).run()
  }

  #describe(opened: Opened, head: AnswerHead, failedStatus: number | undefined): string {
    const { object, outcome } = opened
    const filling = outcome === 'miss' || outcome === 'expired'
    return cacheStatusMember(this.#member, outcome, {
      ...(opened.freshMs !== undefined && { ttlSeconds: Math.floor(opened.freshMs / 1000) }),
      stored: filling && head.isDelimited && lifetimeOf(object.policy, head).freshMs > 0,
      failedStatus,
    })
  }
}

interface Part {
  status: 200 | 206 | 304 | 416
  start: number
  /** Exclusive; undefined while the length is not known. */
  end: number | undefined
  contentRange?: string
}

function wholeBody(object: CacheObject): Part {
  return { status: 200, start: 0, end: object.length }
}

/** Conditions, then ranges, in the order of RFC 9110 §13.2.2. */
function selectPart(req: CacheRequest, object: CacheObject, etag: string | undefined): Part {
  const { 'if-none-match': ifNoneMatch, 'if-range': ifRange, range } = req.headers
  if (ifNoneMatch !== undefined && etag !== undefined && !noneMatchHolds(ifNoneMatch, etag)) {
    return { status: 304, start: 0, end: 0 }
  }
  const { length } = object
  // A range of a body whose length is not known yet is answered with all of it.
  if (range === undefined || req.method !== 'GET' || length === undefined) return wholeBody(object)
  if (ifRange !== undefined && !ifRangeHolds(String(ifRange), etag)) return wholeBody(object)
  const wanted = parseRange(range, length)
  if (wanted === 'ignored') return wholeBody(object)
  if (wanted === 'unsatisfiable') {
    return { status: 416, start: 0, end: 0, contentRange: `bytes */${length}` }
  }
  const { start, end } = wanted
  return { status: 206, start, end, contentRange: `bytes ${start}-${end - 1}/${length}` }
}

/** The same text in other bytes (RFC 9110 §8.8.1). */
function weak(etag: string | undefined): string | undefined {
  return etag === undefined ? undefined : `W/${etag}`
}

class Reader {
  readonly #res: CacheResponse
  readonly #protocol: number
  readonly #object: CacheObject
  readonly #end: number | undefined
  readonly #clock: Clock
  readonly #metrics: CacheMetrics
  #offset: number
  #isBlocked = false
  #isDone = false
  #leave: (() => void) | undefined
  #stall: Timer | undefined

  constructor(
    res: CacheResponse,
    object: CacheObject,
    options: { start: number; end: number | undefined; clock: Clock; metrics: CacheMetrics },
  ) {
    this.#res = res
    this.#protocol = protocolOf(res)
    this.#object = object
    this.#offset = options.start
    this.#end = options.end
    this.#clock = options.clock
    this.#metrics = options.metrics
  }

  run(): void {
    this.#res.on('close', () => this.#finish())
    this.#res.on('drain', () => {
      this.#isBlocked = false
      this.#stall?.cancel()
      this.#pump()
    })
    const { state } = this.#object
    if (state === 'growing') this.#leave = this.#object.follow(() => this.#pump())
    const begin = this.#offset
    this.#pump()
    // HTTP/1.1 would hold the head back until the first byte of the body.
    const nothingSent = this.#offset === begin && !this.#isDone
    if (nothingSent && this.#res instanceof ServerResponse) this.#res.flushHeaders()
  }

  #pump(): void {
    while (!this.#isBlocked && !this.#isDone) {
      const object = this.#object
      const end = this.#end ?? (object.state === 'complete' ? object.size : Infinity)
      const until = Math.min(end, object.size, this.#offset + maxWriteBytes)
      if (this.#offset < until) this.#write(object.slice(this.#offset, until), until === end)
      else if (this.#offset >= end) this.#close()
      else {
        if (object.state === 'broken') this.#break()
        return
      }
    }
  }

  #write(piece: Buffer, isLast: boolean): void {
    this.#offset += piece.length
    this.#metrics.sent(piece.length, this.#protocol, this.#object.tally)
    if (isLast) this.#close(piece)
    else if (!write(this.#res, piece)) {
      this.#isBlocked = true
      this.#stall = this.#clock.setTimeout(() => this.#break(), stalledMs)
    }
  }

  #close(piece?: Buffer): void {
    this.#finish()
    if (piece) this.#res.end(piece)
    else this.#res.end()
  }

  #break(): void {
    this.#finish()
    abort(this.#res)
  }

  #finish(): void {
    this.#isDone = true
    this.#stall?.cancel()
    this.#leave?.()
  }
}

/** Its row among `deliveryProtocols`. */
function protocolOf(res: CacheResponse): number {
  if (res instanceof Http2ServerResponse) return protocolRows.h2
  return res.socket && 'encrypted' in res.socket ? protocolRows.https : protocolRows.http
}

function writeHead(res: CacheResponse, status: number, headers: string[]): void {
  if (isGone(res)) return
  if (res instanceof Http2ServerResponse) res.writeHead(status, headers)
  else res.writeHead(status, headers)
}

/** Both kinds have this method, with signatures that no one call fits. */
function write(res: CacheResponse, piece: Buffer): boolean {
  return res instanceof Http2ServerResponse ? res.write(piece) : res.write(piece)
}

function isGone(res: CacheResponse): boolean {
  return res.headersSent || (res instanceof Http2ServerResponse ? res.stream : res).destroyed
}

/** Tells downstream that the rest is missing: a reset, never a clean end. */
function abort(res: CacheResponse): void {
  if (res instanceof Http2ServerResponse) res.stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  else res.destroy()
}
