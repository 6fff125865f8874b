// Looks at what a publisher sends and says what its encoder could do better. It never refuses: that is the input
// check's to do. Times are those of the media, so that a backlog that comes faster than it happened reads the same.
import type { Finding } from '../../common/contract/placement.ts'
import { readAacConfig } from '../../media/codec/aac.ts'
import { readX264Settings } from '../../media/codec/avc-user-data.ts'
import { readVideoTag } from '../../media/flv/video-tag.ts'
import { ClockTrend } from './clock-trend.ts'
import type { InputTracks } from './input-check.ts'
import type { InputSample, RunReason } from './input-reader.ts'
import { isSteady, type RateControl, RateWindows, rateControlOf } from './rate-windows.ts'

export type DoctorSample = Pick<InputSample, 'kind' | 'timestampMs' | 'isKeyframe' | 'payload'>

export interface DoctorRun {
  tracks: InputTracks
  reason: RunReason
  /** From the first sample of the run before; undefined where nobody knows. */
  sinceLastMs: number | undefined
}

const minuteMs = 60_000
/** Advised are 2 s; beyond this the first picture comes late. */
const mostKeyframeMs = 4_000
const keyframeToleranceMs = 100
const framesPerLook = 150
const mostDriftPerMinuteMs = 50
const leastGapMs = 500
/** Of a few pictures a second each step is large. */
const gapInFrames = 5
/** A pause shows in both tracks, and in the run that ends with it. */
const sameGapMs = 2_000
const usualFrameSamples = 1_024
const toleratedAudioStepMs = 100

export class StreamDoctor {
  readonly #windows = new RateWindows()
  /** Sound against picture, as they arrive. */
  readonly #interleave = new ClockTrend()
  /** Sound's timestamps against the sound that is there. */
  readonly #audioClock = new ClockTrend()
  #keyframes: { atMs: number; intervalMs: number }[] = []
  #gaps: { atMs: number; lengthMs: number }[] = []
  #nalLengthBytes = 4
  #audioFrameMs = 0
  #saidRateControl: RateControl | undefined
  #isSettingsRead = false
  /** What is added to the times of a run, so that they go on from those of the run before. */
  #offsetMs = 0
  #endMs = 0
  #lastKeyframeMs: number | undefined
  #lastMs: { audio?: number; video?: number } = {}
  #frameMs = 0
  #audioAnchor: { atMs: number; frames: number } | undefined
  #composition = { frames: 0, leastMs: 0, mostMs: 0 }
  #reorderMs = 0

  /** A run's samples follow; their times count from its first one. */
  beginRun({ tracks, reason, sinceLastMs }: DoctorRun): void {
    this.#offsetMs = sinceLastMs === undefined ? this.#endMs : this.#offsetMs + sinceLastMs
    if (reason === 'jump' || reason === 'silent') {
      this.#noteGap(this.#endMs, Math.max(0, this.#offsetMs - this.#endMs))
    }
    // ISO/IEC 14496-15 §5.3.3.1: lengthSizeMinusOne.
    if (tracks.video) this.#nalLengthBytes = ((tracks.video.config[4] ?? 3) & 3) + 1
    if (tracks.audio) {
      const read = readAacConfig(tracks.audio.config)
      const samples = 'value' in read ? read.value.samplesPerFrame : usualFrameSamples
      this.#audioFrameMs = (samples * 1_000) / tracks.audio.sampleRate
    }
    this.#lastMs = {}
    this.#lastKeyframeMs = undefined
    this.#audioAnchor = undefined
    this.#windows.breakOff()
    this.#interleave.reset()
    this.#audioClock.reset()
  }

  add(sample: DoctorSample): void {
    const atMs = this.#offsetMs + sample.timestampMs
    this.#watchGap(sample.kind, atMs)
    if (sample.kind === 'video') this.#addVideo(sample, atMs)
    else this.#addAudio(atMs)
    this.#lastMs[sample.kind] = atMs
    this.#endMs = Math.max(this.#endMs, atMs)
  }

  /** What is true of the last minute; in a fixed order. */
  get findings(): Finding[] {
    const since = this.#endMs - minuteMs
    this.#keyframes = this.#keyframes.filter(({ atMs }) => atMs >= since)
    this.#gaps = this.#gaps.filter(({ atMs }) => atMs >= since)
    return [
      this.#keyframeFinding(),
      this.#reorderFinding(),
      this.#jitterFinding(),
      this.#driftFinding(),
      this.#gapFinding(),
      this.#rateControlFinding(),
    ].filter((finding) => finding !== undefined)
  }

  #addVideo({ isKeyframe, payload }: DoctorSample, atMs: number): void {
    this.#windows.add(atMs, payload.length, isKeyframe)
    if (this.#lastMs.audio !== undefined) this.#interleave.add(atMs, this.#lastMs.audio - atMs)
    const read = readVideoTag(payload)
    if (!('fault' in read)) {
      this.#watchOrder(read.value.compositionTimeMs)
      if (isKeyframe) this.#readSettings(payload.subarray(read.value.bodyOffset))
    }
    if (!isKeyframe) return
    if (this.#lastKeyframeMs !== undefined) {
      this.#keyframes.push({ atMs, intervalMs: atMs - this.#lastKeyframeMs })
    }
    this.#lastKeyframeMs = atMs
  }

  #addAudio(atMs: number): void {
    const anchor = this.#audioAnchor
    const stepMs = atMs - (this.#lastMs.audio ?? atMs)
    if (!anchor || stepMs > this.#audioFrameMs + toleratedAudioStepMs) {
      this.#audioAnchor = { atMs, frames: 0 }
      this.#audioClock.reset()
      return
    }
    anchor.frames++
    this.#audioClock.add(atMs, atMs - anchor.atMs - anchor.frames * this.#audioFrameMs)
  }

  /** x264 writes its settings once, before its first picture. */
  #readSettings(frame: Buffer): void {
    if (this.#isSettingsRead) return
    this.#isSettingsRead = true
    const settings = readX264Settings(frame, this.#nalLengthBytes)
    this.#saidRateControl = settings && rateControlOf(settings)
  }

  /** Pictures that are shown in another order than they come differ in how long they wait. */
  #watchOrder(compositionMs: number): void {
    const { frames, leastMs, mostMs } = this.#composition
    if (frames === 0) {
      this.#composition = { frames: 1, leastMs: compositionMs, mostMs: compositionMs }
      return
    }
    const now = {
      frames: frames + 1,
      leastMs: Math.min(leastMs, compositionMs),
      mostMs: Math.max(mostMs, compositionMs),
    }
    const isOver = now.frames >= framesPerLook
    const reorderMs = now.mostMs - now.leastMs
    this.#reorderMs = isOver ? reorderMs : Math.max(this.#reorderMs, reorderMs)
    this.#composition = isOver ? { frames: 0, leastMs: 0, mostMs: 0 } : now
  }

  #watchGap(kind: 'audio' | 'video', atMs: number): void {
    const last = this.#lastMs[kind]
    if (last === undefined) return
    const stepMs = atMs - last
    const usualMs = kind === 'video' ? this.#frameMs : this.#audioFrameMs
    if (stepMs > Math.max(leastGapMs, gapInFrames * usualMs)) this.#noteGap(last, stepMs)
    else if (kind === 'video') this.#frameMs += (stepMs - this.#frameMs) / 16
  }

  #noteGap(atMs: number, lengthMs: number): void {
    // Between a track that waits and one that went on lies the pause, no drift.
    this.#interleave.reset()
    const last = this.#gaps.at(-1)
    if (last && atMs - last.atMs <= last.lengthMs + sameGapMs) {
      last.lengthMs = Math.max(last.lengthMs, lengthMs)
      return
    }
    this.#gaps.push({ atMs, lengthMs })
  }

  #keyframeFinding(): Finding | undefined {
    const openMs = this.#endMs - (this.#lastKeyframeMs ?? this.#endMs)
    const longestMs = Math.max(openMs, ...this.#keyframes.map(({ intervalMs }) => intervalMs))
    if (longestMs <= mostKeyframeMs + keyframeToleranceMs) return undefined
    const seconds = round(longestMs / 1_000, 1)
    return warning(
      'keyframes-far',
      seconds,
      `Keyframes are ${seconds} s apart. Set the keyframe interval to 2 s.`,
    )
  }

  #reorderFinding(): Finding | undefined {
    if (this.#reorderMs <= 0) return undefined
    return warning(
      'b-frames',
      this.#reorderMs,
      `B-frames hold the picture back by ${this.#reorderMs} ms. Set them to 0 for low latency.`,
    )
  }

  #jitterFinding(): Finding | undefined {
    const { spread } = this.#windows
    if (!spread || isSteady(spread)) return undefined
    const ratio = round(spread.peak / spread.mean, 1)
    return warning(
      'bitrate-jitter',
      ratio,
      `The bitrate peaks at ${ratio} times its mean. A constant bitrate (CBR) gets through narrow links.`,
    )
  }

  #driftFinding(): Finding | undefined {
    const drifts = [this.#interleave.perMinuteMs, this.#audioClock.perMinuteMs]
    const drift = drifts.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a))
    if (Math.abs(drift) < mostDriftPerMinuteMs) return undefined
    const ms = Math.round(drift)
    return warning(
      'av-drift',
      ms,
      `Sound and picture run apart by ${Math.abs(ms)} ms a minute. Use one clock for both: the same device, or the same sample rate everywhere.`,
    )
  }

  #gapFinding(): Finding | undefined {
    const count = this.#gaps.length
    if (count === 0) return undefined
    const longest = round(Math.max(...this.#gaps.map(({ lengthMs }) => lengthMs)) / 1_000, 1)
    return warning(
      'clock-gap',
      count,
      `The clock of the stream jumped ${count === 1 ? 'once' : `${count} times`} in a minute, by up to ${longest} s. Is the encoder overloaded, or its network too slow?`,
    )
  }

  #rateControlFinding(): Finding | undefined {
    const said = this.#saidRateControl
    const value = said ?? this.#windows.rateControl
    if (!value) return undefined
    const sentence = said
      ? `The encoder says ${said}: ${rateControlWords[said]}`
      : value === 'CBR'
        ? 'The bitrate is as steady as with CBR.'
        : 'The bitrate varies, as with VBR, ABR or CRF.'
    return { code: 'rate-control', value, isWarning: value === 'CRF', sentence }
  }
}

const rateControlWords: Record<RateControl, string> = {
  CBR: 'a constant bitrate, as it should be.',
  VBR: 'a bitrate that varies up to a bound.',
  ABR: 'a bitrate that is held on average only; busy scenes go far above it.',
  CRF: 'a constant quality, whatever bitrate that takes. Set a constant bitrate (CBR).',
}

function warning(code: Finding['code'], value: number, sentence: string): Finding {
  return { code, value, isWarning: true, sentence }
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits))
}
