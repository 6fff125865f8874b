import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FlvReader } from '../../../media/flv/tag-reader.ts'
import { flvHeader, flvTag } from '../../../media/flv/tag-writer.ts'
import type { MediaMessage } from '../../../media/rtmp/message.ts'
import { mutate, randomNumbers } from '../mutations.ts'
import { hex } from '../rtmp/wire.ts'

const anyMessage = fc.record({
  kind: fc.constantFrom('audio' as const, 'video' as const, 'data' as const),
  timestampMs: fc.oneof(fc.nat({ max: 1000 }), fc.integer({ min: 0xfffff0, max: 0xffffffff })),
  payload: fc.uint8Array({ minLength: 1, maxLength: 500 }).map((array) => Buffer.from(array)),
})

test('what is written is read, however it is split', () => {
  fc.assert(
    fc.property(fc.array(anyMessage), fc.array(fc.nat()), (messages, cuts) => {
      const bytes = Buffer.concat([
        flvHeader({ audio: true, video: true }),
        ...messages.flatMap((message) => flvTag(message)),
      ])
      const places = [...cuts.map((cut) => cut % bytes.length), bytes.length].sort((a, b) => a - b)
      const reader = new FlvReader()
      const read: MediaMessage[] = []
      let from = 0
      for (const to of places) {
        const piece = Buffer.from(bytes.subarray(from, to))
        const parsed = reader.read(piece)
        if ('fault' in parsed) throw new Error(parsed.fault)
        read.push(...parsed.value)
        piece.fill(0xee)
        from = to
      }
      expect(read).toEqual(messages)
    }),
  )
})

test('the header says which media there are', () => {
  expect(flvHeader({ audio: true, video: false })).toEqual(hex('464c56 01 04 00000009 00000000'))
  expect(flvHeader({ audio: false, video: true })[4]).toBe(1)
})

const header = '464c56 01 05 00000009 00000000'

test.each([
  ['another signature', '464d56 01 05 00000009'],
  ['another version', '464c56 02 05 00000009'],
  ['a data offset of 4 GiB', '464c56 01 05 ffffffff'],
  ['a data offset inside the header', '464c56 01 05 00000008'],
  ['a tag of 16 MiB', `${header} 09 ffffff 000000 00 000000`],
  ['an encrypted tag', `${header} 29 000001 000000 00 000000 aa`],
])('%s is a fault for good', (_, bytes) => {
  const reader = new FlvReader()
  expect(reader.read(hex(bytes))).toEqual({ fault: expect.any(String) })
  expect(reader.read(hex(header))).toEqual({ fault: expect.any(String) })
})

test.each([
  ['a back pointer that lies', `${header} 08 000001 000005 00 000000 aa ffffffff`],
  [
    'a longer file header',
    '464c56 01 05 0000000b 0000 00000000 08 000001 000005 00 000000 aa 00000000',
  ],
  [
    'a tag of an unknown type',
    `${header} 0f 000002 000000 00 000000 0000 00000000 08 000001 000005 00 000000 aa`,
  ],
  [
    'a tag without content',
    `${header} 09 000000 000000 00 000000 00000000 08 000001 000005 00 000000 aa`,
  ],
])('%s is passed over', (_, bytes) => {
  expect(new FlvReader().read(hex(bytes))).toEqual({
    value: [{ kind: 'audio', timestampMs: 5, payload: hex('aa') }],
  })
})

test('5 000 damaged streams never make the reader throw', () => {
  const random = randomNumbers(4)
  const seed = Buffer.concat([
    hex(header),
    ...flvTag({ kind: 'video', timestampMs: 1, payload: Buffer.alloc(100, 0x17) }),
    ...flvTag({ kind: 'audio', timestampMs: 2, payload: Buffer.alloc(20, 0xaf) }),
  ])
  for (let run = 0; run < 5_000; run++) {
    const reader = new FlvReader()
    const bytes = mutate([seed], random)
    const cut = random(bytes.length + 1)
    reader.read(bytes.subarray(0, cut))
    reader.read(bytes.subarray(cut))
  }
})
