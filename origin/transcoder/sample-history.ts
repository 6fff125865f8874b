// The newest samples that went into an encoder: what another one must be fed to take over from it.
//
// Rules:
// - What a resume needs is kept: from the last keyframe at or before the earliest picture that is still to come, and
//   sound from a little before its own.
// - It is bounded in bytes and time. What goes beyond is lost from its oldest keyframe on, and a resume that needs
//   it is told so.
import type { MediaSample } from '../../media/mp4/track.ts'

export interface KeptSample {
  kind: 'video' | 'audio'
  sample: MediaSample
  /** Presentation time. */
  ticks: number
  seconds: number
}

/** The first times that are still to come; `-Infinity`: all of them. */
export interface ResumePoint {
  videoTicks: number
  audioSeconds: number
}

export interface HistoryLimits {
  bytes: number
  seconds: number
}

/** A decoder's first frames of sound are not whole. */
const audioLeadSeconds = 0.25
const longestStepSeconds = 1

export class SampleHistory {
  readonly #limits: HistoryLimits
  #kept: KeptSample[] = []
  #bytes = 0
  #seconds = 0
  /** After a loss nothing is kept before the next keyframe. */
  #awaitsKeyframe = false
  #hasLost = false
  #leastCts = 0

  constructor(limits: HistoryLimits) {
    this.#limits = limits
  }

  get samples(): readonly KeptSample[] {
    return this.#kept
  }

  get bytes(): number {
    return this.#bytes
  }

  /** The smallest composition offset so far: no later picture is shown earlier than its decode time plus this. */
  get leastCts(): number {
    return this.#leastCts
  }

  /** Answers false when something had to be given up for it. */
  push(kind: 'video' | 'audio', sample: MediaSample, ticksPerSecond: number): boolean {
    if (kind === 'video') {
      this.#leastCts = Math.min(this.#leastCts, sample.cts)
      if (this.#awaitsKeyframe && !sample.isKeyframe) return true
      this.#awaitsKeyframe = false
    }
    const ticks = sample.dts + sample.cts
    const kept = { kind, sample, ticks, seconds: ticks / ticksPerSecond }
    this.#seconds += step(this.#kept.at(-1), kept)
    this.#bytes += sample.data.length
    this.#kept.push(kept)
    return this.#keepLimits()
  }

  /** Forgets what a resume there does not need. */
  forgetBefore(point: ResumePoint): void {
    const start = this.#startOf(point.videoTicks)
    if (start === undefined || (start === 0 && this.#kept[0]?.kind === 'video')) return
    this.#keep((it, index) => index >= start || isNeededSound(it, point))
  }

  /** What is fed to resume there, in order; undefined when it is lost. */
  since(point: ResumePoint): KeptSample[] | undefined {
    const start = this.#startOf(point.videoTicks)
    if (start === undefined) return undefined
    return this.#kept.filter((it, index) => index >= start || isNeededSound(it, point))
  }

  #startOf(videoTicks: number): number | undefined {
    const start = this.#kept.findLastIndex((it) => isKeyframe(it) && it.ticks <= videoTicks)
    if (start >= 0) return start
    if (this.#hasLost) return undefined
    // Nothing was shown before the first keyframe; where there are no pictures the sound alone decides.
    const first = this.#kept.findIndex(isKeyframe)
    return first >= 0 ? first : this.#kept.length
  }

  #keepLimits(): boolean {
    let isWhole = true
    while (this.#bytes > this.#limits.bytes || this.#seconds > this.#limits.seconds) {
      const next = this.#kept.findIndex((it, index) => index > 0 && isKeyframe(it))
      const hasVideo = this.#kept.some((it) => it.kind === 'video')
      if (hasVideo) {
        isWhole = false
        this.#hasLost = true
        this.#awaitsKeyframe = next < 0
      }
      const start = next >= 0 ? next : hasVideo ? this.#kept.length : 1
      this.#keep((_, index) => index >= start)
    }
    return isWhole
  }

  #keep(isKept: (sample: KeptSample, index: number) => boolean): void {
    this.#kept = this.#kept.filter(isKept)
    this.#bytes = 0
    this.#seconds = 0
    this.#kept.forEach((it, index) => {
      this.#bytes += it.sample.data.length
      this.#seconds += step(this.#kept[index - 1], it)
    })
  }
}

/** Time that is held between the two; pictures that were left out are not. */
function step(before: KeptSample | undefined, after: KeptSample): number {
  const seconds = before ? after.seconds - before.seconds : 0
  return seconds < longestStepSeconds ? seconds : 0
}

function isKeyframe({ kind, sample }: KeptSample): boolean {
  return kind === 'video' && sample.isKeyframe
}

function isNeededSound({ kind, seconds }: KeptSample, { audioSeconds }: ResumePoint): boolean {
  return kind === 'audio' && seconds >= audioSeconds - audioLeadSeconds
}
