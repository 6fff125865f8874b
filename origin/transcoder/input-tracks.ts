// What stands in a publisher's media message, and whether we take its codec: H.264 and AAC.
import { type Refusal, refusal } from '../../common/contract/refusal.ts'
import { type AudioCodec, readAudioTag } from '../../media/flv/audio-tag.ts'
import { readMetadata } from '../../media/flv/metadata.ts'
import { readVideoTag, type VideoCodec } from '../../media/flv/video-tag.ts'
import type { MediaMessage } from '../../media/rtmp/message.ts'

export type TagContent =
  | { kind: 'video-config' | 'audio-config'; config: Buffer }
  | { kind: 'video'; isKeyframe: boolean }
  | { kind: 'audio' }
  /** What the encoder says of itself; 0 where it says nothing. */
  | { kind: 'metadata'; videoBitsPerSecond: number }
  /** Nothing that an encoder needs: metadata, ends of sequences, torn or empty messages. */
  | { kind: 'ignored' }
  | { kind: 'refused'; refusal: Refusal }

const names: Record<VideoCodec | AudioCodec, string> = {
  avc: 'H.264 in an extended header',
  hevc: 'HEVC (H.265)',
  av1: 'AV1',
  vp9: 'VP9',
  vp8: 'VP8',
  vvc: 'VVC (H.266)',
  aac: 'AAC in an extended header',
  mp3: 'MP3',
  opus: 'Opus',
  flac: 'FLAC',
  ac3: 'AC-3',
  eac3: 'E-AC-3',
  other: 'unknown',
}

export function readTag({ kind, payload }: MediaMessage): TagContent {
  if (kind === 'data') return readData(payload)
  return kind === 'video' ? readVideo(payload) : readAudio(payload)
}

function readData(payload: Buffer): TagContent {
  const read = readMetadata(payload)
  if ('fault' in read) return { kind: 'ignored' }
  return { kind: 'metadata', videoBitsPerSecond: read.value.videoBitsPerSecond ?? 0 }
}

function readVideo(payload: Buffer): TagContent {
  const read = readVideoTag(payload)
  if ('fault' in read || read.value.packet === 'command') return { kind: 'ignored' }
  const { codec, packet, isKeyframe, bodyOffset, isEnhanced } = read.value
  // Relays rewrite H.264 in extended headers; one that comes here did not pass a relay.
  if (codec !== 'avc' || isEnhanced) {
    return unsupported(`The video codec is ${names[codec]}. Set the video encoder to H.264.`)
  }
  if (payload.length === bodyOffset) return { kind: 'ignored' }
  if (packet === 'sequence-header') {
    return { kind: 'video-config', config: payload.subarray(bodyOffset) }
  }
  return packet === 'frames' ? { kind: 'video', isKeyframe } : { kind: 'ignored' }
}

function readAudio(payload: Buffer): TagContent {
  const read = readAudioTag(payload)
  if ('fault' in read) return { kind: 'ignored' }
  const { codec, packet, bodyOffset, isEnhanced } = read.value
  if (codec !== 'aac' || isEnhanced) {
    return unsupported(`The audio codec is ${names[codec]}. Set the audio encoder to AAC.`)
  }
  if (payload.length === bodyOffset) return { kind: 'ignored' }
  if (packet === 'sequence-header') {
    return { kind: 'audio-config', config: payload.subarray(bodyOffset) }
  }
  return packet === 'frames' ? { kind: 'audio' } : { kind: 'ignored' }
}

function unsupported(sentence: string): TagContent {
  return { kind: 'refused', refusal: refusal('codec-unsupported', sentence) }
}
