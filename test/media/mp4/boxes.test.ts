import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FieldReader, findBox, readBoxes } from '../../../media/mp4/boxes.ts'
import { parseInitSection } from '../../../media/mp4/init-section.ts'
import { parseMediaSegment } from '../../../media/mp4/media-segment.ts'
import { box, fields, initSection, mediaSegment } from '../../support/fmp4.ts'

test('finds boxes by their path', () => {
  const inner = box('mdhd', fields(1, 2))
  const file = Buffer.concat([box('ftyp'), box('moov', box('trak', inner))])
  expect(readBoxes(file)?.map((it) => it.type)).toEqual(['ftyp', 'moov'])
  const found = findBox(file, ['moov', 'trak', 'mdhd'])!
  expect(file.subarray(found.bodyStart, found.end)).toEqual(fields(1, 2))
  expect(findBox(file, ['moov', 'udta'])).toBeUndefined()
})

test('reads a 64-bit size', () => {
  const head = Buffer.concat([fields(1), Buffer.from('mdat'), fields(20n)])
  const file = Buffer.concat([head, Buffer.alloc(4)])
  expect(readBoxes(file)).toEqual([{ type: 'mdat', start: 0, bodyStart: 16, end: 20 }])
})

test.each([
  ['a header that is cut off', Buffer.alloc(7)],
  ['a size below that of the header', Buffer.concat([fields(7), Buffer.from('free')])],
  ['a size of zero', Buffer.concat([fields(0), Buffer.from('free')])],
  ['a size past the end', Buffer.concat([fields(9), Buffer.from('free')])],
  [
    'a 64-bit size past the end',
    Buffer.concat([fields(1), Buffer.from('free'), fields(2n ** 63n)]),
  ],
  [
    'more boxes than any file of ours',
    Buffer.concat(Array.from({ length: 4_097 }, () => box('free'))),
  ],
])('refuses %s', (_, bytes) => {
  expect(readBoxes(bytes)).toBeUndefined()
})

test('reads zeros past the end and says so', () => {
  const reader = new FieldReader(Buffer.from([1, 2, 3, 4, 5]), 0, 5)
  expect(reader.u32()).toBe(0x01020304)
  expect(reader.isOverrun).toBe(false)
  expect(reader.u32()).toBe(0)
  expect(reader.isOverrun).toBe(true)
})

test('no bytes make a parser throw', () => {
  const track = parseInitSection(initSection())
  if (!track.ok) throw new Error(track.reason)
  const files = [initSection(), initSection({ kind: 'audio' }), mediaSegment()]
  fc.assert(
    fc.property(
      fc.constantFrom(...files),
      fc.array(fc.tuple(fc.nat(700), fc.nat(255)), { maxLength: 8 }),
      fc.nat(700),
      (file, changes, length) => {
        const bytes = Buffer.from(file.subarray(0, length))
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value
        for (const result of [parseInitSection(bytes), parseMediaSegment(bytes, track.track)]) {
          if (!result.ok) expect(result.reason).not.toBe('')
        }
      },
    ),
    { numRuns: 2_000 },
  )
})
