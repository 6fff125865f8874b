// The load generators' reader of answers: the same counts however an answer is cut into pieces.
import { describe, expect, test } from 'vitest'
import { AnswerReader } from '../../bench/support/answer-reader.ts'

const sized = 'HTTP/1.1 200 OK\r\nETag: "a"\r\nContent-Length: 5\r\n\r\nhello'
const chunked =
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n'
const empty = 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n'

function read(text: string, size: number) {
  const reader = new AnswerReader({ keepsBody: true })
  const bytes = Buffer.from(text)
  const ends: boolean[] = []
  for (let at = 0; at < bytes.length; at += size)
    ends.push(reader.take(bytes.subarray(at, at + size)))
  return { ends, reader }
}

describe.each([
  ['a length', sized, 200, 'hello'],
  ['chunks', chunked, 200, 'hel0123456789'],
  ['no body', empty, 304, ''],
])('an answer with %s', (_name, text, status, body) => {
  test.each([1, 2, 3, 7, 1_000])('in pieces of %d bytes ends with the last one', (size) => {
    const { ends, reader } = read(text, size)
    expect(ends.pop()).toBe(true)
    expect(ends).not.toContain(true)
    expect(reader.status).toBe(status)
    expect(reader.body.toString()).toBe(body)
    expect(reader.bodyBytes).toBe(body.length)
  })
})

test('what is no answer is refused', () => {
  expect(() => read('SSH-2.0-OpenSSH\r\n\r\n', 100)).toThrow('no HTTP')
  expect(() => read('HTTP/1.1 200 OK\r\n\r\n', 100)).toThrow('no length')
  expect(() => read(`${sized} and more`, 1_000)).toThrow('more than was announced')
  expect(() => read('a'.repeat(20_000), 4_000)).toThrow('without an end')
  expect(() => read(chunked.replace('3\r\n', 'x\r\n'), 1_000)).toThrow('no chunk size')
})
