// Which content codings a client takes.
import { expect, it } from 'vitest'
import { acceptsCoding } from '../../../common/net/accept-encoding.ts'

it.each([
  [undefined, false],
  ['', false],
  ['gzip', true],
  ['GZIP', true],
  ['br, gzip;q=0.5', true],
  ['gzip;q=0', false],
  ['gzip; q=0.000', false],
  ['gzip; q=0.001', true],
  ['x-gzip', false],
  ['identity', false],
  ['*', false],
])('%j takes gzip: %s', (header, expected) => {
  expect(acceptsCoding(header, 'gzip')).toBe(expected)
})
