// Heads of HTTP/1.1 answers as bytes, written once per object and second and shared by all who get the same. The
// body of a small object stands behind its head, so that an answer is one write.
import { STATUS_CODES } from 'node:http'
import type { AnswerHead } from '../../../common/cache/answer-head.ts'
import { answerHeaders, type Coding } from '../../../common/cache/answer-headers.ts'
import type { CacheObject } from '../../../common/cache/cache-object.ts'
import type { CacheOutcome } from '../../../common/cache/cache-status.ts'
import { memberName } from '../../../common/cache/cache-status.ts'
import type { Opened } from '../../../common/cache/fill-cache.ts'
import type { Clock } from '../../../common/clock.ts'

export interface PreparedOptions {
  /** Of the cache, in Cache-Status. */
  name: string
  clock: Clock
}

export interface HeadRequest {
  opened: Opened
  head: AnswerHead
  coding: Coding | undefined
  /** The connection ends with this answer. */
  isLast: boolean
  failedStatus: number | undefined
}

/** `bytes` are the head alone, or with the whole body where `hasBody`. */
export interface Prepared {
  bytes: Buffer
  hasBody: boolean
  /** What is left to be written behind a head of a complete object. */
  body: Buffer | undefined
}

/** What of an answer changes with time. */
interface Memo extends Prepared {
  second: number
  ageSeconds: number
  ttlSeconds: number | undefined
}

const inlineBytes = 16 * 1024

const outcomes: Record<CacheOutcome, number> = {
  hit: 0,
  miss: 1,
  expired: 2,
  collapsed: 3,
  stale: 4,
  'stale-hit': 5,
}

export class PreparedHeads {
  readonly #member: string
  readonly #clock: Clock
  readonly #memos = new WeakMap<CacheObject, (Memo | undefined)[]>()
  #second = 0
  #date = ''

  constructor({ name, clock }: PreparedOptions) {
    this.#member = memberName(name)
    this.#clock = clock
  }

  /** Of an object whose head is here. */
  of(request: HeadRequest): Prepared {
    const { opened, coding, isLast, failedStatus } = request
    const { object } = opened
    const second = Math.floor(this.#clock.now() / 1_000)
    const ageSeconds = object.ageSeconds(this.#clock.monotonic())
    const ttlSeconds = opened.freshMs === undefined ? undefined : Math.floor(opened.freshMs / 1_000)
    // Those are as rare as they are many kinds of.
    if (isLast || failedStatus !== undefined || object.state !== 'complete') {
      return this.#write(request, second, ageSeconds)
    }
    let memos = this.#memos.get(object)
    if (!memos) {
      memos = []
      this.#memos.set(object, memos)
    }
    const place = 2 * outcomes[opened.outcome] + (coding === 'gzip' ? 1 : 0)
    const memo = memos[place]
    if (
      memo !== undefined &&
      memo.second === second &&
      memo.ageSeconds === ageSeconds &&
      memo.ttlSeconds === ttlSeconds
    ) {
      return memo
    }
    const prepared = { ...this.#write(request, second, ageSeconds), second, ageSeconds, ttlSeconds }
    memos[place] = prepared
    return prepared
  }

  #write(request: HeadRequest, second: number, ageSeconds: number): Prepared {
    const { opened, head, coding, isLast, failedStatus } = request
    const { object } = opened
    const isComplete = object.state === 'complete'
    const isGzip = coding === 'gzip' && isComplete
    const body = isGzip ? object.gzipped() : isComplete ? object.slice(0, object.size) : undefined
    const length = body?.length ?? object.length
    const headers = answerHeaders({
      member: this.#member,
      opened,
      head,
      coding,
      isGzip,
      failedStatus,
      ageSeconds,
    })
    if (head.status === 200 && !isGzip) headers.push('accept-ranges', 'bytes')
    headers.push('date', this.#dateOf(second))
    if (isLast) headers.push('connection', 'close')
    if (length === undefined) headers.push('transfer-encoding', 'chunked')
    else headers.push('content-length', String(length))
    // RFC 9112 §4.
    const statusLine = `HTTP/1.1 ${head.status} ${STATUS_CODES[head.status] ?? ''}\r\n`
    const text = statusLine + fieldLines(headers)
    const hasBody = body !== undefined && body.length <= inlineBytes
    // Not of Node's pool, whose other users would be kept alive with it.
    const bytes = Buffer.allocUnsafeSlow(text.length + (hasBody ? body.length : 0))
    bytes.write(text, 'latin1')
    if (hasBody) body.copy(bytes, text.length)
    return { bytes, hasBody, body }
  }

  #dateOf(second: number): string {
    if (second !== this.#second) {
      this.#second = second
      this.#date = new Date(second * 1_000).toUTCString()
    }
    return this.#date
  }
}

// RFC 9110 §5.5: nothing that upstream said may end a line.
const fieldValue = /^[\t\x20-\x7e\x80-\xff]*$/

function fieldLines(headers: readonly string[]): string {
  let text = ''
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (!fieldValue.test(headers[i + 1]!)) throw new Error(`malformed value of ${headers[i]}`)
    text += `${headers[i]}: ${headers[i + 1]}\r\n`
  }
  return `${text}\r\n`
}
