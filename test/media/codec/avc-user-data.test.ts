// What x264 says of itself inside its stream, and that nothing makes the reader throw.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readX264Settings } from '../../../media/codec/avc-user-data.ts'

const uuid = Buffer.from('dc45e9bde6d948b7962cd820d923eeef', 'hex')
const text = 'x264 - core 164 - H.264/MPEG-4 AVC codec - options: cabac=1 rc=crf crf=23.0\0'

function seiOf(payload: Buffer, type = 5): Buffer {
  const size = [...Array(Math.floor(payload.length / 255)).fill(255), payload.length % 255]
  return Buffer.from([6, type, ...size, ...payload, 0x80])
}

function frameOf(nalLengthBytes: number, ...nals: Buffer[]): Buffer {
  return Buffer.concat(
    nals.flatMap((nal) => {
      const length = Buffer.alloc(nalLengthBytes)
      length.writeUIntBE(nal.length, 0, nalLengthBytes)
      return [length, nal]
    }),
  )
}

const sei = seiOf(Buffer.concat([uuid, Buffer.from(text)]))
const slice = Buffer.from([0x65, 1, 2, 3])

test.each([2, 4])('reads the settings, with lengths of %d bytes', (nalLengthBytes) => {
  const settings = readX264Settings(frameOf(nalLengthBytes, sei, slice), nalLengthBytes)
  expect(Object.fromEntries(settings!)).toEqual({ cabac: '1', rc: 'crf', crf: '23.0' })
})

test('finds them behind other messages, and in texts longer than 255 bytes', () => {
  const long = text.replace('options:', `${'x'.repeat(600)} options:`)
  const bytes = Buffer.concat([uuid, Buffer.from(long)])
  const other = seiOf(Buffer.from([1, 2]), 1)
  expect(readX264Settings(frameOf(4, other, seiOf(bytes), slice), 4)?.get('rc')).toBe('crf')
})

test.each([
  ['another encoder', frameOf(4, seiOf(Buffer.alloc(40, 7)), slice)],
  ['no message', frameOf(4, slice)],
  ['a frame that is cut', frameOf(4, sei).subarray(0, 60)],
  ['nothing', Buffer.alloc(0)],
])('says nothing of %s', (_name, frame) => {
  expect(readX264Settings(frame, 4)).toBeUndefined()
})

test('never throws', () => {
  const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array))
  const mangled = fc.tuple(fc.nat(sei.length + 7), fc.nat(255)).map(([at, byte]) => {
    const frame = frameOf(4, sei, slice)
    if (at < frame.length) frame[at] = byte
    return frame
  })
  fc.assert(
    fc.property(fc.oneof(bytes, mangled), fc.constantFrom(1, 2, 4), (frame, nalLengthBytes) => {
      readX264Settings(frame, nalLengthBytes)
    }),
  )
})
