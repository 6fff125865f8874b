// What a stream is made of, in the words that encoders use.
import type { AudioFacts, VideoFacts } from '../../common/contract/placement.ts'
import { formatBitrate } from '../common/format.ts'
import type { Language } from '../common/translate.ts'

const codecNames: [RegExp, string][] = [
  [/^(avc|h264)/i, 'H.264'],
  [/^(hvc|hev|h265|hevc)/i, 'H.265'],
  [/^av01|^av1/i, 'AV1'],
  [/^(mp4a|aac)/i, 'AAC'],
  [/^opus/i, 'Opus'],
]

export function codecName(codec: string): string {
  return codecNames.find(([pattern]) => pattern.test(codec))?.[1] ?? codec
}

export function videoText(video: VideoFacts, language: Language): string {
  const { codec, width, height, framesPerSecond, bitsPerSecond } = video
  const rate = framesPerSecond === null ? '' : ` ${Math.round(framesPerSecond * 100) / 100} fps`
  return `${codecName(codec)} ${width}×${height}${rate}, ${formatBitrate(bitsPerSecond, language)}`
}

export function audioText(audio: AudioFacts, language: Language): string {
  const { codec, sampleRate, channels, bitsPerSecond } = audio
  const layout = channels === 1 ? 'mono' : channels === 2 ? 'stereo' : `${channels} ch`
  const rate = bitsPerSecond > 0 ? `, ${formatBitrate(bitsPerSecond, language)}` : ''
  return `${codecName(codec)} ${sampleRate / 1000} kHz ${layout}${rate}`
}

/** Above this the first picture comes late and segments grow: encoders should be set to 2 s. */
export const keyframeLimitSeconds = 4
