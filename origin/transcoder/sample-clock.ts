// Puts the samples of one run on the broadcast's timeline: from the publisher's milliseconds to ticks.
//
// Rules:
// - The run's first keyframe is presented at the run's origin: what an encoder holds back to reorder pictures is
//   taken off all times, of sound too. Else each run would begin with a hole of that length.
// - A keyframe is decoded when it is presented; from there on the publisher's decode times are kept.
// - Audio is counted in samples, because milliseconds cannot say how long a frame is. The publisher's time is
//   followed only where it is more than 1.5 frames off: forward is a hole, backward a frame that overlaps, which
//   is left out. Where the two clocks run apart slowly, frames are told one tick longer or shorter, so that one
//   frame always begins where the one before it ends.
// - With SBR that the configuration tells, ticks and frames count the sound that comes out (2 048 to a frame);
//   SBR that it does not tell is coded sound at the core's rate (1 024), which is the same time.
import type { ClockState } from '../../common/contract/resume-point.ts'
import { readAacConfig } from '../../media/codec/aac.ts'
import { readAudioTag } from '../../media/flv/audio-tag.ts'
import { readVideoTag } from '../../media/flv/video-tag.ts'
import type { AudioTrackConfig, MediaSample, VideoTrackConfig } from '../../media/mp4/track.ts'
import type { AudioTrack, InputTracks, VideoTrack } from './input-check.ts'
import { type InputSample, runLeadMs } from './input-reader.ts'

export interface SampleClockOptions {
  tracks: InputTracks
  /** Where the run's first sample lies on the timeline of the broadcast. */
  originSeconds: number
  /** Another clock of the run has stood there. */
  resume?: ClockState | undefined
}

export interface TimedSample {
  kind: 'video' | 'audio'
  sample: MediaSample
}

const videoTimescale = 90_000
const ticksPerMs = videoTimescale / 1000
/** Sixteen frames of 30 per second; more is a lie, and sound must not get before time zero. */
const maxDelayMs = 533
const usualFrameSamples = 1024
/** Encoders round, and some deliver two frames at a time. */
const toleratedFrames = 1.5
/** Slow enough that a millisecond more or less does not show, fast enough for any crystal. */
const driftWindowFrames = 64
/** Sounds before which the state is known: more than an encoder sends ahead of its pictures. */
const knownSounds = 256

export class SampleClock {
  readonly #originSeconds: number
  readonly #video: VideoTimes | undefined
  readonly #audio: AudioTimes | undefined

  constructor({ tracks, resume, originSeconds }: SampleClockOptions) {
    this.#originSeconds = resume?.originSeconds ?? originSeconds
    if (tracks.video) this.#video = new VideoTimes(this.#originSeconds, resume)
    if (tracks.audio) this.#audio = new AudioTimes(tracks.audio, this.#originSeconds, resume?.audio)
  }

  /** From it another clock gives the same times to the last so many sounds, and to all samples from here on. */
  stateBefore(sounds: number): ClockState {
    return {
      originSeconds: this.#originSeconds,
      ...this.#video?.state,
      audio: this.#audio?.stateBefore(sounds),
    }
  }

  /** Undefined for a frame that has no place: it overlaps the one before, or its tag is broken. */
  toSample(input: InputSample): TimedSample | undefined {
    const { kind } = input
    const sample =
      kind === 'video'
        ? this.#video?.toSample(input)
        : this.#audio?.toSample(input, this.#video?.delayMs ?? 0)
    return sample && { kind, sample }
  }
}

class VideoTimes {
  readonly #originTicks: number
  /** Of the first keyframe, from decode time to presentation. */
  #firstMs: number | undefined
  #lastDts: number

  constructor(originSeconds: number, resume: ClockState | undefined) {
    this.#originTicks = Math.round(originSeconds * videoTimescale)
    this.#firstMs = resume?.firstMs
    this.#lastDts = resume?.lastDts ?? Number.NEGATIVE_INFINITY
  }

  get state(): Pick<ClockState, 'firstMs' | 'lastDts'> {
    if (this.#firstMs === undefined) return {}
    return { firstMs: this.#firstMs, lastDts: this.#lastDts }
  }

  /** What is taken off all times of the run. */
  get delayMs(): number {
    return Math.max(-maxDelayMs, Math.min(maxDelayMs, this.#firstMs ?? 0))
  }

  toSample({ timestampMs, isKeyframe, payload }: InputSample): MediaSample | undefined {
    const read = readVideoTag(payload)
    if ('fault' in read) return undefined
    const { compositionTimeMs, bodyOffset } = read.value
    this.#firstMs ??= compositionTimeMs
    const ticksOf = (ms: number) => this.#originTicks + Math.round(ms * ticksPerMs)
    const runMs = timestampMs - runLeadMs - this.delayMs
    // Two frames of one millisecond, or a step back that was held: decode times must rise all the same.
    const dts = Math.max(ticksOf(runMs + this.#firstMs), this.#lastDts + 1)
    this.#lastDts = dts
    const cts = ticksOf(runMs + compositionTimeMs) - dts
    return { dts, cts, duration: 0, isKeyframe, data: payload.subarray(bodyOffset) }
  }
}

class AudioTimes {
  readonly #originTicks: number
  readonly #ticksPerMs: number
  readonly #frameTicks: number
  #nextTicks: number | undefined
  /** How far the publisher's clock is ahead of the count, smoothed. */
  #driftTicks = 0
  /** Before each of the last sounds. */
  readonly #states: ClockState['audio'][] = []

  constructor(
    { config, sampleRate }: AudioTrack,
    originSeconds: number,
    resume: ClockState['audio'],
  ) {
    this.#nextTicks = resume?.nextTicks
    this.#driftTicks = resume?.driftTicks ?? 0
    const read = readAacConfig(config)
    this.#frameTicks = 'value' in read ? read.value.samplesPerFrame : usualFrameSamples
    this.#originTicks = originSeconds * sampleRate
    this.#ticksPerMs = sampleRate / 1000
  }

  stateBefore(sounds: number): ClockState['audio'] {
    return sounds > 0 ? this.#states.at(-sounds) : this.#state
  }

  get #state(): ClockState['audio'] {
    if (this.#nextTicks === undefined) return undefined
    return { nextTicks: this.#nextTicks, driftTicks: this.#driftTicks }
  }

  toSample({ timestampMs, payload }: InputSample, delayMs: number): MediaSample | undefined {
    this.#states.push(this.#state)
    if (this.#states.length > knownSounds) this.#states.shift()
    const read = readAudioTag(payload)
    if ('fault' in read) return undefined
    const runMs = timestampMs - runLeadMs - delayMs
    const claimed = Math.round(this.#originTicks + runMs * this.#ticksPerMs)
    let dts = this.#nextTicks ?? claimed
    const aheadTicks = claimed - dts
    const toleratedTicks = toleratedFrames * this.#frameTicks
    if (aheadTicks < -toleratedTicks) return undefined
    if (aheadTicks > toleratedTicks) {
      dts = claimed
      this.#driftTicks = 0
    } else {
      this.#driftTicks += (aheadTicks - this.#driftTicks) / driftWindowFrames
    }
    const duration = this.#frameTicks + this.#slip()
    this.#nextTicks = dts + duration
    const data = payload.subarray(read.value.bodyOffset)
    return { dts, cts: 0, duration, isKeyframe: true, data }
  }

  #slip(): number {
    if (Math.abs(this.#driftTicks) <= this.#frameTicks / 2) return 0
    return Math.sign(this.#driftTicks)
  }
}

export function videoConfigOf({ codec, width, height, config }: VideoTrack): VideoTrackConfig {
  return { kind: 'video', timescale: videoTimescale, codec, width, height, config }
}

export function audioConfigOf(track: AudioTrack): AudioTrackConfig {
  const { codec, sampleRate, channels, config } = track
  return { kind: 'audio', timescale: sampleRate, codec, sampleRate, channels, config }
}
