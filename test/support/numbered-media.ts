// Gives each frame a number that survives packaging: in front of H.264 an SEI message of user data (ISO/IEC 14496-10
// §D.1.7), in front of AAC a data stream element (ISO/IEC 14496-3 §4.4.2.4). Decoders skip both.
//
// Frames of a test picture or a tone may be alike to the byte. With a number each is told from all others, so that
// it can be said which was lost and which came twice.
import { readAudioTag } from '../../media/flv/audio-tag.ts'
import { readVideoTag } from '../../media/flv/video-tag.ts'
import type { MediaMessage } from '../../media/rtmp/message.ts'

export type FrameKind = 'video' | 'audio'

/** Seven bits each with the eighth set: no byte is zero, so that nothing needs escaping. */
const digits = 5
const uuid = Buffer.from('nearcast-frame-#', 'latin1')
const seiHead = Buffer.concat([Buffer.from([0x06, 5, uuid.length + digits]), uuid])
const seiBytes = seiHead.length + digits + 1
const nalLengthBytes = 4
/** id_syn_ele 4, tag 0, no alignment, then the count: two whole bytes, so that what follows stays where it was. */
const soundHead = Buffer.from([0x80, digits])

/** Classic H.264 or AAC that holds a frame; anything else is answered as it is. */
export function withNumber(message: MediaMessage, number: number): MediaMessage {
  const at = frameOffset(message)
  if (at === undefined) return message
  const { kind, payload } = message
  const mark = kind === 'video' ? videoMark(number) : Buffer.concat([soundHead, digitsOf(number)])
  return {
    ...message,
    payload: Buffer.concat([payload.subarray(0, at), mark, payload.subarray(at)]),
  }
}

/** Where the frame begins; undefined in messages without one. */
export function frameOffset({ kind, payload }: MediaMessage): number | undefined {
  if (kind === 'data') return undefined
  const read = kind === 'video' ? readVideoTag(payload) : readAudioTag(payload)
  return 'value' in read && read.value.packet === 'frames' ? read.value.bodyOffset : undefined
}

/** Of a sample as it is packaged; undefined where nobody wrote one. */
export function numberIn(kind: FrameKind, data: Buffer): number | undefined {
  const head = kind === 'video' ? seiHead : soundHead
  const at = kind === 'video' ? nalLengthBytes : 0
  if (!data.subarray(at, at + head.length).equals(head)) return undefined
  let number = 0
  for (const byte of data.subarray(at + head.length, at + head.length + digits)) {
    number = number * 128 + (byte & 0x7f)
  }
  return number
}

function videoMark(number: number): Buffer {
  const length = Buffer.alloc(nalLengthBytes)
  length.writeUInt32BE(seiBytes)
  return Buffer.concat([length, seiHead, digitsOf(number), Buffer.from([0x80])])
}

function digitsOf(number: number): Buffer {
  const out = Buffer.alloc(digits)
  let left = number
  for (let i = digits - 1; i >= 0; i--) {
    out[i] = 0x80 | (left % 128)
    left = Math.floor(left / 128)
  }
  return out
}
