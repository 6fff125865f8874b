// What extended audio and video headers of Enhanced RTMP v2 have in common: modifiers, tracks, the four letters.
import type { Parsed } from '../parsed.ts'

export interface EnhancedHeader {
  packetType: number
  /** As latin1; names nothing unless it is looked up. */
  fourCc: string
  bodyOffset: number
}

const multitrack = { video: 6, audio: 5 } as const
const modEx = 7
/** Modifiers follow one another; nobody has a reason for many. */
const maxModifiers = 8

const truncated = { fault: 'an extended media header ends too early' }

/** Reads from behind the first byte, whose lower four bits are `packetType`. */
export function readEnhancedHeader(
  payload: Buffer,
  packetType: number,
  media: 'video' | 'audio' = 'video',
): Parsed<EnhancedHeader> {
  let type = packetType
  let at = 1
  for (let modifiers = 0; type === modEx; modifiers++) {
    if (modifiers === maxModifiers) return { fault: 'an extended media header has no end' }
    if (at >= payload.length) return truncated
    // One byte holds the size minus one; 255 there means that two more bytes do.
    let size = payload[at++]! + 1
    if (size === 256) {
      if (at + 2 > payload.length) return truncated
      size = payload.readUInt16BE(at) + 1
      at += 2
    }
    at += size
    if (at >= payload.length) return truncated
    type = payload[at++]! & 0x0f
  }
  if (type === multitrack[media]) return { fault: `several ${media} tracks in one stream` }
  if (at + 4 > payload.length) return truncated
  const fourCc = payload.toString('latin1', at, at + 4)
  return { value: { packetType: type, fourCc, bodyOffset: at + 4 } }
}
