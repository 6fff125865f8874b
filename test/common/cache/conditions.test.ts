// Conditional and range requests as pure functions.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ifRangeHolds, noneMatchHolds, parseRange } from '../../../common/cache/conditions.ts'

describe('parseRange', () => {
  it.each([
    ['bytes=0-0', 10, { start: 0, end: 1 }],
    ['bytes=2-5', 10, { start: 2, end: 6 }],
    ['bytes=5-', 10, { start: 5, end: 10 }],
    ['bytes=5-99', 10, { start: 5, end: 10 }],
    ['bytes=-3', 10, { start: 7, end: 10 }],
    ['bytes=-99', 10, { start: 0, end: 10 }],
    ['BYTES=1-2', 10, { start: 1, end: 3 }],
    ['bytes=10-', 10, 'unsatisfiable'],
    ['bytes=-0', 10, 'unsatisfiable'],
    ['bytes=0-', 0, 'unsatisfiable'],
    ['bytes=5-2', 10, 'ignored'],
    ['bytes=-', 10, 'ignored'],
    ['bytes=0-1,3-4', 10, 'ignored'],
    ['bytes=a-b', 10, 'ignored'],
    ['items=0-1', 10, 'ignored'],
    ['bytes=1234567890123456-', 10, 'ignored'],
  ])('reads %j of %i', (header, length, result) => {
    expect(parseRange(header, length)).toEqual(result)
  })

  it('never leaves the body', () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(), fc.option(fc.nat()), fc.option(fc.nat()), (...args) => {
        const [junk, length, first, last] = args
        for (const header of [junk, `bytes=${first ?? ''}-${last ?? ''}`]) {
          const range = parseRange(header, length)
          if (typeof range === 'string') continue
          expect(range.start).toBeGreaterThanOrEqual(0)
          expect(range.end).toBeGreaterThan(range.start)
          expect(range.end).toBeLessThanOrEqual(length)
        }
      }),
    )
  })
})

describe('validators', () => {
  it.each([
    ['"a"', false],
    ['"b"', true],
    ['"b", "a"', false],
    ['W/"a"', false],
    ['*', false],
  ])('If-None-Match %s against "a" lets the answer through: %s', (header, holds) => {
    expect(noneMatchHolds(header, '"a"')).toBe(holds)
  })

  it.each([
    ['"a"', '"a"', true],
    ['"b"', '"a"', false],
    ['W/"a"', 'W/"a"', false],
    ['Fri, 20 Nov 2026 10:00:00 GMT', '"a"', false],
    ['"a"', undefined, false],
  ])('If-Range %s against %s: %s', (header, etag, holds) => {
    expect(ifRangeHolds(header, etag)).toBe(holds)
  })
})
