// What stands in an FLV tag of a publisher, and whether we take its codec: H.264 and AAC.
import { type Refusal, refusal } from '../../common/contract/refusal.ts'

/** One tag as the receiver hands it on. */
export interface InputTag {
  kind: 'audio' | 'video' | 'script'
  /** As the publisher counts: 32 bits, any origin. */
  timestampMs: number
  payload: Buffer
}

export type TagContent =
  | { kind: 'video-config' | 'audio-config'; config: Buffer }
  | { kind: 'video'; isKeyframe: boolean }
  | { kind: 'audio' }
  /** Nothing that an encoder needs: metadata, ends of sequences, empty tags. */
  | { kind: 'ignored' }
  | { kind: 'refused'; refusal: Refusal }

const legacyVideoCodecs: Record<number, string> = {
  2: 'Sorenson H.263',
  3: 'Screen Video',
  4: 'VP6',
  5: 'VP6 with alpha',
  6: 'Screen Video 2',
  8: 'H.263',
  9: 'MPEG-4',
  12: 'HEVC',
  13: 'AV1',
}
const fourCcCodecs: Record<string, string> = {
  hvc1: 'HEVC',
  hev1: 'HEVC',
  av01: 'AV1',
  vp09: 'VP9',
  vp08: 'VP8',
  vvc1: 'VVC',
  Opus: 'Opus',
  'ac-3': 'AC-3',
  'ec-3': 'E-AC-3',
  fLaC: 'FLAC',
  '.mp3': 'MP3',
}
const legacyAudioCodecs: Record<number, string> = {
  0: 'PCM',
  1: 'ADPCM',
  2: 'MP3',
  3: 'PCM',
  4: 'Nellymoser',
  5: 'Nellymoser',
  6: 'Nellymoser',
  7: 'A-law',
  8: 'µ-law',
  11: 'Speex',
  14: 'MP3',
}

const avcCodecId = 7
const aacFormat = 10
const extendedAudioFormat = 9
const extendedVideoFlag = 0x80
const infoFrameType = 5

export function readTag({ kind, payload }: InputTag): TagContent {
  if (payload.length < 2 || kind === 'script') return { kind: 'ignored' }
  return kind === 'video' ? readVideo(payload) : readAudio(payload)
}

function readVideo(payload: Buffer): TagContent {
  const head = payload[0]!
  if (head & extendedVideoFlag) return unsupported('video', fourCc(payload))
  const frameType = head >> 4
  const codecId = head & 0x0f
  if (frameType === infoFrameType) return { kind: 'ignored' }
  if (codecId !== avcCodecId) return unsupported('video', legacyVideoCodecs[codecId])
  if (payload.length < 5) return { kind: 'ignored' }
  // AVCPacketType: 0 sequence header, 1 NAL units, 2 end of sequence.
  if (payload[1] === 0) return { kind: 'video-config', config: payload.subarray(5) }
  if (payload[1] !== 1 || payload.length === 5) return { kind: 'ignored' }
  return { kind: 'video', isKeyframe: frameType === 1 }
}

function readAudio(payload: Buffer): TagContent {
  const format = payload[0]! >> 4
  if (format === extendedAudioFormat) return unsupported('audio', fourCc(payload))
  if (format !== aacFormat) return unsupported('audio', legacyAudioCodecs[format])
  if (payload[1] === 0) return { kind: 'audio-config', config: payload.subarray(2) }
  return payload.length === 2 ? { kind: 'ignored' } : { kind: 'audio' }
}

function fourCc(payload: Buffer): string | undefined {
  return fourCcCodecs[payload.toString('latin1', 1, 5)]
}

function unsupported(track: 'video' | 'audio', name = 'unknown'): TagContent {
  const wanted =
    track === 'video' ? 'Set the video encoder to H.264' : 'Set the audio encoder to AAC'
  return {
    kind: 'refused',
    refusal: refusal('codec-unsupported', `The ${track} codec is ${name}. ${wanted}.`),
  }
}
