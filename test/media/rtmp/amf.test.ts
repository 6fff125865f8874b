import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { AmfValue } from '../../../media/rtmp/amf-value.ts'
import { readAmf0, writeAmf0, writeAmf0EcmaArray } from '../../../media/rtmp/amf0.ts'
import { hex } from './wire.ts'

const { value: anyValue } = fc.letrec<{ value: AmfValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 6, depthSize: 'small' },
    fc.double(),
    fc.boolean(),
    fc.string({ unit: 'grapheme' }),
    fc.constantFrom(null, undefined, NaN, Infinity, -Infinity, -0),
    fc.date({ noInvalidDate: false }),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(
      fc.oneof(fc.string(), fc.constantFrom('__proto__', 'constructor', 'toString')),
      tie('value'),
      { maxKeys: 5, noNullPrototype: false },
    ),
  ),
}))

/** `toEqual` does not look at prototypes; what was read has none. */
test('AMF0 values survive being written and read', () => {
  fc.assert(
    fc.property(fc.array(anyValue, { maxLength: 4 }), (values) => {
      const read = readAmf0(writeAmf0(...values))
      expect(read).toEqual({ value: values })
    }),
    { numRuns: 500 },
  )
})

test('a string longer than 64 KiB is written long and refused by the reader', () => {
  const bytes = writeAmf0('x'.repeat(65_536))
  expect(bytes[0]).toBe(0x0c)
  expect(readAmf0(bytes)).toEqual({ value: ['x'.repeat(65_536)] })
  expect(readAmf0(writeAmf0('x'.repeat(65_537)))).toHaveProperty('fault')
})

test('an ECMA array reads as an object, whatever its count says', () => {
  const bytes = writeAmf0EcmaArray({ width: 1, stereo: true })
  expect(readAmf0(bytes)).toEqual({ value: [{ width: 1, stereo: true }] })
  bytes.writeUInt32BE(0xffffffff, 1)
  expect(readAmf0(bytes)).toEqual({ value: [{ width: 1, stereo: true }] })
})

const deep = (depth: number) =>
  Buffer.concat([
    ...Array.from({ length: depth }, () => hex('03 0001 61')),
    hex('05'),
    ...Array.from({ length: depth }, () => hex('000009')),
  ])
const keys = (count: number) =>
  Buffer.concat([
    hex('03'),
    ...Array.from({ length: count }, (_, i) => {
      const key = Buffer.from(`k${i}`)
      return Buffer.concat([Buffer.from([0, key.length]), key, hex('05')])
    }),
    hex('000009'),
  ])

test.each([
  ['R20 string longer than its message', hex('02 ffff 61')],
  ['R20 long string of 4 GiB', hex('0c ffffffff 61')],
  ['R20 strict array of 4 G values', hex('0a ffffffff')],
  ['R20 strict array that lies by little', hex('0a 00000003 05 05')],
  ['R20 ECMA array without an end', hex('08 ffffffff')],
  ['R20 60 000 objects in one another', deep(60_000)],
  ['R20 17 levels', deep(16)],
  ['R20 257 keys', keys(257)],
  [
    'R20 more values than a message may have',
    Buffer.concat([hex('0a 00001388'), Buffer.alloc(5000, 5)]),
  ],
  ['R20 unterminated object', hex('03 0001 61 05')],
  ['R20 half a number', hex('00 3ff0')],
  ['R20 reference', hex('07 0000')],
  ['R20 movie clip', hex('04')],
  ['R20 unknown marker', hex('ff')],
  ['R20 AMF3 unknown marker', hex('11 ff')],
  ['R20 AMF3 string of U29 ffffffff', hex('11 06 ffffffff')],
  ['R20 AMF3 array of U29 ffffffff', hex('11 09 ffffffff')],
  ['R20 AMF3 reference to nothing', hex('11 0a 02')],
  ['R20 AMF3 traits reference to nothing', hex('11 0a 05')],
  ['R20 AMF3 array inside itself', hex('11 09 05 01 0a 00 01')],
  ['R20 AMF3 object inside itself', hex('11 0a 0b 01 03 61 0a 00 01')],
  ['R20 AMF3 externalizable object', hex('11 0a 07 01')],
  ['R20 AMF3 nothing behind the marker', hex('11')],
  ['R20 AMF3 arrays in one another', Buffer.concat([hex('11'), hex('090301'.repeat(5_000))])],
])('%s is a fault', (_, bytes) => {
  expect(readAmf0(bytes)).toEqual({ fault: expect.any(String) })
})

test.each<[string, Buffer, AmfValue]>([
  ['R20 15 levels and null', deep(15), JSON.parse(`${'{"a":'.repeat(15)}null${'}'.repeat(15)}`)],
  ['R20 date', hex('0b 4270000000000000 0000'), new Date(2 ** 40)],
  ['R20 typed object', hex('10 0001 54 0001 61 05 000009'), { a: null }],
  ['R20 bad UTF-8', hex('02 0002 c328'), '\ufffd('],
  ['R20 NUL and CR LF in a string', hex('02 0003 000d0a'), '\0\r\n'],
  ['XML document', hex('0f 00000001 61'), 'a'],
  ['unsupported', hex('0d'), null],
  ['AMF3 integer', hex('11 04 81 00'), 128],
  ['AMF3 negative integer', hex('11 04 ff ff ff ff'), -1],
  ['AMF3 double', hex('11 05 3ff0000000000000'), 1],
  ['AMF3 string', hex('11 06 03 61'), 'a'],
  ['AMF3 true', hex('11 03'), true],
  ['AMF3 date', hex('11 08 01 0000000000000000'), new Date(0)],
  ['AMF3 byte array', hex('11 0c 05 0102'), Buffer.from([1, 2])],
  ['AMF3 array with a string twice', hex('11 09 05 01 06 03 61 06 00'), ['a', 'a']],
  ['AMF3 dynamic object', hex('11 0a 0b 01 03 61 04 05 01'), { a: 5 }],
  ['AMF3 sealed object', hex('11 0a 13 01 03 61 04 05'), { a: 5 }],
  [
    'AMF3 traits used twice',
    hex('11 09 05 01 0a 13 01 03 61 04 01 0a 01 04 02'),
    [{ a: 1 }, { a: 2 }],
  ],
])('%s reads', (_, bytes, value) => {
  expect(readAmf0(bytes)).toEqual({ value: [value] })
})

test('keys of a peer do not reach a prototype', () => {
  const read = readAmf0(writeAmf0({ ['__proto__']: { admin: true }, constructor: 1 }))
  expect(read).toHaveProperty('value')
  const [object] = (read as { value: AmfValue[] }).value as [Record<string, unknown>]
  expect(Object.getPrototypeOf(object)).toBeNull()
  expect(Object.keys(object)).toEqual(['__proto__', 'constructor'])
  expect(({} as Record<string, unknown>).admin).toBeUndefined()
})
