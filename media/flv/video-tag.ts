// The header of a video tag: classic FLV (Adobe FLV 10.1 §E.4.3.1) and Enhanced RTMP v1 and v2.
import type { Parsed } from '../parsed.ts'
import { readEnhancedHeader } from './enhanced-header.ts'

export type VideoCodec = 'avc' | 'hevc' | 'av1' | 'vp9' | 'vp8' | 'vvc' | 'other'

/** `metadata` and `command` hold no picture: colour information, seek marks. */
export type VideoPacket = 'sequence-header' | 'frames' | 'sequence-end' | 'metadata' | 'command'

export interface VideoTag {
  codec: VideoCodec
  packet: VideoPacket
  /** Of `frames`: can be decoded without any other frame. */
  isKeyframe: boolean
  /** Presentation minus decoding time; signed. */
  compositionTimeMs: number
  /** Where the codec's own bytes begin in the payload. */
  bodyOffset: number
  isEnhanced: boolean
}

const codecOfFourCc: Partial<Record<string, VideoCodec>> = {
  avc1: 'avc',
  hvc1: 'hevc',
  av01: 'av1',
  vp09: 'vp9',
  vp08: 'vp8',
  vvc1: 'vvc',
}

const frameType = { key: 1, command: 5 } as const
const classicAvc = 7
/** Not in the standard, but sent by encoders from before Enhanced RTMP. */
const classicHevc = 12
const classicPackets: Partial<Record<number, VideoPacket>> = {
  0: 'sequence-header',
  1: 'frames',
  2: 'sequence-end',
}
const enhancedPackets: Partial<Record<number, VideoPacket>> = {
  0: 'sequence-header',
  1: 'frames',
  2: 'sequence-end',
  3: 'frames',
  4: 'metadata',
  5: 'sequence-header',
}
const codedFrames = 1
const metadata = 4

export function readVideoTag(payload: Buffer): Parsed<VideoTag> {
  const first = payload[0]
  if (first === undefined) return { fault: 'a video message without content' }
  return first & 0x80 ? readEnhanced(payload, first) : readClassic(payload, first)
}

function readClassic(payload: Buffer, first: number): Parsed<VideoTag> {
  const codecId = first & 0x0f
  const isKeyframe = first >> 4 === frameType.key
  const tag: VideoTag = {
    codec: codecId === classicAvc ? 'avc' : codecId === classicHevc ? 'hevc' : 'other',
    packet: first >> 4 === frameType.command ? 'command' : 'frames',
    isKeyframe,
    compositionTimeMs: 0,
    bodyOffset: 1,
    isEnhanced: false,
  }
  if (tag.codec === 'other' || tag.packet === 'command') return { value: tag }
  if (payload.length < 5) return { fault: 'a video message ends inside its header' }
  const packet = classicPackets[payload[1]!]
  if (!packet) return { fault: 'a video message of an unknown packet type' }
  tag.packet = packet
  tag.isKeyframe = isKeyframe && packet === 'frames'
  tag.compositionTimeMs = payload.readIntBE(2, 3)
  tag.bodyOffset = 5
  return { value: tag }
}

function readEnhanced(payload: Buffer, first: number): Parsed<VideoTag> {
  const type = (first >> 4) & 0x07
  // A command has one byte of its own where the codec would stand, whatever the packet type.
  if (type === frameType.command && (first & 0x0f) !== metadata) {
    return { value: emptyTag('command') }
  }
  const read = readEnhancedHeader(payload, first & 0x0f)
  if ('fault' in read) return read
  const { packetType, fourCc } = read.value
  const packet = enhancedPackets[packetType]
  if (!packet) return { fault: 'a video message of an unknown packet type' }
  const codec = codecOfFourCc[fourCc] ?? 'other'
  let bodyOffset = read.value.bodyOffset
  let compositionTimeMs = 0
  if (packetType === codedFrames && (codec === 'avc' || codec === 'hevc' || codec === 'vvc')) {
    if (payload.length < bodyOffset + 3) return { fault: 'a video message ends inside its header' }
    compositionTimeMs = payload.readIntBE(bodyOffset, 3)
    bodyOffset += 3
  }
  const isKeyframe = type === frameType.key && packet === 'frames'
  return { value: { codec, packet, isKeyframe, compositionTimeMs, bodyOffset, isEnhanced: true } }
}

function emptyTag(packet: VideoPacket): VideoTag {
  return {
    codec: 'other',
    packet,
    isKeyframe: false,
    compositionTimeMs: 0,
    bodyOffset: 1,
    isEnhanced: true,
  }
}
