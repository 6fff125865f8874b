import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ListedNumbers } from '../../../origin/archive/listed-mark.ts'

type Mark = Parameters<ListedNumbers['read']>[0]

const fresh = { nextNumber: 1, takes: 0, endSeconds: 0 }

test('whenever a process dies, the next one stays above what was listed, through any number of deaths', () => {
  const life = fc.record({
    segments: fc.nat(80),
    segmentSeconds: fc.constantFrom(0.9, 2, 4.2),
    takeEvery: fc.integer({ min: 1, max: 40 }),
    /** From this segment on the disk takes nothing. */
    diskFailsAt: fc.nat(100),
    pauseSeconds: fc.nat(100),
    endsProperly: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(life, { minLength: 1, maxLength: 6 }), (lives) => {
      let journal: Mark | undefined
      let [nowMs, listed, takes] = [0, 0, 0]
      for (const [life, it] of lives.entries()) {
        // Where the disk never worked there is no folder to find again.
        const diskFailsAt = it.diskFailsAt + (life === 0 ? 1 : 0)
        const numbers = new ListedNumbers(fresh)
        if (journal) numbers.read(journal)
        const point = numbers.open(nowMs)
        expect(point.nextNumber).toBeGreaterThan(listed)
        expect(point.takes).toBeGreaterThanOrEqual(takes)
        expect(numbers.open(nowMs + 1e6)).toEqual(point)
        let next = point.nextNumber
        takes = point.takes
        const write = (index: number) => {
          const mark = numbers.due(nowMs)
          if (!mark || index >= diskFailsAt) return
          journal = mark
          numbers.written(mark)
        }
        write(0)
        // Nothing is listed before the second keyframe.
        nowMs += 1_000
        for (let index = 0; index < it.segments; index++) {
          // A take whose mark the disk refused is the coordinator's to know.
          if (index % it.takeEvery === 0 && index < diskFailsAt) {
            takes++
            numbers.note({ takes })
            write(index)
          }
          // Listed from its first part on, told when it is closed.
          listed = next
          nowMs += it.segmentSeconds * 1000
          next++
          numbers.note({ nextNumber: next, endSeconds: nowMs / 1000 })
          write(index)
        }
        if (it.endsProperly && it.segments < diskFailsAt) {
          journal = numbers.final(nowMs)
          expect(journal).toMatchObject({ below: next, isFinal: true })
        }
        nowMs += it.pauseSeconds * 1000
      }
    }),
    { numRuns: 1000 },
  )
})

test.each([
  ['in the same process', (it: ListedNumbers) => it],
  [
    'after a start',
    (_: ListedNumbers, mark: Mark) => {
      const next = new ListedNumbers(fresh)
      next.read(mark)
      return next
    },
  ],
])('what another transcoder may have listed meanwhile is stayed above, %s', (_, backTo) => {
  const first = new ListedNumbers(fresh)
  first.open(0)
  for (let number = 1; number <= 5; number++) {
    first.note({ nextNumber: number + 1, takes: 1, endSeconds: number * 2 }, number * 2_000)
  }
  // It stood still from the tenth second on, and learned in the seventeenth that its lease was gone.
  const mark = first.final(17_000)!
  first.written(mark)
  for (let nowMs = 12_000; nowMs <= 60_000; nowMs += 1_000) {
    const others = Math.floor((nowMs - 10_000) / 900)
    const back = backTo(first, mark)
    expect(back.open(nowMs).nextNumber).toBeGreaterThan(5 + others)
    back.written(mark)
  }
})

test('marks are rare while numbers are told one by one', () => {
  const numbers = new ListedNumbers(fresh)
  expect(numbers.due(0)).toBeUndefined()
  numbers.open(0)
  let written = 0
  for (let number = 1; number <= 320; number++) {
    numbers.note({ nextNumber: number + 1, takes: 1 })
    const mark = numbers.due(number * 2_000)
    if (!mark) continue
    written++
    numbers.written(mark)
  }
  expect(written).toBeLessThanOrEqual(21)
})
