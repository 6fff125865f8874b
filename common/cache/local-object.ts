// Objects whose answer a cache makes itself.
import { readHead } from './answer-head.ts'
import type { ObjectTarget } from './cache-key.ts'
import { type Allocate, CacheObject } from './cache-object.ts'
import type { LocalAnswer } from './error-answer.ts'
import { policyOf } from './freshness.ts'

/** Completes an object that has not begun. */
export function answerInto(object: CacheObject, answer: LocalAnswer, now: number): void {
  const body = Buffer.from(answer.body)
  const head = readHead(object.target, object.policy, answer.status, {
    'content-type': answer.contentType ?? 'application/json',
    'content-length': String(body.length),
    ...(answer.cacheControl !== undefined && { 'cache-control': answer.cacheControl }),
    ...(answer.status >= 500 && { 'retry-after': '1' }),
  })
  object.begin(head, now)
  object.append(body)
  object.complete()
}

export function localObject(
  target: ObjectTarget,
  answer: LocalAnswer,
  { now, allocate }: { now: number; allocate?: Allocate | undefined },
): CacheObject {
  const object = new CacheObject(target, policyOf(target.media), undefined, allocate)
  answerInto(object, answer, now)
  return object
}
