// The header of an audio tag: classic FLV (Adobe FLV 10.1 §E.4.2.1) and Enhanced RTMP v2.
import type { Parsed } from '../parsed.ts'
import { readEnhancedHeader } from './enhanced-header.ts'

export type AudioCodec = 'aac' | 'mp3' | 'opus' | 'flac' | 'ac3' | 'eac3' | 'other'
export type AudioPacket = 'sequence-header' | 'frames' | 'sequence-end' | 'channel-layout'

export interface AudioTag {
  codec: AudioCodec
  packet: AudioPacket
  /** Where the codec's own bytes begin in the payload. */
  bodyOffset: number
  isEnhanced: boolean
}

const codecOfFourCc: Partial<Record<string, AudioCodec>> = {
  mp4a: 'aac',
  '.mp3': 'mp3',
  Opus: 'opus',
  fLaC: 'flac',
  'ac-3': 'ac3',
  'ec-3': 'eac3',
}
const enhancedPackets: Partial<Record<number, AudioPacket>> = {
  0: 'sequence-header',
  1: 'frames',
  2: 'sequence-end',
  4: 'channel-layout',
}
const soundFormat = { mp3: 2, extended: 9, aac: 10, mp3At8kHz: 14 } as const

export function readAudioTag(payload: Buffer): Parsed<AudioTag> {
  const first = payload[0]
  if (first === undefined) return { fault: 'an audio message without content' }
  const format = first >> 4
  if (format === soundFormat.extended) return readEnhanced(payload, first)
  if (format !== soundFormat.aac) {
    const isMp3 = format === soundFormat.mp3 || format === soundFormat.mp3At8kHz
    const codec = isMp3 ? 'mp3' : 'other'
    return { value: { codec, packet: 'frames', bodyOffset: 1, isEnhanced: false } }
  }
  if (payload.length < 2) return { fault: 'an audio message ends inside its header' }
  const packetType = payload[1]!
  if (packetType > 1) return { fault: 'an audio message of an unknown packet type' }
  const packet = packetType === 0 ? 'sequence-header' : 'frames'
  return { value: { codec: 'aac', packet, bodyOffset: 2, isEnhanced: false } }
}

function readEnhanced(payload: Buffer, first: number): Parsed<AudioTag> {
  const read = readEnhancedHeader(payload, first & 0x0f, 'audio')
  if ('fault' in read) return read
  const packet = enhancedPackets[read.value.packetType]
  if (!packet) return { fault: 'an audio message of an unknown packet type' }
  const codec = codecOfFourCc[read.value.fourCc] ?? 'other'
  return { value: { codec, packet, bodyOffset: read.value.bodyOffset, isEnhanced: true } }
}
