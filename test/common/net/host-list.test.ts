// Which hosts a list of names stands for.
import { expect, test } from 'vitest'
import { createHostList, isHostEntry } from '../../../common/net/host-list.ts'

test('no entries are no list', () => {
  expect(createHostList([])).toBe(undefined)
})

test.each([
  ['pop-1.example.com', true],
  ['POP-1.Example.com:8443', true],
  ['pop-1.example.com.', true],
  ['a.edge.example', true],
  ['edge.example', false],
  ['a.b.edge.example', false],
  ['evil.example', false],
  ['pop-1.example.com.evil.example', false],
  ['xpop-1.example.com', false],
  ['192.0.2.1:80', true],
  ['[2001:db8::1]:443', true],
  ['[2001:db8::2]', false],
  ['', false],
])('%s: %s', (host, isIn) => {
  const list = createHostList(['Pop-1.example.com', '*.edge.example', '192.0.2.1', '[2001:db8::1]'])
  expect(list?.includes(host)).toBe(isIn)
})

test.each(['', '*', '*.', 'a b', 'a/b', 'a:80', '-a', 'https://a', '*.*.a'])(
  'no entry: %s',
  (text) => expect(isHostEntry(text)).toBe(false),
)
