import fc from 'fast-check'
import { expect, test } from 'vitest'
import { EventStreamParser, type ServerEvent } from '../../../common/cluster/event-stream.ts'

function parse(pieces: Uint8Array[]): ServerEvent[] {
  const parser = new EventStreamParser()
  return pieces.flatMap((piece) => parser.push(piece) ?? [])
}

const bytes = (text: string) => new TextEncoder().encode(text)

test.each<[string, string, ServerEvent[]]>([
  ['one event', 'event: a\ndata: 1\n\n', [{ event: 'a', data: '1' }]],
  ['CRLF', 'event: a\r\ndata: 1\r\n\r\n', [{ event: 'a', data: '1' }]],
  ['an event without a name', 'data:x\n\n', [{ event: 'message', data: 'x' }]],
  ['two lines of data', 'data: x\ndata: y\n\n', [{ event: 'message', data: 'x\ny' }]],
  ['a comment', ': ping\n\n', []],
  ['a name without data', 'event: a\n\ndata: 1\n\n', [{ event: 'message', data: '1' }]],
  ['one space only taken off', 'data:  x\n\n', [{ event: 'message', data: ' x' }]],
  ['fields that are unknown', 'id: 1\nretry: 5\ndata\n\n', [{ event: 'message', data: '' }]],
  ['an unfinished event', 'data: x\n', []],
])('reads %s', (_name, text, expected) => {
  expect(parse([bytes(text)])).toEqual(expected)
})

test('reads the same however the bytes are cut', () => {
  const text = 'event: snapshot\r\ndata: {"städte":"北京"}\r\n\r\n: ping\n\nevent: b\ndata: 2\n\n'
  const whole = parse([bytes(text)])
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: bytes(text).length })), (cuts) => {
      const all = bytes(text)
      const at = [0, ...cuts.sort((a, b) => a - b), all.length]
      const pieces = at.slice(1).map((end, i) => all.subarray(at[i], end))
      expect(parse(pieces)).toEqual(whole)
    }),
  )
})

test('an event that never ends is given up, not kept', () => {
  const parser = new EventStreamParser()
  const piece = bytes(`data: ${'x'.repeat(8 * 1024 * 1024)}\n`)
  const answers = Array.from({ length: 9 }, () => parser.push(piece))
  expect(answers.at(-1)).toBeUndefined()
})
