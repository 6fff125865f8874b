// A pace lets a burst through, then its rate, whatever the pattern of arrivals.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { paceStep } from '../../../edge/admission/pace.ts'

const pace = { perSecond: 10, burst: 3 }

test('lets a burst through, then says how long the next one has to wait', () => {
  let wholeAt: number | undefined
  const waits = Array.from({ length: 5 }, () => {
    const step = paceStep(wholeAt, 1_000, pace)
    wholeAt = step.wholeAt
    return step.waitMs
  })
  expect(waits).toEqual([0, 0, 0, 100, 200])
})

test('never lets more than burst and rate through in any span of time', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(400), { maxLength: 200 }), (gapsMs) => {
      let now = 0
      let wholeAt: number | undefined
      const taken: number[] = []
      for (const gapMs of gapsMs) {
        now += gapMs
        const step = paceStep(wholeAt, now, pace)
        if (step.waitMs > 0) continue
        wholeAt = step.wholeAt
        taken.push(now)
      }
      for (const [i, from] of taken.entries()) {
        for (const [j, to] of taken.entries()) {
          if (j < i) continue
          const most = pace.burst + ((to - from) / 1_000) * pace.perSecond
          expect(j - i + 1).toBeLessThanOrEqual(most + 1e-6)
        }
      }
    }),
  )
})
