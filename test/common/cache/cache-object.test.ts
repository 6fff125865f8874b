// An object that grows under its readers.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readHead } from '../../../common/cache/answer-head.ts'
import { type ObjectTarget, targetOf } from '../../../common/cache/cache-key.ts'
import { CacheObject } from '../../../common/cache/cache-object.ts'
import { policyOf } from '../../../common/cache/freshness.ts'
import { classify } from '../../../common/cache/media-path.ts'
import { randomNumbers } from '../../media/mutations.ts'

const path = '/live/demo/abcdef12-1/720p/1.m4s'
const media = classify(path)!
const target = targetOf(media, path, '') as ObjectTarget

const random = randomNumbers(1)
const source = Buffer.from(Array.from({ length: 200_000 }, () => random(256)))

function growing(length: number | undefined): CacheObject {
  const object = new CacheObject(target, policyOf(media))
  const headers = length === undefined ? {} : { 'content-length': String(length) }
  object.begin(readHead(target, object.policy, 200, headers), 0)
  return object
}

describe('CacheObject', () => {
  it('gives every reader the same bytes, whenever it joins and however they arrive', () => {
    // Cut from bytes that are there: to draw each byte would take most of the time.
    const piece = fc
      .tuple(fc.nat(100_000), fc.nat(100_000))
      .map(([from, size]) => Buffer.from(source.subarray(from, from + size)))
    const pieces = fc.array(piece, { maxLength: 8 })
    fc.assert(
      fc.property(pieces, fc.boolean(), fc.nat(8), (given, isAnnounced, joinAfter) => {
        const whole = Buffer.concat(given)
        const object = growing(isAnnounced ? whole.length : undefined)
        const received: Buffer[][] = [[], []]
        const offsets = [0, 0]
        const read = (reader: number) => {
          const piece = object.slice(offsets[reader]!, Infinity)
          offsets[reader]! += piece.length
          received[reader]!.push(piece)
        }
        object.follow(() => read(0))
        given.forEach((piece, index) => {
          if (index === joinAfter) object.follow(() => read(1))
          object.append(piece)
        })
        object.complete()
        read(0)
        read(1)
        // Compared at the end: views taken early must not have changed since.
        for (const views of received) expect(Buffer.concat(views).equals(whole)).toBe(true)
        expect(object.length).toBe(whole.length)
      }),
      { numRuns: 50 },
    )
  })

  it('holds exactly its bytes when complete, not the slab of whoever delivered them', () => {
    const object = growing(undefined)
    object.append(Buffer.alloc(1_000_000).subarray(0, 77))
    object.complete()
    expect(object.slice(0, 77).buffer.byteLength).toBe(77)
  })

  it('tells when its last reader has left', () => {
    const object = growing(undefined)
    let deserted = 0
    object.onDeserted = () => deserted++
    const [first, second] = [object.follow(() => {}), object.follow(() => {})]
    first()
    first()
    expect(deserted).toBe(0)
    second()
    expect(deserted).toBe(1)
  })

  it('wakes the others where one throws, and goes on itself', () => {
    const faults: unknown[] = []
    const crowd = { readers: 0, onFault: (err: unknown) => void faults.push(err) }
    const object = new CacheObject(target, policyOf(media), crowd)
    const fault = new Error('cannot be written')
    let woken = 0
    object.follow(() => {
      throw fault
    })
    object.follow(() => woken++)
    object.begin(readHead(target, object.policy, 200, {}), 0)
    object.complete()
    expect([faults, woken, object.state, crowd.readers]).toEqual([[fault, fault], 2, 'complete', 0])
  })

  it('ages from what upstream said, in whole seconds', () => {
    const object = new CacheObject(target, policyOf(media))
    object.begin(readHead(target, object.policy, 200, { age: '3' }), 10_000)
    expect(object.ageSeconds(10_999)).toBe(3)
    expect(object.ageSeconds(12_000)).toBe(5)
  })

  it('may end as another one, and shares its bytes, head and age', () => {
    const whole = growing(undefined)
    whole.append(source.subarray(0, 1_000))
    whole.complete()
    const crowd = { readers: 0 }
    const waiting = new CacheObject(target, policyOf(media), crowd)
    let woken = 0
    const leave = waiting.follow(() => woken++)
    expect(crowd.readers).toBe(1)
    waiting.becomes(whole)
    expect([waiting.state, waiting.length, woken]).toEqual(['complete', 1_000, 1])
    // Nobody waits any more, also those who have not left yet.
    expect(crowd.readers).toBe(0)
    leave()
    expect(crowd.readers).toBe(0)
    expect(waiting.head).toBe(whole.head)
    expect(waiting.ageSeconds(7_000)).toBe(7)
    expect(waiting.slice(0, 10).buffer).toBe(whole.slice(0, 10).buffer)
    expect(waiting.gzipped()).toBe(whole.gzipped())
  })
})
