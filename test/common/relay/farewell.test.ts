// The pace at which a node lets its publishers go.
import { beforeEach, describe, expect, test } from 'vitest'
import { Farewell } from '../../../common/relay/farewell.ts'
import { FakeClock } from '../../support/fake-clock.ts'

let clock: FakeClock
let publishers: Set<number>
let gone: { publisher: number; atMs: number }[]

beforeEach(() => {
  clock = new FakeClock()
  gone = []
})

function begin(count: number): Farewell<number> {
  publishers = new Set(Array.from({ length: count }, (_, i) => i))
  return new Farewell<number>({
    clock,
    publishers: () => publishers,
    dismiss(publisher) {
      publishers.delete(publisher)
      gone.push({ publisher, atMs: clock.monotonic() })
    },
  })
}

/** Every publisher sends a keyframe every 2 s, each at a time of its own. */
async function keyframes(farewell: Farewell<number>, seconds: number, count: number) {
  const stepMs = 2_000 / count
  for (let step = 0; step * stepMs < seconds * 1_000; step++) {
    if (publishers.has(step % count)) farewell.keyframe(step % count)
    await clock.advance(stepMs)
  }
}

function mostInASecond(): number {
  return Math.max(
    ...gone.map(({ atMs }) => {
      return gone.filter((other) => other.atMs >= atMs && other.atMs < atMs + 1_000).length
    }),
  )
}

describe('a farewell', () => {
  test.each([
    [200, 10],
    [100, 5],
    [39, 1],
    [1, 1],
  ])('of %i lets %i go a second at most, and all in the end', async (count, perSecond) => {
    using farewell = begin(count)
    await keyframes(farewell, 60, count)
    expect(publishers.size).toBe(0)
    expect(mostInASecond()).toBeLessThanOrEqual(perSecond)
  })

  test('lets nobody go but right after a keyframe of its own', async () => {
    using farewell = begin(3)
    await clock.advance(5_000)
    expect(gone).toEqual([])
    farewell.keyframe(2)
    farewell.keyframe(1)
    expect(gone).toEqual([{ publisher: 2, atMs: 5_000 }])
  })

  test('saves nothing up while nobody shows a keyframe', async () => {
    using farewell = begin(100)
    await clock.advance(9_000)
    for (const publisher of [...publishers]) farewell.keyframe(publisher)
    expect(gone).toHaveLength(1)
  })

  test('waits for no keyframe of those that send none, and keeps the pace', async () => {
    using _farewell = begin(40)
    await clock.advance(9_000)
    expect(gone).toEqual([])
    await clock.advance(60_000)
    expect(publishers.size).toBe(0)
    expect(mostInASecond()).toBeLessThanOrEqual(2)
  })

  test('is over with its owner', async () => {
    begin(2)[Symbol.dispose]()
    await clock.advance(60_000)
    expect(gone).toEqual([])
  })
})
