// Which typos are recognised.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { editDistance, suggestion } from '../../config/suggestion.ts'

test.each([
  ['prot', 'port'],
  ['Port', 'port'],
  ['max_streams', 'maxStreams'],
  ['secert', 'secret'],
  ['secretfile', 'secretFile'],
  ['ports', 'port'],
  ['xyzzy', undefined],
  ['p', undefined],
])('%s is taken for %s', (typed, expected) => {
  expect(suggestion(typed, ['host', 'port', 'secret', 'secretFile', 'maxStreams'])).toBe(expected)
})

test('the distance is a metric of the words: zero only for the same, the same both ways', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (a, b) => {
      expect(editDistance(a, b)).toBe(editDistance(b, a))
      expect(editDistance(a, b) === 0).toBe(a === b)
      expect(editDistance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length))
    }),
  )
})
