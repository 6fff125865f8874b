// Sequence headers of a publisher, read into the facts that the input check and the ladder need.
import { readAacConfig } from '../../media/codec/aac.ts'
import { readAvcConfig } from '../../media/codec/avc.ts'
import type { TrackParsers } from './input-reader.ts'

const chroma420 = 1

export const trackParsers: TrackParsers = {
  video(config) {
    const read = readAvcConfig(config)
    if ('fault' in read) return read
    const { codecString, width, height, framesPerSecond } = read.value
    const { chromaFormat, bitDepth, isInterlaced } = read.value
    return {
      value: {
        config,
        codec: codecString,
        width,
        height,
        framesPerSecond: framesPerSecond ?? null,
        // What browsers decode; anything else is encoded anew.
        isWidelyPlayable: chromaFormat === chroma420 && bitDepth === 8 && !isInterlaced,
      },
    }
  },
  audio(config) {
    const read = readAacConfig(config)
    if ('fault' in read) return read
    const { codecString, objectType, sampleRate, channels } = read.value
    return { value: { config, codec: codecString, objectType, sampleRate, channels } }
  },
}
