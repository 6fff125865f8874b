import { describe, expect, test } from 'vitest'
import { ArrivalTimes } from '../../../common/relay/arrival-times.ts'

function arrivalsFrom(firstReachedMs: number, nowMs: number): ArrivalTimes {
  const arrivals = new ArrivalTimes()
  arrivals.startedAt(firstReachedMs, nowMs)
  return arrivals
}

describe('a replay', () => {
  test('is dated by its own times from when its first message reached the relay', () => {
    const times = arrivalsFrom(5_000, 10_000)
    expect([70_000, 70_040, 70_033, 72_000].map((it) => times.of(it, 10_010))).toEqual([
      5_000, 5_040, 5_033, 7_000,
    ])
  })

  test('is over when it has caught up: what comes then has arrived now', () => {
    const times = arrivalsFrom(5_000, 10_000)
    times.of(0, 10_000)
    expect(times.of(4_000, 10_100)).toBe(9_000)
    expect(times.of(4_700, 10_200)).toBe(10_200)
    expect(times.of(4_740, 13_000)).toBe(13_000)
  })

  test('that jumps ahead of now has arrived now', () => {
    const times = arrivalsFrom(5_000, 10_000)
    times.of(0, 10_000)
    expect(times.of(60_000, 10_001)).toBe(10_001)
  })

  test('goes on where the publisher begins to count anew, and where 32 bits wrap', () => {
    const times = arrivalsFrom(5_000, 10_000)
    const dated = [2 ** 32 - 40, 0, 40, 500_000].map((it) => times.of(it, 600_000))
    expect(dated).toEqual([5_000, 5_040, 5_080, 505_040])
    expect([0, 40].map((it) => times.of(it, 600_000))).toEqual([505_040, 505_080])
  })

  test('does not last longer than its age, from its first message on', () => {
    const times = arrivalsFrom(8_000, 10_000)
    expect(times.of(0, 10_500)).toBe(8_000)
    expect(times.of(100, 12_500)).toBe(8_100)
    expect(times.of(200, 12_501)).toBe(12_501)
    expect(times.of(300, 12_502)).toBe(12_502)
  })

  test('can be followed by another', () => {
    const times = arrivalsFrom(5_000, 10_000)
    times.of(4_800, 10_000)
    times.startedAt(18_000, 20_000)
    expect(times.of(0, 20_000)).toBe(18_000)
  })
})

test.each([10_000, 9_500])('what first reached its relay just now comes live: %s', (reached) => {
  const times = arrivalsFrom(reached, 10_000)
  expect([0, 40, 80].map((it) => times.of(it, 10_000 + it / 2))).toEqual([10_000, 10_020, 10_040])
})

test('what nobody has told of comes live', () => {
  expect(new ArrivalTimes().of(0, 5_000)).toBe(5_000)
})
