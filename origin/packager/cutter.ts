// Cuts the samples of one rendition of one take into parts and segments, where the take's timeline says.
//
// - A sample waits in the queue until the timeline knows all cuts up to it. A sample of unknown length is *held*
//   until the next one tells.
// - A part closes before a sample that would make it longer than the part target, and at once when one more
//   sample like the last one would: then it is there as soon as its last sample is.
// - Time without media becomes gap parts; a segment without any is a gap.
// - The same samples after the same start give the same parts and the same bytes.

import type { TrackState } from '../../common/contract/resume-point.ts'
import type {
  PackagedPart,
  PackagedRendition,
  PackagedTake,
} from '../../common/live/live-broadcast.ts'
import { writeFragment } from '../../media/mp4/fragment-writer.ts'
import type { MediaSample } from '../../media/mp4/track.ts'
import { addListed, addPart, type CutSegment, listedOf, newSegment } from './cut-segment.ts'
import {
  type Cut,
  middleSeconds,
  openingSeconds,
  type TakeTimeline,
  toleranceSeconds,
} from './take-timeline.ts'

export interface TrackCutterOptions {
  take: PackagedTake
  rendition: PackagedRendition
  timeline: TakeTimeline
  partTargetSeconds: number
  /** Where another packager has left the track. */
  resume: TrackState | undefined
  /** Shared by all takes of the rendition's name. */
  partIds: { next: number }
  /** The segment is whole; it may still be refused. */
  onClosed: (segment: CutSegment) => void
  /** Belongs to the take that comes next. */
  onBeyond: (sample: MediaSample) => void
  onFault: (reason: string) => void
  onChange: () => void
}

/** Picture frames may be reordered over a cut by so much. */
const reorderSeconds = 0.15
/** Less than this is not worth a gap. */
const smallestGapSeconds = 0.05
const aacFrameTicks = 1024
/** Frames per second, until two frames have told. */
const usualRate = 30

export class TrackCutter {
  /** Kept in memory, oldest first. */
  readonly segments: CutSegment[] = []
  readonly #options: TrackCutterOptions
  readonly #timescale: number
  readonly #isAudio: boolean
  readonly #startSeconds: number
  readonly #targetTicks: number
  #queue: MediaSample[] = []
  #queueHead = 0
  #number: number
  #open: CutSegment | undefined
  /** Up to here there are samples in parts, or gaps. */
  #endTicks: number
  #hasMedia = false
  /** Of the first sample that is not shown when it is decoded. */
  #reorderedDts: number | undefined
  #lastDts = Number.NEGATIVE_INFINITY
  #held: MediaSample | undefined
  #frameTicks: number
  #needsKeyframe: boolean
  #part: MediaSample[] = []
  #partStart = 0
  /** As declared: of a sample before a hole only its usual length. */
  #partTicks = 0
  /** As it was before the first sample of the part. */
  #frameTicksBefore = 0
  #isEnding = false
  #isMediaDone = false
  #isDone = false

  constructor(options: TrackCutterOptions) {
    this.#options = options
    this.#timescale = options.rendition.timescale
    this.#isAudio = options.rendition.kind === 'audio'
    this.#needsKeyframe = !this.#isAudio
    this.#targetTicks = Math.floor(options.partTargetSeconds * this.#timescale + 1e-6)
    const { firstNumber, startSeconds } = options.timeline
    this.#number = firstNumber
    this.#startSeconds = startSeconds
    this.#endTicks = this.#ticks(startSeconds)
    this.#frameTicks = this.#isAudio
      ? aacFrameTicks
      : Math.round(this.#timescale / (options.rendition.framesPerSecond || usualRate))
    if (options.resume) this.#resume(options.resume)
  }

  /** Nothing will be added, media or gap. */
  get isDone(): boolean {
    return this.#isDone
  }

  /** There will be no more media. */
  get isMediaDone(): boolean {
    return this.#isMediaDone || (this.#isEnding && this.#queueHead === this.#queue.length)
  }

  /** Of the segment that is open or comes next. */
  get number(): number {
    return this.#number
  }

  /** How far two samples may lie apart that follow each other. */
  get seamTicks(): number {
    return this.#holeTicks
  }

  segment(number: number): CutSegment | undefined {
    const first = this.segments[0]
    return first && this.segments[number - first.number]
  }

  /** Up to here all is listed. */
  get listedEndTicks(): number {
    return this.#part.length > 0 ? this.#partStart : this.#endTicks
  }

  /** Of the newest segment of which something is listed, here or by the packager before. */
  get listedNumber(): number {
    return this.#open ? this.#number : this.#number - 1
  }

  /** Where cutting stands behind the last listed part. */
  state(): TrackState {
    const open = this.#open
    const first = this.#part[0] ?? this.#held
    const nextDts =
      first?.dts ?? (this.#lastDts > Number.NEGATIVE_INFINITY ? this.#lastDts + 1 : undefined)
    return {
      number: this.#number,
      ...(open && { segment: listedOf(open) }),
      endTicks: this.listedEndTicks,
      nextDts,
      frameTicks: this.#part.length > 0 ? this.#frameTicksBefore : this.#frameTicks,
      isReordered: this.#reorderedDts !== undefined && this.#reorderedDts < (nextDts ?? Infinity),
      needsKeyframe: first === undefined && this.#needsKeyframe,
      isMediaDone: this.#isMediaDone,
    }
  }

  /** What comes before is not taken. */
  skipTo(seconds: number): void {
    this.#lastDts = Math.max(this.#lastDts, this.#ticks(seconds) - 1)
  }

  /** Removes closed segments from memory. */
  forgetBelow(number: number): void {
    while (this.segments[0] && this.segments[0].number < number && !this.segments[0].isOpen) {
      this.segments.shift()
    }
  }

  push(sample: MediaSample): void {
    if (this.#isEnding && !this.#isMediaDone) return
    this.#queue.push(sample)
    this.drain()
  }

  /** No more samples come. */
  end(): void {
    this.#isEnding = true
    this.drain()
  }

  /** Goes on as far as the timeline allows. */
  drain(): void {
    while (this.#queueHead < this.#queue.length) {
      const sample = this.#queue[this.#queueHead]!
      if (this.#isMediaDone) {
        this.#options.onBeyond(sample)
      } else {
        if (this.#seconds(sample) > this.#options.timeline.horizonSeconds) break
        this.#take(sample)
        if (this.#isMediaDone) continue
      }
      this.#queueHead++
    }
    if (this.#queueHead === this.#queue.length) {
      this.#queue = []
      this.#queueHead = 0
      if (this.#isEnding && !this.#isMediaDone) this.#runDry()
    } else if (this.#queueHead > 256) {
      this.#queue.splice(0, this.#queueHead)
      this.#queueHead = 0
    }
    if (this.#isMediaDone) this.#addGapSegments()
  }

  #resume(state: TrackState): void {
    const { nextDts, segment } = state
    this.#number = state.number
    this.#endTicks = state.endTicks
    this.#frameTicks = state.frameTicks
    this.#needsKeyframe = state.needsKeyframe
    this.#isMediaDone = state.isMediaDone
    if (state.isReordered) this.#reorderedDts = Number.NEGATIVE_INFINITY
    if (nextDts !== undefined) {
      this.#hasMedia = true
      this.#lastDts = nextDts - 1
    }
    if (!segment) return
    this.#open = this.#newSegment(segment.startTicks)
    addListed(this.#open, segment)
    this.segments.push(this.#open)
  }

  #take(sample: MediaSample): void {
    const { timeline } = this.#options
    if (sample.dts <= this.#lastDts || this.#isBefore(sample)) return
    if (sample.cts !== 0) this.#reorderedDts ??= sample.dts
    const isBeyond = this.#isBeyond(sample)
    let crossed = this.#number
    while (timeline.cut(crossed + 1) && this.#crosses(sample, timeline.cut(crossed + 1)!)) {
      crossed++
    }
    const boundary =
      crossed > this.#number
        ? this.#ticks(timeline.cut(this.#number + 1)!.startSeconds)
        : isBeyond
          ? this.#ticks(timeline.mediaEndSeconds!)
          : undefined
    // A picture may be shown shorter than told, where the media has to end; sound comes in whole frames.
    const isCutShort = isBeyond && !this.#isAudio && boundary !== undefined
    this.#release(isCutShort ? Math.min(sample.dts, boundary) : sample.dts, boundary)
    while (this.#number < crossed) {
      this.#close(this.#ticks(timeline.cut(this.#number + 1)!.startSeconds))
      if (!this.#isAudio && this.#number === crossed && !sample.isKeyframe) {
        if (!isBeyond) this.#options.onFault(`no keyframe where segment ${crossed} begins`)
        this.#needsKeyframe = true
      }
    }
    if (isBeyond) this.#finishMedia()
    if (isBeyond || (this.#needsKeyframe && !sample.isKeyframe)) return
    this.#needsKeyframe = false
    this.#lastDts = sample.dts
    // An encoder says how long it showed a picture before a hole: that is more than a part may hold.
    const isKnown = sample.duration > 0 && sample.duration <= this.#targetTicks
    if (isKnown) this.#place(sample, sample.duration, sample.duration)
    else this.#held = sample
  }

  /** Gives the held sample its length, now that the next one tells; not over the boundary across a hole. */
  #release(nextDts: number, boundary: number | undefined): void {
    const held = this.#held
    if (!held) return
    this.#held = undefined
    const step = Math.max(1, nextDts - held.dts)
    if (step <= this.#targetTicks) {
      this.#place(held, step, step)
      return
    }
    const usual = Math.min(this.#frameTicks, this.#targetTicks)
    const length = boundary === undefined ? step : Math.min(step, boundary - held.dts)
    this.#place(held, Math.max(length, 1), Math.max(1, Math.min(usual, length)))
    // Only what the sample stands still for is a gap here; what is behind the boundary comes later.
    if (length > usual) this.#addGapParts(held.dts + length)
  }

  #place(sample: MediaSample, ticks: number, declaredTicks: number): void {
    const lead = sample.dts - this.#endTicks
    if (!this.#hasMedia && this.#part.length === 0 && !this.#open) {
      if (lead > this.#holeTicks) this.#addGapParts(sample.dts)
      this.#endTicks = sample.dts
    } else if (lead > this.#holeTicks) {
      this.#addGapParts(sample.dts)
    } else if (lead !== 0) {
      this.#absorb(lead)
      this.#endTicks = sample.dts
    }
    this.#hasMedia = true
    if (this.#part.length > 0 && this.#partTicks + declaredTicks > this.#targetTicks) {
      this.#closePart()
    }
    if (this.#part.length === 0) {
      this.#partStart = sample.dts
      this.#frameTicksBefore = this.#frameTicks
    }
    this.#part.push(sample.duration === ticks ? sample : { ...sample, duration: ticks })
    this.#partTicks += declaredTicks
    this.#endTicks = sample.dts + declaredTicks
    if (ticks === declaredTicks) this.#frameTicks = ticks
    if (this.#partTicks + declaredTicks > this.#targetTicks || ticks !== declaredTicks) {
      this.#closePart()
    }
  }

  /** Times that do not quite meet: the sample before gets the difference, or a new part begins. */
  #absorb(lead: number): void {
    const last = this.#part.at(-1)
    if (!last) return
    const length = last.duration + lead
    if (length > 0 && this.#partTicks + lead <= this.#targetTicks) {
      this.#part[this.#part.length - 1] = { ...last, duration: length }
      this.#partTicks += lead
    } else {
      this.#closePart()
    }
  }

  #closePart(): void {
    const first = this.#part[0]
    if (!first) return
    const { rendition, partIds } = this.#options
    const segment = this.#openSegment(this.#partStart)
    const id = partIds.next++
    const { bytes, firstSampleEnd } = writeFragment({
      sequenceNumber: id,
      trackId: rendition.track.trackId,
      samples: this.#part,
    })
    if (segment.parts.length === 0 && first.isKeyframe && !this.#isAudio) {
      segment.keyframeBytes = firstSampleEnd
    }
    this.#addPart(segment, {
      id,
      startTicks: this.#partStart,
      durationTicks: this.#partTicks,
      isIndependent: first.isKeyframe,
      isGap: false,
      bytes,
    })
    this.#part = []
    this.#partTicks = 0
  }

  #addGapParts(untilTicks: number): void {
    this.#closePart()
    while (this.#endTicks < untilTicks) {
      const startTicks = this.#endTicks
      const durationTicks = Math.min(this.#targetTicks, untilTicks - startTicks)
      this.#addPart(this.#openSegment(startTicks), {
        id: this.#options.partIds.next++,
        startTicks,
        durationTicks,
        isIndependent: false,
        isGap: true,
        bytes: Buffer.alloc(0),
      })
      this.#endTicks += durationTicks
    }
  }

  #addPart(segment: CutSegment, part: PackagedPart): void {
    addPart(segment, part)
    this.#options.onChange()
  }

  #openSegment(startTicks: number): CutSegment {
    if (!this.#open) {
      this.#open = this.#newSegment(startTicks)
      this.segments.push(this.#open)
    }
    return this.#open
  }

  #newSegment(startTicks: number): CutSegment {
    const { take, rendition } = this.#options
    return newSegment({ number: this.#number, take, rendition, startTicks })
  }

  /** `isLast`: no media follows that could begin where this ends, so that a missing picture is made up for here. */
  #close(boundaryTicks: number, isLast = false): void {
    this.#closePart()
    const segment = this.#open ?? this.#gapSegment(boundaryTicks)
    const leastTicks =
      isLast && !this.#isAudio ? smallestGapSeconds * this.#timescale : this.#holeTicks
    if (this.#open && boundaryTicks - this.#endTicks > leastTicks) {
      this.#addGapParts(boundaryTicks)
    }
    segment.isOpen = false
    this.#open = undefined
    this.#number++
    if (segment.parts.length > 0 && segment.sizeBytes === 0) this.#empty(segment)
    this.#options.onClosed(segment)
    this.#options.onChange()
  }

  #gapSegment(untilTicks: number): CutSegment {
    const segment = this.#newSegment(this.#endTicks)
    segment.isGap = true
    segment.durationTicks = Math.max(1, untilTicks - this.#endTicks)
    this.#endTicks += segment.durationTicks
    this.segments.push(segment)
    return segment
  }

  /** All its parts are gaps, so that it is one. */
  #empty(segment: CutSegment): void {
    segment.isGap = true
    segment.parts = []
  }

  /** No more samples come, but the take goes on. */
  #runDry(): void {
    const { timeline } = this.#options
    const held = this.#held
    if (held) {
      this.#held = undefined
      const usual = Math.min(this.#frameTicks, this.#targetTicks)
      const rest = this.#ticks(timeline.mediaEndSeconds ?? 0) - held.dts
      const length = rest > 0 && rest <= 2 * usual ? rest : usual
      this.#place(held, length, length)
    }
    for (;;) {
      const cut = timeline.cut(this.#number + 1)
      if (!cut || cut.gapEndSeconds !== undefined) break
      this.#close(this.#ticks(cut.startSeconds), true)
    }
    if (timeline.mediaEndSeconds !== undefined) {
      this.#finishMedia()
      return
    }
    this.#closePart()
    const horizon = this.#ticks(timeline.horizonSeconds)
    while (this.#open && this.#endTicks + this.#targetTicks <= horizon) {
      this.#addGapParts(this.#endTicks + this.#targetTicks)
    }
  }

  #finishMedia(): void {
    const { timeline } = this.#options
    const end = this.#ticks(timeline.mediaEndSeconds!)
    for (;;) {
      const cut = timeline.cut(this.#number + 1)
      if (!cut || cut.gapEndSeconds !== undefined) break
      this.#close(this.#ticks(cut.startSeconds), true)
    }
    const isLastCut = timeline.cut(this.#number)?.gapEndSeconds === undefined
    if (isLastCut && timeline.cut(this.#number)) this.#close(end, true)
    this.#isMediaDone = true
  }

  #addGapSegments(): void {
    const { timeline } = this.#options
    for (;;) {
      const end = timeline.cut(this.#number)?.gapEndSeconds
      if (end === undefined) break
      this.#close(this.#ticks(end))
    }
    this.#isDone = timeline.isFinal
  }

  /** Time that the sample's fate hangs on. */
  #seconds(sample: MediaSample): number {
    if (this.#isAudio) return middleSeconds(sample, this.#timescale, this.#frameTicks)
    return Math.max(openingSeconds(sample, this.#timescale), sample.dts / this.#timescale)
  }

  #crosses(sample: MediaSample, cut: Cut): boolean {
    if (cut.gapEndSeconds !== undefined) return false
    if (this.#isAudio) {
      return middleSeconds(sample, this.#timescale, this.#frameTicks) >= cut.startSeconds
    }
    // Before the keyframe of a cut there may be frames that are decoded after its time, if frames are reordered.
    const early =
      sample.isKeyframe || this.#reorderedDts === undefined ? toleranceSeconds : -reorderSeconds
    return openingSeconds(sample, this.#timescale) >= cut.startSeconds - early
  }

  #isBefore(sample: MediaSample): boolean {
    const { firstNumber } = this.#options.timeline
    if (this.#hasMedia || this.#held || this.#number !== firstNumber) return false
    return this.#seconds(sample) < this.#startSeconds - (this.#isAudio ? 0 : toleranceSeconds)
  }

  #isBeyond(sample: MediaSample): boolean {
    const end = this.#options.timeline.mediaEndSeconds
    if (end === undefined) return false
    if (this.#isAudio) return middleSeconds(sample, this.#timescale, this.#frameTicks) >= end
    return this.#seconds(sample) >= end - toleranceSeconds
  }

  get #holeTicks(): number {
    return Math.max(1.5 * this.#frameTicks, smallestGapSeconds * this.#timescale)
  }

  #ticks(seconds: number): number {
    return Math.round(seconds * this.#timescale)
  }
}
