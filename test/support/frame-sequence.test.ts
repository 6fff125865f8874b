import { expect, test } from 'vitest'
import { judgeSequence, type ListedFrame } from './frame-sequence.ts'
import type { SentFrame } from './numbered-publisher.ts'

const sent: SentFrame[] = Array.from({ length: 20 }, (_, number) => ({
  kind: 'video',
  number,
  digest: `frame ${number}`,
  sentAtMs: number * 40,
}))

const listed = (...numbers: number[]): ListedFrame[] =>
  numbers.map((number) => ({ kind: 'video', number, digest: `frame ${number}`, segment: 0 }))

test.each([
  ['all between the first and the last', [3, 4, 5, 6], {}],
  ['one left out', [3, 5, 6], { lost: [4] }],
  ['one twice', [3, 4, 4, 5], { doubled: [4] }],
  ['a run that was played again', [3, 4, 5, 4, 5, 6], { doubled: [4, 5] }],
  ['two exchanged', [3, 5, 4, 6], { disordered: [4] }],
  ['one that nobody sent', [18, 19, 20], { changed: [20] }],
  ['nothing', [], {}],
])('%s', (_, numbers, expected) => {
  const clean = { lost: [], doubled: [], disordered: [], changed: [], listed: numbers.length }
  expect(judgeSequence('video', sent, listed(...numbers))).toEqual({ ...clean, ...expected })
})

test('other bytes under the same number are told', () => {
  const bent = listed(3, 4).with(1, { kind: 'video', number: 4, digest: 'x', segment: 0 })
  expect(judgeSequence('video', sent, bent).changed).toEqual([4])
})

test('the other kind is not looked at', () => {
  expect(judgeSequence('audio', sent, listed(1, 3)).listed).toBe(0)
})
