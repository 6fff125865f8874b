// One simple GET over HTTP/2, answered without the compatibility classes of node:http2 (a third of their cost).
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import type { AnswerHead } from '../../../common/cache/answer-head.ts'
import { type Coding, codingOf } from '../../../common/cache/answer-headers.ts'
import { awaitAnswer } from '../../../common/cache/await-answer.ts'
import { protocolRows } from '../../../common/cache/cache-metrics.ts'
import type { CacheObject } from '../../../common/cache/cache-object.ts'
import type { Opened } from '../../../common/cache/fill-cache.ts'
import { type Downstream, maxWriteBytes, Reader } from '../../../common/cache/reader.ts'
import { resetStream, resetUnread } from '../../../common/cache/stream-reset.ts'
import { acceptsCoding } from '../../../common/net/accept-encoding.ts'
import type { HostList } from '../../../common/net/host-list.ts'
import { isHost } from '../../../common/net/request-guard.ts'
import type { FastRoad, Viewed } from './fast-road.ts'
import type { LoggedAnswer } from './logged-answer.ts'
import { isSimpleTarget, notSimple } from './simple-get.ts'

/** Path and query of a request that the fast road may answer; undefined for any other. */
export function simpleTarget(
  headers: IncomingHttpHeaders,
  hasBody: boolean,
  hosts: HostList | undefined,
): string | undefined {
  if (hasBody || headers[':method'] !== 'GET') return undefined
  const authority = headers[':authority']
  if (authority === undefined || !isHost(authority) || headers.host !== undefined) return undefined
  if (hosts?.includes(authority) === false) return undefined
  for (const name in headers) if (notSimple.has(name)) return undefined
  const target = headers[':path']
  return target !== undefined && isSimpleTarget(target) ? target : undefined
}

export class FastStream implements Downstream {
  readonly isCopying = true
  readonly protocol = protocolRows.h2
  readonly #road: FastRoad
  readonly #stream: ServerHttp2Stream
  readonly #viewed: Viewed
  readonly #takesGzip: boolean
  readonly #agent: string
  readonly #logged: LoggedAnswer | undefined

  constructor(
    road: FastRoad,
    stream: ServerHttp2Stream,
    viewed: Viewed,
    headers: IncomingHttpHeaders,
  ) {
    this.#road = road
    this.#stream = stream
    this.#viewed = viewed
    this.#takesGzip = acceptsCoding(headers['accept-encoding']?.toString(), 'gzip')
    this.#agent = headers['user-agent'] ?? ''
    stream.on('error', ignore)
    const logged = road.logged(viewed, headers[':path'] ?? '', this.#agent, this.protocol)
    this.#logged = logged
    if (logged) stream.once('close', () => logged.ends())
  }

  serve(opened: Opened): void {
    const { head, state } = opened.object
    if (head && state === 'complete') {
      this.#answer(opened, head, undefined)
      return
    }
    const { clock, metrics } = this.#road
    const leave = awaitAnswer(opened, {
      clock,
      metrics,
      // Compressed it is sent whole; its bytes come with its head, or shortly after.
      wantsWhole: (object, head) => this.#codingOf(object, head) === 'gzip',
      answer: (found, head, failedStatus) => this.#answer(found, head, failedStatus),
      broken: () => this.abort(),
    })
    if (leave) this.#stream.on('close', leave)
  }

  write(piece: Buffer): boolean {
    this.#logged?.sends(piece.length)
    return this.#stream.write(piece)
  }

  end(piece?: Buffer): void {
    const stream = this.#stream
    if (piece) {
      this.#logged?.sends(piece.length)
      stream.end(piece)
    } else stream.end()
    this.#road.deadlines.wrote(this, stream.writableLength)
  }

  abort(): void {
    resetStream(this.#stream)
  }

  overdue(): void {
    resetUnread(this.#stream, this.#road.deadlines)
  }

  #codingOf(object: CacheObject, head: AnswerHead): Coding | undefined {
    if (!this.#road.compress) return undefined
    return codingOf(object, head, this.#takesGzip ? 'gzip' : undefined)
  }

  #answer(opened: Opened, head: AnswerHead, failedStatus: number | undefined): void {
    const stream = this.#stream
    if (stream.destroyed || stream.headersSent) return
    const { object } = opened
    const road = this.#road
    const coding = this.#codingOf(object, head)
    const { body, fields, isGzip } = road.http2.of({ opened, head, coding, failedStatus })
    road.answered(this.#viewed, opened, head.status, this.#agent)
    this.#logged?.begins(head.status, opened.outcome)
    stream.respond(fields)
    if (body && (isGzip || body.length <= maxWriteBytes)) {
      road.sent(body.length, this.protocol, object)
      stream.on('close', () => road.deadlines.taken(this))
      this.end(body)
      return
    }
    const { deadlines, metrics } = road
    const reader = new Reader(this, object, { start: 0, end: object.length, deadlines, metrics })
    stream.on('drain', () => reader.room())
    stream.on('close', () => reader.gone())
    reader.run()
  }
}

function ignore(): void {}
