// Answers that a live rendition gives by itself, as objects that any number of readers can share.
import { readHead } from '../answer-head.ts'
import type { ObjectTarget } from '../cache-key.ts'
import { CacheObject } from '../cache-object.ts'
import { errorAnswer, type LocalAnswer } from '../error-answer.ts'
import { policyOf } from '../freshness.ts'

export const tooFar = errorAnswer(400, 'too-far', 'This position is too far ahead of what is live.')
export const overdue = errorAnswer(503, 'overdue', 'What was waited for has not come in time.')
export const behind = errorAnswer(
  503,
  'upstream-behind',
  'The server that has this is behind what was already shown.',
)
export const overloaded = errorAnswer(503, 'overloaded', 'Too much is being fetched at the moment.')

export function localObject(target: ObjectTarget, answer: LocalAnswer, now: number): CacheObject {
  const policy = policyOf(target.media)
  const body = Buffer.from(answer.body)
  const object = new CacheObject(target, policy)
  const head = readHead(target, policy, answer.status, {
    'content-type': answer.contentType ?? 'application/json',
    'content-length': String(body.length),
    'cache-control': 'max-age=0',
    ...(answer.status >= 500 && { 'retry-after': '1' }),
  })
  return ended(object, head, body, now)
}

/** A failure in words that players and other caches act on: 503 or 504, and when to ask again. */
export function asFailure(failed: CacheObject, now: number): CacheObject {
  const { head, target, policy } = failed
  if (failed.state !== 'complete' || !head) {
    const message = 'The server that has this broke off its answer.'
    return localObject(target, errorAnswer(503, 'upstream-broken', message), now)
  }
  const status = head.status === 504 ? 504 : 503
  const body = failed.slice(0, failed.size)
  const retryAfter = head.retryAfter ?? '1'
  return ended(new CacheObject(target, policy), { ...head, status, retryAfter }, body, now)
}

function ended(
  object: CacheObject,
  head: Parameters<CacheObject['begin']>[0],
  body: Buffer,
  now: number,
): CacheObject {
  object.begin(head, now)
  object.append(body)
  object.complete()
  return object
}
