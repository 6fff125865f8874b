// One take inside the packager: its plan, its timeline once it has begun, and its renditions.

import type { OpenTake, TimelineState, TrackState } from '../../common/contract/resume-point.ts'
import type {
  LiveSettings,
  PackagedRendition,
  PackagedSegment,
  PackagedTake,
} from '../../common/live/live-broadcast.ts'
import type { InitTrack } from '../../media/mp4/init-section.ts'
import type { MediaSample } from '../../media/mp4/track.ts'
import type { CutSegment } from './cut-segment.ts'
import type { TrackCutter } from './cutter.ts'
import { roundedRate } from './grid.ts'
import { type Cutting, type KeyframeGrid, TakeTimeline } from './take-timeline.ts'

export interface PlannedRendition {
  name: string
  kind: 'video' | 'audio'
  isSource: boolean
  nominalBitsPerSecond: number
}

export interface TakePlan {
  name: string
  number: number
  epoch: number
  renditions: readonly PlannedRendition[]
  /** Name of the rendition that decides where segments are cut. */
  leader: string
  cutting: Cutting
  /** Of the picture, as far as it is known. */
  framesPerSecond?: number | undefined
  /** The same encoders go on: what they deliver to the take before and lies behind its end belongs to this one. */
  continues?: boolean | undefined
  /** Where the keyframes are our own: only those of the grid cut. */
  grid?: KeyframeGrid | undefined
}

export interface Track {
  plan: PlannedRendition
  rendition: PackagedRendition | undefined
  /** Once the take has begun, the init section is known, and the take before is through with the name. */
  cutter: TrackCutter | undefined
  /** Came before the cutter. */
  early: MediaSample[]
  /** No more samples come. */
  isOver: boolean
  /** Where another packager has left it. */
  resume: TrackState | undefined
  /** Its init section is that of another packager: the encoders that go on have yet to bring theirs. */
  isUnproven: boolean
}

/** Where a take begins. */
export interface Beginning {
  startSeconds: number
  firstNumber: number
  isRegular: boolean
}

/** A leader's first frames measure its rate. */
const measuredFrames = 48

export class TakeState {
  plan: TakePlan
  readonly fromSeconds: number
  readonly public: PackagedTake
  readonly tracks = new Map<string, Track>()
  readonly leader: Track
  timeline: TakeTimeline | undefined
  /** Of the leader, before the take has begun. */
  undecided: MediaSample[] = []
  /** The take that comes next begins here. */
  endAtSeconds: number | undefined
  /** Takes over by itself, with the same encoders. */
  successor: TakeState | undefined
  /** Was planned to go on where this one ends. */
  continuedBy: TakeState | undefined
  /** Of which it goes on with the encoders. */
  continuationOf: TakeState | undefined
  isClosing = false
  isDiscarded = false
  /** Among the takes of the broadcast that have published. */
  ordinal = 0
  #rateFrames = 0
  #rateFrom = 0
  /** For names that this take cannot serve. */
  readonly #twins = new WeakMap<CutSegment, Map<string, PackagedSegment>>()

  constructor(plan: TakePlan, fromSeconds: number) {
    this.plan = plan
    this.fromSeconds = fromSeconds
    this.public = {
      name: plan.name,
      number: plan.number,
      epoch: plan.epoch,
      firstNumber: 0,
      startSeconds: fromSeconds,
      endSeconds: undefined,
      isRegular: true,
      renditions: [],
      isComplete: false,
    }
    for (const it of plan.renditions) {
      this.tracks.set(it.name, {
        plan: it,
        rendition: undefined,
        cutter: undefined,
        early: [],
        isOver: false,
        resume: undefined,
        isUnproven: false,
      })
    }
    const leader = this.tracks.get(plan.leader)
    if (!leader) throw new Error(`the leader ${plan.leader} is no rendition of take ${plan.name}`)
    this.leader = leader
  }

  /** As another packager has left it; its timeline, and what it has to do with other takes, is the caller's. */
  static restore({
    plan,
    fromSeconds,
    ordinal,
    isClosing,
    endAtSeconds,
    tracks,
  }: OpenTake): TakeState {
    const take = new TakeState(plan, fromSeconds)
    take.ordinal = ordinal
    take.isClosing = isClosing
    take.endAtSeconds = endAtSeconds
    for (const [name, { rendition, isOver, state }] of Object.entries(tracks)) {
      const it = take.tracks.get(name)
      if (!it) continue
      it.isOver = isOver
      it.resume = state
      if (!rendition) continue
      const init = Buffer.from(rendition.init, 'base64')
      take.setInit(name, init, rendition.track, rendition.framesPerSecond)
      it.isUnproven = true
    }
    take.refresh()
    return take
  }

  /** The same take, made by another transcoder. */
  setEpoch(epoch: number): void {
    this.plan = { ...this.plan, epoch }
    this.public.epoch = epoch
  }

  /** Once the leader's init section is known; or goes on, from a state. */
  begin(settings: LiveSettings, beginning: Beginning, state?: TimelineState): void {
    const { cutting, grid } = this.plan
    const { segmentSeconds, partTargetSeconds, targetDurationSeconds } = settings
    const { startSeconds, firstNumber, isRegular } = beginning
    const options = {
      ...{ cutting, grid, timescale: this.leaderTimescale!, startSeconds, firstNumber, isRegular },
      ...{ segmentSeconds, partTargetSeconds, targetDurationSeconds },
    }
    this.timeline = new TakeTimeline(options, state)
    this.public.firstNumber = firstNumber
    this.public.startSeconds = startSeconds
    this.public.endSeconds = this.timeline.mediaEndSeconds
    this.public.isRegular = isRegular
  }

  get leaderTimescale(): number | undefined {
    return this.leader.rendition?.timescale
  }

  setInit(name: string, init: Buffer, track: InitTrack, framesPerSecond: number): boolean {
    const it = this.tracks.get(name)
    if (!it || it.rendition) return false
    it.rendition = {
      ...it.plan,
      codec: track.codec,
      timescale: track.timescale,
      width: track.width,
      height: track.height,
      framesPerSecond: it.plan.kind === 'video' ? framesPerSecond : 0,
      sampleRate: track.sampleRate,
      channels: track.channels,
      init,
      track,
    }
    this.refresh()
    return true
  }

  /** The public side, after a rendition has come or gone. */
  refresh(): void {
    const tracks = [...this.tracks.values()]
    this.public.renditions = tracks.flatMap((it) => it.rendition ?? [])
    this.public.isComplete = tracks.every((it) => it.rendition || it.isOver)
  }

  /** Answers a frame rate when it has been measured. */
  measure(sample: MediaSample): number | undefined {
    if (this.#rateFrames > measuredFrames || this.leader.plan.kind !== 'video') return undefined
    if (this.#rateFrames === 0) this.#rateFrom = sample.dts
    this.#rateFrames++
    if (this.#rateFrames !== measuredFrames + 1) return undefined
    const seconds = (sample.dts - this.#rateFrom) / this.leaderTimescale!
    return seconds > 0 ? roundedRate(measuredFrames / seconds) : undefined
  }

  setRate(framesPerSecond: number): boolean {
    let isChanged = false
    for (const { rendition } of this.tracks.values()) {
      if (rendition?.kind !== 'video') continue
      if (rendition.framesPerSecond === framesPerSecond) continue
      rendition.framesPerSecond = framesPerSecond
      isChanged = true
    }
    return isChanged
  }

  /** Nothing of this name will be added. */
  isDone(name: string): boolean {
    const track = this.tracks.get(name)
    if (!track || this.isDiscarded) return true
    if (!track.rendition) return track.isOver
    return track.cutter?.isDone ?? false
  }

  /** The successor knows what has come to its end. */
  get isHandedOver(): boolean {
    const { successor } = this
    if (!successor || successor.isDiscarded || successor.isClosing) return true
    for (const [name, track] of this.tracks) {
      if (track.isOver && !successor.tracks.get(name)!.isOver) return false
    }
    return true
  }

  get isAllDone(): boolean {
    if (!this.timeline?.isFinal) return false
    for (const name of this.tracks.keys()) if (!this.isDone(name)) return false
    return true
  }

  /** What is listed under a name that no rendition of this take can serve: gaps beside the leader's segments. */
  twins(name: string, kind: 'video' | 'audio'): PackagedSegment[] {
    const segments = this.leader.cutter?.segments ?? []
    return segments.filter((it) => !it.isOpen).map((it) => this.#twin(it, name, kind))
  }

  #twin(segment: CutSegment, name: string, kind: 'video' | 'audio'): PackagedSegment {
    let byName = this.#twins.get(segment)
    if (!byName) {
      byName = new Map()
      this.#twins.set(segment, byName)
    }
    let twin = byName.get(name)
    if (!twin) {
      twin = {
        ...segment,
        rendition: { ...segment.rendition, name, kind },
        parts: [],
        isGap: true,
        sizeBytes: 0,
        keyframeBytes: 0,
      }
      byName.set(name, twin)
    }
    return twin
  }
}
