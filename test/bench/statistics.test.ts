import { expect, test } from 'vitest'
import { guessingTable } from '../../bench/key-guessing.ts'
import { welchT } from '../../bench/support/statistics.ts'

test("Welch's t is that of a worked example", () => {
  const a = [27.5, 21, 19, 23.6, 17, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19, 21.7, 21.4]
  const b = [27.1, 22, 20.8, 23.4, 23.4, 23.5, 25.8, 22, 24.8, 20.2, 21.9, 22.1, 22.9, 30.5, 25.2]
  expect(welchT(a, b)).toBeCloseTo(-2.8942, 4)
  expect(welchT(b, a)).toBeCloseTo(-welchT(a, b), 12)
})

test('a difference that shows at the POP is written as a miss', () => {
  const close = { unknown: [250, 251, 252], revoked: [250, 252, 251] }
  const apart = { unknown: [250, 251, 252], revoked: [260, 261, 262] }
  expect(guessingTable([{ where: 'POP', answersMs: close }])).toMatch(/ met \|$/)
  expect(guessingTable([{ where: 'POP', answersMs: apart }])).toMatch(/ missed \|$/)
})
