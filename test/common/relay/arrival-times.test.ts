// When media reached the relay that owns its publisher.
import { expect, test } from 'vitest'
import { ArrivalTimes } from '../../../common/relay/arrival-times.ts'

test('media that comes live has just arrived', () => {
  const arrivals = new ArrivalTimes()
  arrivals.startedAgo(300)
  expect(arrivals.of(0, 5_000)).toBe(5_000)
})

test('media in a replay arrived as long ago as its age and its timestamps say, until the replay is over', () => {
  const arrivals = new ArrivalTimes()
  arrivals.startedAgo(8_000)
  expect(arrivals.of(0xffff_ff00, 10_000)).toBe(2_000)
  expect(arrivals.of(0x0000_0f00, 10_100)).toBe(6_096)
  expect(arrivals.of(8_000, 10_200)).toBe(10_200)
  expect(arrivals.of(500, 10_300)).toBe(10_300)
})

test('a replay does not last longer than its age', () => {
  const arrivals = new ArrivalTimes()
  arrivals.startedAgo(2_000)
  expect(arrivals.of(0, 10_000)).toBe(8_000)
  expect(arrivals.of(100, 12_001)).toBe(12_001)
})
