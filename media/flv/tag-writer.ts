// Media messages → an FLV byte stream (Adobe FLV 10.1 §E.2–E.4.1).
import type { MediaMessage } from '../rtmp/message.ts'

const tagTypeOf = { audio: 8, video: 9, data: 18 } as const
const tagHeaderBytes = 11

/** The nine bytes of the file header and the first back pointer. */
export function flvHeader(has: { audio: boolean; video: boolean }): Buffer {
  const out = Buffer.from('FLV\x01\x00\x00\x00\x00\x09\x00\x00\x00\x00', 'latin1')
  out[4] = (has.audio ? 4 : 0) | (has.video ? 1 : 0)
  return out
}

/** Header, payload, back pointer: three buffers, so that the payload is not copied. */
export function flvTag(message: MediaMessage): [Buffer, Buffer, Buffer] {
  const { payload, timestampMs } = message
  const head = Buffer.alloc(tagHeaderBytes)
  head[0] = tagTypeOf[message.kind]
  head.writeUIntBE(payload.length, 1, 3)
  head.writeUIntBE(timestampMs & 0xffffff, 4, 3)
  head[7] = timestampMs >>> 24
  const backPointer = Buffer.alloc(4)
  backPointer.writeUInt32BE(tagHeaderBytes + payload.length)
  return [head, payload, backPointer]
}
