// Where the segments of one take are cut: the leader's samples go by, and every rendition follows.
//
// - A cut is an instant in seconds, decided when the leader's sample that opens the segment arrives. All cuts up
//   to the *horizon* are known, so a follower's sample waits until the horizon has passed it. What is cut where
//   depends on the samples alone, not on the order in which renditions deliver them.
// - Cuts number the segments, without holes. Behind the end of the media there may be gap cuts, until the next
//   take begins.
import type { TimelineState } from '../../common/contract/resume-point.ts'
import type { MediaSample } from '../../media/mp4/track.ts'

export interface Cut {
  number: number
  startSeconds: number
  /** Of a gap, which is whole from the start; a segment ends where the next cut, or the media, is. */
  gapEndSeconds?: number | undefined
}

export type Cutting = 'source-keyframes' | 'own-keyframes' | 'audio'

/** Where our own keyframes lie that are made to cut at; in the leader's ticks. */
export interface KeyframeGrid {
  firstTicks: number
  everyTicks: number
  /** A picture so much before a line is behind it. */
  toleranceTicks: number
}

export interface TimelineOptions {
  cutting: Cutting
  /** Of the leader. */
  timescale: number
  segmentSeconds: number
  partTargetSeconds: number
  targetDurationSeconds: number
  isRegular: boolean
  /** Of segment `firstNumber`: where the grid begins. */
  startSeconds: number
  firstNumber: number
  /** No other keyframe cuts: an encoder that was begun anew makes one where it begins. */
  grid?: KeyframeGrid | undefined
}

export type LeaderVerdict =
  /** Belongs to the take; may have cut. */
  | 'goes-on'
  /** The take has ended before this sample, and a take of the same making may begin with it. */
  | 'splits'
  /** The same, but it begins with the next sample that can open a segment. */
  | 'breaks'
  /** No keyframe came in time: the take has ended before this sample. */
  | 'overdue'
  /** The take had to end here. */
  | 'ended'

/** A keyframe this early still cuts. */
export const earlySeconds = 0.1
/** How exactly a follower's keyframe meets the cut; two frames never lie this close. */
export const toleranceSeconds = 0.002
/** A segment may be so much longer than the target duration: it is rounded, and sound cuts a frame later. */
export const roundingSeconds = 0.45
/** Of `segmentSeconds`. */
const maxDeviation = 0.25

export class TakeTimeline {
  readonly #options: TimelineOptions
  /** Of numbers that step by one. */
  readonly #cuts: Cut[] = []
  #horizon = Number.NEGATIVE_INFINITY
  #mediaEndSeconds: number | undefined
  #isFinal = false
  #last: { dts: number; duration: number } | undefined
  #frameTicks = 0

  /** Begins with the leader's next sample, or goes on from a state. */
  constructor(options: TimelineOptions, state?: TimelineState) {
    this.#options = options
    if (!state) {
      this.#cuts.push({ number: options.firstNumber, startSeconds: options.startSeconds })
      return
    }
    this.#cuts.push(...state.cuts)
    this.#last = state.last
    this.#frameTicks = state.frameTicks
    this.#mediaEndSeconds = state.mediaEndSeconds
    this.#isFinal = state.isFinal
    if (state.mediaEndSeconds !== undefined) this.#horizon = Number.POSITIVE_INFINITY
    else if (state.horizonSeconds !== undefined) this.#horizon = state.horizonSeconds
  }

  /** What its successor in another process needs, for segments from that number on. */
  state(fromNumber: number): TimelineState {
    const cuts = this.#cuts.filter((it) => it.number >= fromNumber)
    return {
      firstNumber: this.firstNumber,
      startSeconds: this.startSeconds,
      isRegular: this.isRegular,
      cuts: cuts.length > 0 ? cuts : this.#cuts.slice(-1),
      ...(this.#last && { last: { dts: this.#last.dts, duration: this.#last.duration } }),
      ...(Number.isFinite(this.#horizon) && { horizonSeconds: this.#horizon }),
      frameTicks: this.#frameTicks,
      mediaEndSeconds: this.#mediaEndSeconds,
      isFinal: this.#isFinal,
    }
  }

  get startSeconds(): number {
    return this.#options.startSeconds
  }

  get firstNumber(): number {
    return this.#options.firstNumber
  }

  get isRegular(): boolean {
    return this.#options.isRegular
  }

  /** All cuts up to here are known. */
  get horizonSeconds(): number {
    return this.#horizon
  }

  /** Where the media ends, as soon as that is known. */
  get mediaEndSeconds(): number | undefined {
    return this.#mediaEndSeconds
  }

  /** No cut will be added any more. */
  get isFinal(): boolean {
    return this.#isFinal
  }

  get nextNumber(): number {
    return this.#cuts.at(-1)!.number + 1
  }

  /** Of what is known to be in it: the last sample with the length that it probably has. */
  get endSeconds(): number {
    const gapEnd = this.#cuts.at(-1)!.gapEndSeconds
    if (gapEnd !== undefined) return gapEnd
    if (this.#mediaEndSeconds !== undefined) return this.#mediaEndSeconds
    const last = this.#last
    if (!last) return this.#cuts.at(-1)!.startSeconds
    return (last.dts + (last.duration || this.#frameTicks)) / this.#options.timescale
  }

  cut(number: number): Cut | undefined {
    return this.#cuts[number - this.#cuts[0]!.number]
  }

  /** Segments below that number are closed in every rendition. */
  forgetBelow(number: number): void {
    while (this.#cuts.length > 1 && this.#cuts[0]!.number < number) this.#cuts.shift()
  }

  decide(sample: MediaSample): LeaderVerdict {
    if (this.#mediaEndSeconds !== undefined) return 'ended'
    const { cutting, timescale, segmentSeconds, partTargetSeconds } = this.#options
    const cut = this.#cuts.at(-1)!
    const last = this.#last
    const isAudio = cutting === 'audio'
    const dtsSeconds = sample.dts / timescale
    const seconds = openingSeconds(sample, timescale)
    if (!last) {
      this.#advance(sample, seconds)
      return 'goes-on'
    }
    const stepTicks = sample.dts - last.dts
    if (stepTicks <= 0) return 'goes-on'
    const frameSeconds = this.#frameTicks / timescale
    const isHole = stepTicks > partTargetSeconds * timescale
    // What the segment lasts if this sample does not belong to it.
    const elapsed = dtsSeconds - cut.startSeconds
    const limit = this.#options.targetDurationSeconds + roundingSeconds
    if (isHole && elapsed > limit) {
      this.endMedia((last.dts + (last.duration || this.#frameTicks)) / timescale)
      return 'breaks'
    }
    const index = cut.number + 1 - this.firstNumber
    const gridSeconds = this.startSeconds + index * segmentSeconds
    const mayCut = isAudio
      ? middleSeconds(sample, timescale, stepTicks) >= gridSeconds
      : sample.isKeyframe &&
        seconds - cut.startSeconds >= segmentSeconds - earlySeconds &&
        this.#isOnGrid(sample.dts, last.dts) &&
        stepTicks > toleranceSeconds * timescale
    if (mayCut && elapsed <= limit) {
      const cutSeconds = isAudio && !isHole ? gridSeconds : seconds
      if (this.isRegular && Math.abs(cutSeconds - gridSeconds) > maxDeviation * segmentSeconds) {
        this.endMedia(cutSeconds)
        return 'splits'
      }
      this.#cuts.push({ number: cut.number + 1, startSeconds: cutSeconds })
    } else if (elapsed + frameSeconds > limit) {
      this.endMedia(dtsSeconds)
      return 'overdue'
    }
    if (!isHole) this.#frameTicks = stepTicks
    this.#advance(sample, seconds)
    return 'goes-on'
  }

  /** No sample of the leader comes any more, or none that counts. */
  endMedia(atSeconds = this.endSeconds): void {
    if (this.#mediaEndSeconds !== undefined) return
    const { startSeconds } = this.#cuts.at(-1)!
    const latest = startSeconds + this.#options.targetDurationSeconds + roundingSeconds
    this.#mediaEndSeconds = Math.min(Math.max(atSeconds, startSeconds), latest)
    this.#horizon = Number.POSITIVE_INFINITY
  }

  /** Ends the media there, and takes back the cuts of segments above that number, of which nothing is listed. */
  endListed(atSeconds: number, lastNumber: number): void {
    while (this.#cuts.length > 1 && this.#cuts.at(-1)!.number > lastNumber) this.#cuts.pop()
    this.endMedia(atSeconds)
  }

  /** Behind the media; the next one starts where this ends. */
  addGap(endSeconds: number): void {
    const startSeconds = this.endSeconds
    this.#cuts.push({ number: this.nextNumber, startSeconds, gapEndSeconds: endSeconds })
  }

  finish(): void {
    this.#isFinal = true
  }

  /** The first picture behind a line of the grid. */
  #isOnGrid(dts: number, lastDts: number): boolean {
    const { grid } = this.#options
    if (!grid) return true
    const { firstTicks, everyTicks, toleranceTicks } = grid
    const cellOf = (ticks: number) => Math.floor((ticks - firstTicks + toleranceTicks) / everyTicks)
    return cellOf(dts) > cellOf(lastDts)
  }

  #advance(sample: MediaSample, seconds: number): void {
    if (this.#frameTicks === 0) this.#frameTicks = sample.duration
    this.#last = sample
    const decoded = sample.dts / this.#options.timescale
    const frameSeconds = this.#frameTicks / this.#options.timescale
    const reached =
      this.#options.cutting === 'audio' ? decoded + frameSeconds : Math.max(seconds, decoded)
    this.#horizon = Math.max(this.#horizon, reached)
  }
}

/** Where a segment begins that opens with this sample: keyframes count by presentation, the rest as decoded. */
export function openingSeconds(sample: MediaSample, timescale: number): number {
  return (sample.isKeyframe ? sample.dts + sample.cts : sample.dts) / timescale
}

export function middleSeconds(sample: MediaSample, timescale: number, usualTicks: number): number {
  return (sample.dts + (sample.duration || usualTicks) / 2) / timescale
}
