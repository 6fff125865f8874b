// What is sent of an answer, written once per object and second and shared by all who get the same.
import { STATUS_CODES } from 'node:http'
import type { AnswerHead } from '../../../common/cache/answer-head.ts'
import { answerHeaders, type Coding } from '../../../common/cache/answer-headers.ts'
import type { CacheObject } from '../../../common/cache/cache-object.ts'
import { type CacheOutcome, memberName } from '../../../common/cache/cache-status.ts'
import type { Opened } from '../../../common/cache/fill-cache.ts'
import type { Clock } from '../../../common/clock.ts'

/** An answer before it has the form of a protocol. */
export interface PlainAnswer {
  status: number
  /** Names and values in turn; all but the framing. */
  fields: string[]
  /** The whole body, where it is here. */
  body: Buffer | undefined
  /** That body is not the object's own bytes. */
  isGzip: boolean
  length: number | undefined
  /** The connection ends with it. */
  isLast: boolean
}

export interface AnswerRequest {
  opened: Opened
  head: AnswerHead
  coding: Coding | undefined
  failedStatus: number | undefined
  isLast?: boolean
}

interface Memo<Form> {
  form: Form
  // What of an answer changes within its second.
  ageSeconds: number
  ttlSeconds: number | undefined
}

const outcomes: Record<CacheOutcome, number> = {
  hit: 0,
  miss: 1,
  expired: 2,
  collapsed: 3,
  stale: 4,
  'stale-hit': 5,
}

export class PreparedAnswers<Form> {
  readonly #member: string
  readonly #clock: Clock
  readonly #toForm: (answer: PlainAnswer) => Form
  /** Of one second: later they are of no use, and hold copies of bodies. */
  #memos = new WeakMap<CacheObject, (Memo<Form> | undefined)[]>()
  #memosSecond = 0
  #second = 0
  #date = ''

  /** `name` is that of the cache in Cache-Status. */
  constructor(options: { name: string; clock: Clock }, toForm: (answer: PlainAnswer) => Form) {
    this.#member = memberName(options.name)
    this.#clock = options.clock
    this.#toForm = toForm
  }

  /** Of an object whose head is here. */
  of(request: AnswerRequest): Form {
    const { opened, coding, isLast, failedStatus } = request
    const { object } = opened
    const second = Math.floor(this.#clock.now() / 1_000)
    const ageSeconds = object.ageSeconds(this.#clock.monotonic())
    // Those are as rare as they are of many kinds.
    if (isLast || failedStatus !== undefined || object.state !== 'complete') {
      return this.#write(request, second, ageSeconds)
    }
    const ttlSeconds = opened.freshMs === undefined ? undefined : Math.floor(opened.freshMs / 1_000)
    if (this.#memosSecond !== second) {
      this.#memosSecond = second
      this.#memos = new WeakMap()
    }
    let memos = this.#memos.get(object)
    if (!memos) {
      memos = []
      this.#memos.set(object, memos)
    }
    const place = 2 * outcomes[opened.outcome] + (coding === 'gzip' ? 1 : 0)
    const memo = memos[place]
    if (memo?.ageSeconds === ageSeconds && memo.ttlSeconds === ttlSeconds) return memo.form
    const form = this.#write(request, second, ageSeconds)
    memos[place] = { form, ageSeconds, ttlSeconds }
    return form
  }

  #write(request: AnswerRequest, second: number, ageSeconds: number): Form {
    const { opened, head, coding, isLast = false, failedStatus } = request
    const { object } = opened
    const isComplete = object.state === 'complete'
    const isGzip = coding === 'gzip' && isComplete
    const body = isGzip ? object.gzipped() : isComplete ? object.slice(0, object.size) : undefined
    const fields = answerHeaders({
      member: this.#member,
      opened,
      head,
      coding,
      isGzip,
      failedStatus,
      ageSeconds,
    })
    if (head.status === 200 && !isGzip) fields.push('accept-ranges', 'bytes')
    fields.push('date', this.#dateOf(second))
    const length = body?.length ?? object.length
    if (length !== undefined) fields.push('content-length', String(length))
    return this.#toForm({ status: head.status, fields, body, isGzip, length, isLast })
  }

  #dateOf(second: number): string {
    if (second !== this.#second) {
      this.#second = second
      this.#date = new Date(second * 1_000).toUTCString()
    }
    return this.#date
  }
}

export interface Http1Answer {
  /** The head, and the whole body behind it where `hasBody`: one write. */
  bytes: Buffer
  hasBody: boolean
  body: Buffer | undefined
  isGzip: boolean
}

// A larger body is written from where it is, and not copied behind a head.
const inlineBytes = 16 * 1024

export function toHttp1(answer: PlainAnswer): Http1Answer {
  const { status, fields, body, isGzip, length, isLast } = answer
  // RFC 9112 §4, §6.1, §9.6.
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${fieldLines(fields)}`
  if (length === undefined) text += 'transfer-encoding: chunked\r\n'
  if (isLast) text += 'connection: close\r\n'
  text += '\r\n'
  const hasBody = body !== undefined && body.length <= inlineBytes
  // Not of Node's pool, whose other users would be kept alive with it.
  const bytes = Buffer.allocUnsafeSlow(text.length + (hasBody ? body.length : 0))
  bytes.write(text, 'latin1')
  if (hasBody) body.copy(bytes, text.length)
  return { bytes, hasBody, body, isGzip }
}

export interface Http2Answer {
  fields: readonly string[]
  body: Buffer | undefined
  isGzip: boolean
}

export function toHttp2({ status, fields, body, isGzip }: PlainAnswer): Http2Answer {
  return { fields: [':status', String(status), ...fields], body, isGzip }
}

// RFC 9110 §5.5: nothing that upstream said may end a line.
const fieldValue = /^[\t\x20-\x7e\x80-\xff]*$/

function fieldLines(fields: readonly string[]): string {
  let text = ''
  for (let i = 0; i + 1 < fields.length; i += 2) {
    if (!fieldValue.test(fields[i + 1]!)) throw new Error(`malformed value of ${fields[i]}`)
    text += `${fields[i]}: ${fields[i + 1]}\r\n`
  }
  return text
}
