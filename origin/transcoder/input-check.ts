// Decides whether a publisher's input is acceptable: bounds on what its headers say and on what is measured.
import type { AudioFacts, VideoFacts } from '../../common/contract/placement.ts'
import { type Refusal, refusal } from '../../common/contract/refusal.ts'
import type { TranscoderConfig } from '../../config/schema.ts'

export type InputLimits = TranscoderConfig['input']

export interface VideoTrack {
  /** AVCDecoderConfigurationRecord, byte for byte. */
  config: Buffer
  codec: string
  width: number
  height: number
  /** As the sequence header claims, where it does. */
  framesPerSecond: number | null
  /** Plays in browsers as it is; else it is encoded anew. */
  isWidelyPlayable: boolean
}

export interface AudioTrack {
  /** AudioSpecificConfig, byte for byte. */
  config: Buffer
  codec: string
  objectType: number
  sampleRate: number
  channels: number
}

export interface InputTracks {
  video: VideoTrack | undefined
  audio: AudioTrack | undefined
}

/** What the headers say. */
export function checkTracks(
  { video, audio }: InputTracks,
  limits: InputLimits,
): Refusal | undefined {
  if (video) {
    // A portrait picture may be as tall as a landscape one may be wide.
    const long = Math.max(video.width, video.height)
    const short = Math.min(video.width, video.height)
    const maxLong = Math.max(limits.maxWidth, limits.maxHeight)
    const maxShort = Math.min(limits.maxWidth, limits.maxHeight)
    if (long > maxLong || short > maxShort) {
      return refusal(
        'resolution-too-large',
        `The picture is ${video.width}x${video.height}; at most ${limits.maxWidth}x${limits.maxHeight} is accepted.`,
      )
    }
    if (short < 16) {
      return refusal('input-broken', `The picture is only ${video.width}x${video.height}.`)
    }
  }
  if (audio) {
    if (audio.sampleRate < limits.minSampleRate || audio.sampleRate > limits.maxSampleRate) {
      return refusal(
        'audio-format-unsupported',
        `The audio has ${audio.sampleRate} samples per second; ${limits.minSampleRate} to ${limits.maxSampleRate} are accepted.`,
      )
    }
    if (audio.channels > limits.maxChannels) {
      return refusal(
        'audio-format-unsupported',
        `The audio has ${audio.channels} channels; at most ${limits.maxChannels} are accepted.`,
      )
    }
  }
  return undefined
}

interface Sample {
  kind: 'audio' | 'video'
  timestampMs: number
  sizeBytes: number
  isKeyframe: boolean
}

/** Rates are judged over so much media time, so that one large keyframe does no harm. */
const windowMs = 10_000
/** Facts for people are told from this much on. */
const minimumFactsMs = 1_000
/** An encoder's clock is not exact. */
const rateTolerance = 1.05

/** Measures one run of media and compares it with the limits as it goes on. */
export class InputMeter {
  readonly #limits: InputLimits
  readonly #video = new TrackMeter()
  readonly #audio = new TrackMeter()
  #lastKeyframeMs: number | undefined
  #keyframeIntervalMs: number | undefined

  constructor(limits: InputLimits) {
    this.#limits = limits
  }

  add(sample: Sample): Refusal | undefined {
    const limits = this.#limits
    const track = sample.kind === 'video' ? this.#video : this.#audio
    const window = track.add(sample.timestampMs, sample.sizeBytes)
    if (sample.kind === 'video') {
      const sinceMs = sample.timestampMs - (this.#lastKeyframeMs ?? sample.timestampMs)
      if (sinceMs > limits.maxKeyframeIntervalSeconds * 1000 * rateTolerance) {
        return refusal(
          'keyframe-interval-too-long',
          `No keyframe came for ${Math.floor(sinceMs / 1000)} seconds. Set the keyframe interval to 2 seconds.`,
        )
      }
      if (sample.isKeyframe) {
        if (this.#lastKeyframeMs !== undefined) this.#keyframeIntervalMs = sinceMs
        this.#lastKeyframeMs = sample.timestampMs
      }
    }
    if (!window) return undefined
    if (sample.kind === 'video' && window.perSecond > limits.maxFramesPerSecond * rateTolerance) {
      return refusal(
        'frame-rate-too-high',
        `The video has ${Math.round(window.perSecond)} frames per second; at most ${limits.maxFramesPerSecond} are accepted.`,
      )
    }
    const bits = this.#video.bitsPerSecond + this.#audio.bitsPerSecond
    if (bits > limits.maxBitsPerSecond * rateTolerance) {
      return refusal(
        'bitrate-too-high',
        `The stream has ${(bits / 1e6).toFixed(1)} Mb/s; at most ${(limits.maxBitsPerSecond / 1e6).toFixed(1)} are accepted.`,
      )
    }
    return undefined
  }

  videoFacts(track: VideoTrack): VideoFacts {
    return {
      codec: track.codec,
      width: track.width,
      height: track.height,
      framesPerSecond: round(this.#video.perSecond ?? track.framesPerSecond, 2),
      bitsPerSecond: Math.round(this.#video.bitsPerSecond),
      keyframeIntervalSeconds:
        this.#keyframeIntervalMs === undefined ? null : round(this.#keyframeIntervalMs / 1000, 3),
    }
  }

  audioFacts(track: AudioTrack): AudioFacts {
    return {
      codec: track.codec,
      sampleRate: track.sampleRate,
      channels: track.channels,
      bitsPerSecond: Math.round(this.#audio.bitsPerSecond),
    }
  }
}

/** Counts samples and bytes of one track in tumbling windows of media time. */
class TrackMeter {
  #startMs: number | undefined
  #samples = 0
  #bytes = 0
  #last: { perSecond: number; bitsPerSecond: number } | undefined
  #elapsedMs = 0

  get perSecond(): number | null {
    return this.#now()?.perSecond ?? null
  }

  get bitsPerSecond(): number {
    return this.#now()?.bitsPerSecond ?? 0
  }

  /** The finished window, when this sample finishes one. */
  add(timestampMs: number, sizeBytes: number): { perSecond: number } | undefined {
    this.#startMs ??= timestampMs
    this.#elapsedMs = timestampMs - this.#startMs
    if (this.#elapsedMs < windowMs) {
      this.#samples++
      this.#bytes += sizeBytes
      return undefined
    }
    this.#last = this.#rate()
    this.#startMs = timestampMs
    this.#elapsedMs = 0
    this.#samples = 1
    this.#bytes = sizeBytes
    return this.#last
  }

  #now() {
    return this.#last ?? (this.#elapsedMs >= minimumFactsMs ? this.#rate() : undefined)
  }

  #rate() {
    const seconds = this.#elapsedMs / 1000
    return { perSecond: this.#samples / seconds, bitsPerSecond: (this.#bytes * 8) / seconds }
  }
}

function round(value: number, digits: number): number
function round(value: number | null, digits: number): number | null
function round(value: number | null, digits: number): number | null {
  return value === null ? null : Number(value.toFixed(digits))
}
