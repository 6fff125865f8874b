// What admission remembers of strangers is bounded, and nothing is left of those who have gone.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BoundedTable } from '../../../common/bounded-table.ts'
import { HeldCounts } from '../../../edge/admission/held-counts.ts'

test('a table keeps the entries that were set last', () => {
  const table = new BoundedTable<number>(2)
  table.set('a', 1)
  table.set('b', 2)
  table.set('a', 3)
  table.set('c', 4)
  expect(['a', 'b', 'c'].map((name) => table.get(name))).toEqual([3, undefined, 4])
})

test('a table never outgrows its bound', () => {
  const table = new BoundedTable<number>(10)
  for (let i = 0; i < 1_000; i++) table.set(`name-${i % 37}`, i)
  expect(table.size).toBe(10)
})

test('counts are those of a plain reference, and empty once all are released', () => {
  const name = fc.constantFrom('a', 'b', 'c')
  fc.assert(
    fc.property(fc.array(fc.oneof(name, fc.nat(20))), (steps) => {
      const counts = new HeldCounts()
      const held: { name: string; release: () => void; isHeld: boolean }[] = []
      for (const step of steps) {
        if (typeof step === 'string') {
          held.push({ name: step, release: counts.hold(step), isHeld: true })
        } else if (held[step]) {
          held[step].release()
          held[step].isHeld = false
        }
        for (const one of ['a', 'b', 'c']) {
          const now = held.filter((it) => it.isHeld && it.name === one).length
          expect(counts.of(one)).toBe(now)
        }
      }
      for (const { release } of held) release()
      expect(counts.size).toBe(0)
    }),
  )
})
