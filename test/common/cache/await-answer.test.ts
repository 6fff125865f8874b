// Who waits for an answer gets one, or an end: also where the answer cannot be written.
import { expect, it } from 'vitest'
import { readHead } from '../../../common/cache/answer-head.ts'
import { awaitAnswer } from '../../../common/cache/await-answer.ts'
import { type ObjectTarget, targetOf } from '../../../common/cache/cache-key.ts'
import { CacheObject } from '../../../common/cache/cache-object.ts'
import { policyOf } from '../../../common/cache/freshness.ts'
import { classify } from '../../../common/cache/media-path.ts'
import { FakeClock } from '../../support/fake-clock.ts'

const path = '/live/demo/abcdef12-1/720p/1.m4s'
const target = targetOf(classify(path)!, path, '') as ObjectTarget

it('breaks off once where an answer cannot be written, and follows no more', () => {
  const faults: unknown[] = []
  const crowd = { readers: 0, onFault: (err: unknown) => void faults.push(err) }
  const object = new CacheObject(target, policyOf(target.media), crowd)
  const told: string[] = []
  awaitAnswer(
    { object, outcome: 'miss' },
    {
      clock: new FakeClock(),
      metrics: { waits: () => (isAnswered) => void told.push(`over ${isAnswered}`) },
      wantsWhole: () => false,
      answer: () => {
        throw new Error('cannot be written')
      },
      broken: () => void told.push('broken'),
    },
  )
  object.begin(readHead(target, object.policy, 200, {}), 0)
  object.complete()
  expect(told).toEqual(['over false', 'broken'])
  expect(faults).toHaveLength(1)
  expect([object.readers, crowd.readers]).toEqual([0, 0])
})
