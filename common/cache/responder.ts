// HTTP towards downstream: one object to one connection, HTTP/1.1 or HTTP/2, at that connection's pace.
//
// A complete small body goes out in one call, everything else by a reader (reader.ts). A body that breaks off
// upstream breaks off here too: the connection or stream is destroyed, never ended cleanly.
import { ServerResponse } from 'node:http'
import { Http2ServerResponse } from 'node:http2'
import type { Clock } from '../clock.ts'
import type { AnswerHead } from './answer-head.ts'
import {
  answerHeaders,
  type Coding,
  codingOf,
  corsHeaders,
  preflightHeaders,
} from './answer-headers.ts'
import { awaitAnswer } from './await-answer.ts'
import { protocolRows, type ServingMetrics } from './cache-metrics.ts'
import type { CacheObject } from './cache-object.ts'
import { memberName } from './cache-status.ts'
import { ifRangeHolds, noneMatchHolds, parseRange } from './conditions.ts'
import type { LocalAnswer } from './error-answer.ts'
import type { Answered, CacheRequest, CacheResponse, Opened } from './fill-cache.ts'
import { type Downstream, maxWriteBytes, Reader } from './reader.ts'
import type { SendDeadlines, Sender } from './send-deadlines.ts'
import { resetStream, resetUnread } from './stream-reset.ts'

export interface ResponderOptions {
  name: string
  clock: Clock
  deadlines: SendDeadlines
  metrics: ServingMetrics
  compress: boolean
}

export class Responder {
  readonly #member: string
  readonly #compress: boolean
  readonly #clock: Clock
  readonly #deadlines: SendDeadlines
  readonly #metrics: ServingMetrics

  constructor(options: ResponderOptions) {
    this.#member = memberName(options.name)
    this.#clock = options.clock
    this.#deadlines = options.deadlines
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
    const leave = awaitAnswer(opened, {
      metrics: this.#metrics,
      clock: this.#clock,
      // Compressed it is sent whole; its bytes come with its head, or shortly after.
      wantsWhole: (object, head) => this.#coding(req, object, head) === 'gzip',
      answer: (found, head, failedStatus) =>
        this.#answer(req, res, found, head, answered, failedStatus),
      broken: () => abort(res),
    })
    if (!leave) return
    res.on('close', leave)
    onShut(res, () => res.headersSent || abort(res))
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
    const headers = answerHeaders({
      member: this.#member,
      opened,
      head,
      coding,
      isGzip,
      failedStatus,
      ageSeconds: object.ageSeconds(this.#clock.monotonic()),
    })
    const part = head.status === 200 ? selectPart(req, object, head.etag) : wholeBody(object)
    if (isGzip && part.status === 200) {
      this.#metrics.requested(opened, 200)
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
    this.#metrics.requested(opened, status)
    writeHead(res, status, headers)
    if (req.method === 'HEAD' || part.status === 304 || part.status === 416) res.end()
    else this.#send(res, object, part.start, part.end)
    answered?.({ media, status, outcome: opened.outcome })
  }

  #coding(req: CacheRequest, object: CacheObject, head: AnswerHead): Coding | undefined {
    if (!this.#compress) return undefined
    const coding = codingOf(object, head, req.headers['accept-encoding']?.toString())
    // A range is one of the bytes as they came.
    return coding === 'gzip' && req.headers.range !== undefined ? 'identity' : coding
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
      endWhole(res, body, this.#deadlines)
    }
  }

  #send(res: CacheResponse, object: CacheObject, start: number, end: number | undefined): void {
    if (end !== undefined && object.size >= end && end - start <= maxWriteBytes) {
      this.#metrics.sent(end - start, protocolOf(res), object.tally)
      endWhole(res, object.slice(start, end), this.#deadlines)
      return
    }
    const deadlines = this.#deadlines
    const reader = new Reader(downstreamOf(res, deadlines), object, {
      start,
      end,
      deadlines,
      metrics: this.#metrics,
    })
    res.on('close', () => reader.gone())
    res.on('drain', () => reader.room())
    if (!reader.hasAll) onShut(res, () => reader.hasAll || abort(res))
    // HTTP/1.1 would hold the head back until the first byte of the body.
    if (!reader.run() && res instanceof ServerResponse) res.flushHeaders()
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

/** A client of HTTP/1.1 that sends no more may have left: it gets what is here, but nothing is waited for. */
function onShut(res: CacheResponse, act: () => void): void {
  if (!(res instanceof ServerResponse)) return
  const { socket } = res
  socket?.once('end', act)
  res.once('close', () => socket?.off('end', act))
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

function downstreamOf(res: CacheResponse, deadlines: SendDeadlines): Downstream {
  const isHttp2 = res instanceof Http2ServerResponse
  return {
    protocol: protocolOf(res),
    isCopying: isHttp2 || 'encrypted' in (res.socket ?? {}),
    // Both kinds have this method, with signatures that no one call fits.
    write: (piece) => (isHttp2 ? res.write(piece) : res.write(piece)),
    end(piece) {
      finish(res, piece, deadlines, this)
    },
    abort: () => abort(res),
    overdue() {
      letGo(res, deadlines, this)
    },
  }
}

/** Ends an answer with its whole body; who does not take that in time is let go. */
export function endWhole(res: CacheResponse, body: Buffer, deadlines: SendDeadlines): void {
  const sender: Sender = { overdue: () => letGo(res, deadlines, sender) }
  res.on('close', () => deadlines.taken(sender))
  finish(res, body, deadlines, sender)
}

function finish(
  res: CacheResponse,
  piece: Buffer | undefined,
  deadlines: SendDeadlines,
  sender: Sender,
): void {
  if (piece) res.end(piece)
  else res.end()
  deadlines.wrote(sender, res.writableLength)
}

function isGone(res: CacheResponse): boolean {
  return res.headersSent || (res instanceof Http2ServerResponse ? res.stream : res).destroyed
}

/** Tells downstream that the rest is missing: a reset, never a clean end. */
function abort(res: CacheResponse): void {
  if (res instanceof Http2ServerResponse) resetStream(res.stream)
  else res.destroy()
}

/** Of what has been written the connection has taken nothing, or too little. */
function letGo(res: CacheResponse, deadlines: SendDeadlines, sender: Sender): void {
  if (res instanceof Http2ServerResponse) resetUnread(res.stream, deadlines)
  // Behind another answer on its connection its turn is yet to come.
  else if (!res.socket && !res.destroyed) deadlines.wrote(sender, res.writableLength)
  else res.destroy()
}
