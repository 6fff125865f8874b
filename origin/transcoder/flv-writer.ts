// The FLV that an ffmpeg reads: a header, the sequence headers, then samples.
import { flvHeader, flvTag } from '../../media/flv/tag-writer.ts'
import type { InputTracks } from './input-check.ts'
import type { InputSample } from './input-reader.ts'

/** Keyframe, AVC, sequence header, composition time 0. */
const avcHeaderTag = Buffer.from([0x17, 0, 0, 0, 0])
/** AAC, sequence header; what this byte says of rate and channels is fixed, the config tells the truth. */
const aacHeaderTag = Buffer.from([0xaf, 0])

export function flvOpening({ video, audio }: InputTracks): Buffer {
  const parts = [flvHeader({ audio: audio !== undefined, video: video !== undefined })]
  if (video) {
    const payload = Buffer.concat([avcHeaderTag, video.config])
    parts.push(...flvTag({ kind: 'video', timestampMs: 0, payload }))
  }
  if (audio) {
    const payload = Buffer.concat([aacHeaderTag, audio.config])
    parts.push(...flvTag({ kind: 'audio', timestampMs: 0, payload }))
  }
  return Buffer.concat(parts)
}

export function flvSample({ kind, timestampMs, payload }: InputSample): Buffer {
  return Buffer.concat(flvTag({ kind, timestampMs: Math.round(timestampMs), payload }))
}
