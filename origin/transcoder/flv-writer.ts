// The FLV that an ffmpeg reads: a header, the sequence headers, then samples.
import type { InputTracks } from './input-check.ts'
import type { InputSample } from './input-reader.ts'

const audioTag = 8
const videoTag = 9
const tagHeaderBytes = 11

export function flvOpening({ video, audio }: InputTracks): Buffer {
  const flags = (video ? 1 : 0) | (audio ? 4 : 0)
  const header = Buffer.from([0x46, 0x4c, 0x56, 1, flags, 0, 0, 0, 9, 0, 0, 0, 0])
  const parts: Buffer[] = [header]
  // Keyframe, AVC, sequence header, composition time 0.
  if (video) parts.push(tag(videoTag, 0, Buffer.from([0x17, 0, 0, 0, 0]), video.config))
  // AAC; rate, size and channels in this byte are fixed, the header tells the real ones.
  if (audio) parts.push(tag(audioTag, 0, Buffer.from([0xaf, 0]), audio.config))
  return Buffer.concat(parts)
}

export function flvSample({ kind, timestampMs, payload }: InputSample): Buffer {
  return tag(kind === 'video' ? videoTag : audioTag, timestampMs, payload)
}

function tag(type: number, timestampMs: number, ...parts: Buffer[]): Buffer {
  const size = parts.reduce((sum, part) => sum + part.length, 0)
  const bytes = Buffer.allocUnsafe(tagHeaderBytes + size + 4)
  bytes[0] = type
  bytes.writeUIntBE(size, 1, 3)
  bytes.writeUIntBE(timestampMs & 0xff_ffff, 4, 3)
  bytes[7] = (timestampMs >>> 24) & 0xff
  bytes.writeUIntBE(0, 8, 3)
  let offset = tagHeaderBytes
  for (const part of parts) offset += part.copy(bytes, offset)
  bytes.writeUInt32BE(tagHeaderBytes + size, offset)
  return bytes
}
