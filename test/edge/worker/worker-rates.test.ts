// Rates of an edge from what its workers tell now and then.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { WorkerRates } from '../../../edge/worker/worker-rates.ts'

/** A worker that moves so many bytes in a millisecond, and as many out as in. */
const told = (atMs: number, perMs: number) => ({
  atMs,
  bytesIn: atMs * perMs,
  bytesOut: atMs * perMs,
})

describe('the rate of an edge', () => {
  test('is that of all its workers, whenever each tells and whenever it is asked for', () => {
    const worker = fc.record({ perMs: fc.nat(10_000), phaseMs: fc.nat(999) })
    const pauses = fc.array(fc.integer({ min: 1, max: 5_000 }), { minLength: 1, maxLength: 20 })
    fc.assert(
      fc.property(fc.array(worker, { minLength: 1, maxLength: 8 }), pauses, (workers, asks) => {
        const rates = new WorkerRates()
        const heard = workers.map(() => 0)
        const hearUntil = (now: number) => {
          for (const [index, { perMs, phaseMs }] of workers.entries()) {
            for (; heard[index]! * 1_000 + phaseMs <= now; heard[index]!++) {
              rates.note(index, told(heard[index]! * 1_000 + phaseMs, perMs))
            }
          }
        }
        // Each has told twice.
        let now = 2_000
        hearUntil(now)
        const all = workers.reduce((sum, { perMs }) => sum + 8_000 * perMs, 0)
        for (const pause of [0, ...asks]) {
          now += pause
          hearUntil(now)
          const { bitsInPerSecond, bitsOutPerSecond } = rates.take()
          expect(bitsInPerSecond).toBeCloseTo(all, 3)
          expect(bitsOutPerSecond).toBeCloseTo(all, 3)
        }
      }),
    )
  })

  test('loses the share of a worker that dies, and begins anew with its successor', () => {
    const rates = new WorkerRates()
    for (const atMs of [1_000, 2_000]) {
      rates.note(0, told(atMs, 100))
      rates.note(1, told(atMs, 50))
    }
    expect(rates.take().bitsInPerSecond).toBe(1_200_000)
    rates.retire(0)
    expect(rates.take().bitsInPerSecond).toBe(400_000)
    rates.note(0, { atMs: 4_000, bytesIn: 0, bytesOut: 0 })
    rates.note(0, { atMs: 5_000, bytesIn: 10_000, bytesOut: 0 })
    expect(rates.take()).toEqual({ bitsInPerSecond: 480_000, bitsOutPerSecond: 400_000 })
  })
})
