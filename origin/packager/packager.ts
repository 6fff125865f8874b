// The packager of one broadcast: samples of all renditions in, takes, segments and parts out.
//
// It has no clock, no timer and no I/O: what it lists is a function of a checkpoint and the samples after it.
//
// - Takes begin one after the other, each when its leader can open a segment and the leader of the take before
//   is through. Followers of the take before may still deliver its tail: a rendition name goes on with the next
//   take when it is through with this one.
// - The hole before a take becomes gap segments of the take before.
// - Everything that a call causes is told at its end: faults and segments first, then one change.
import type { InitTrack } from '../../media/mp4/init-section.ts'
import type { MediaSample } from '../../media/mp4/track.ts'
import type { Checkpoint, TrackEnd } from './checkpoint.ts'
import { type CommitLog, segmentFault } from './commit-log.ts'
import { type CutSegment, TrackCutter } from './cutter.ts'
import { roundedRate } from './grid.ts'
import type {
  Coming,
  LiveBroadcast,
  LiveSettings,
  PackagedPart,
  PackagedPlaylist,
  PackagedSegment,
  PackagedTake,
} from './live-broadcast.ts'
import { PublishedTakes } from './published-takes.ts'
import type { BroadcastFacts } from './segment-log.ts'
import { chooseSettings, type PackagerConfig } from './settings-choice.ts'
import { type TakePlan, TakeState, type Track } from './take-state.ts'
import {
  middleSeconds,
  openingSeconds,
  roundingSeconds,
  TakeTimeline,
  toleranceSeconds,
} from './take-timeline.ts'

export interface PackagerOptions {
  facts: BroadcastFacts
  config: PackagerConfig
  commits: CommitLog
  resume?: Checkpoint
  /** Names a take that goes on with the encoders of the one before, where that had to end. */
  nextTake: () => { name: string; number: number }
  /** Closed: committed, or a gap, which has no bytes. */
  onSegment: (segment: PackagedSegment, bytes: readonly Buffer[]) => void
  /** No keyframe came in time. `first`: nothing of the take was listed; `overdue`: it has ended there. */
  onLongGop: (at: { seconds: number; kind: 'first' | 'overdue'; take: string }) => void
  onFault: (rendition: string, reason: string) => void
}

/** A hole shorter than this is none. */
const smallestHoleSeconds = 0.05
/** Clocks of two takes may overlap by so much. */
const seamSeconds = 0.02
const overlapSeconds = 0.04
const aacFrameTicks = 1024

export class Packager implements LiveBroadcast {
  readonly facts: BroadcastFacts
  readonly #options: PackagerOptions
  readonly #published = new PublishedTakes()
  readonly #listeners = new Set<() => void>()
  /** In the order of their beginning; not yet through. */
  readonly #order: TakeState[] = []
  /** Who gets what is pushed under a name: the take, or the last of its successors. */
  readonly #targets = new Map<string, TakeState>()
  readonly #beyond: [TakeState, string, MediaSample][] = []
  #settings: LiveSettings | undefined
  #isIrregular: boolean
  #framesPerSecond = 0
  #version = 0
  #isChanged = false
  #depth = 0
  #events: (() => void)[] = []

  constructor(options: PackagerOptions) {
    this.facts = options.facts
    this.#options = options
    const { resume } = options
    this.#settings = resume?.settings
    this.#framesPerSecond = resume?.framesPerSecond ?? 0
    this.#isIrregular = resume?.isIrregular ?? false
    this.#published.takeCount =
      (resume?.takes ?? options.facts.earlierTakes) - (resume?.open ? 1 : 0)
    for (const [name, next] of Object.entries(resume?.partIds ?? {})) {
      this.#published.partIds.set(name, { next })
    }
  }

  get settings(): LiveSettings | undefined {
    return this.#settings
  }

  get takes(): readonly PackagedTake[] {
    return this.#published.begun.map((it) => it.public)
  }

  get isEnded(): boolean {
    return this.#published.isEnded
  }

  get version(): number {
    return this.#version
  }

  get playlistNames(): readonly string[] {
    return [...this.#published.kinds.keys()]
  }

  /** Where the last published take, and the gaps behind it, end: the next take must not begin before. */
  get endSeconds(): number {
    return (
      this.#published.begun.at(-1)?.timeline?.endSeconds ?? this.#options.resume?.endSeconds ?? 0
    )
  }

  get nextNumber(): number {
    const { resume } = this.#options
    return (
      this.#published.begun.at(-1)?.timeline?.nextNumber ??
      resume?.nextNumber ??
      this.facts.firstNumber
    )
  }

  startTake(plan: TakePlan, fromSeconds: number): void {
    this.#do(() => {
      if (this.#published.isEnded) return
      const take = new TakeState(plan, fromSeconds)
      const before = plan.continues ? this.#order.at(-1) : undefined
      if (before) before.continuedBy = take
      take.continuationOf = before
      this.#addTake(take, this.#order.length)
    })
  }

  setInit(takeName: string, rendition: string, init: Buffer, track: InitTrack): void {
    this.#do(() => {
      let take = this.#target(takeName)
      for (; take; take = take.successor) this.#setInit(take, rendition, init, track)
    })
  }

  push(takeName: string, rendition: string, sample: MediaSample): void {
    const take = this.#target(takeName)
    if (take) this.#do(() => this.#receive(take, rendition, sample))
  }

  dropRendition(takeName: string, rendition: string): void {
    const take = this.#target(takeName)
    const track = take?.tracks.get(rendition)
    if (!take || !track) return
    this.#do(() => {
      if (track === take.leader) take.isClosing = true
      this.#endTrack(take, track)
    })
  }

  endTake(takeName: string): void {
    const take = this.#target(takeName)
    if (!take) return
    this.#do(() => {
      take.isClosing = true
    })
  }

  /** While no take is open: gap segments of the grid's length, as many as end by then. */
  fillGaps(untilSeconds: number): void {
    const timeline = this.#published.begun.at(-1)?.timeline
    if (!timeline || this.#published.isEnded || timeline.mediaEndSeconds === undefined) return
    this.#do(() => {
      const { segmentSeconds } = this.#settings!
      while (timeline.endSeconds + segmentSeconds <= untilSeconds) {
        timeline.addGap(timeline.endSeconds + segmentSeconds)
      }
      this.#drain(this.#published.begun.at(-1)!)
    })
  }

  end(): void {
    this.#do(() => {
      for (const take of this.#order) take.isClosing = true
      this.#progress()
      this.#published.begun.at(-1)?.timeline?.finish()
      for (const take of this.#published.begun) this.#drain(take)
      this.#published.isEnded = true
      this.#isChanged = true
    })
  }

  checkpoint(): Checkpoint {
    const settings = this.#settings && {
      settings: this.#settings,
      framesPerSecond: this.#framesPerSecond,
    }
    const partIds: Record<string, number> = {}
    for (const [name, { next }] of this.#published.partIds) partIds[name] = next
    // A rendition that lags may still be in a take that its leader has left.
    const take = this.#published.begun.find((it) => !it.isAllDone) ?? this.#published.begun.at(-1)
    const timeline = take?.timeline
    if (!timeline) {
      return {
        ...settings,
        takes: this.#published.takeCount,
        nextNumber: this.nextNumber,
        endSeconds: this.endSeconds,
        isIrregular: this.#isIrregular,
        partIds,
      }
    }
    let next = timeline.nextNumber
    for (const { cutter, rendition, isOver } of take.tracks.values()) {
      if (rendition || !isOver) next = Math.min(next, cutter?.number ?? timeline.firstNumber)
    }
    const tracks: Record<string, TrackEnd> = {}
    for (const [name, { cutter }] of take.tracks) {
      const id = cutter && partIdAt(cutter, next)
      if (id !== undefined) partIds[name] = id
      const end = cutter?.segment(next - 1)?.after
      if (end) tracks[name] = end
    }
    const { firstNumber, startSeconds, isRegular } = timeline
    const cut = timeline.cut(next)
    const isMedia = cut !== undefined && cut.gapEndSeconds === undefined
    const hasSome = next > firstNumber
    const open = { name: take.plan.name, firstNumber, startSeconds, isRegular, tracks }
    return {
      ...settings,
      takes: take.ordinal + (hasSome ? 1 : 0),
      nextNumber: next,
      endSeconds: cut?.startSeconds ?? timeline.endSeconds,
      isIrregular: isMedia ? !isRegular : this.#isIrregular,
      partIds,
      ...(isMedia && hasSome && { open }),
    }
  }

  playlist(name: string): PackagedPlaylist | undefined {
    return this.#published.playlist(name, this.#version)
  }

  segment(take: string, rendition: string, number: number): PackagedSegment | undefined {
    return this.#published.segment(take, rendition, number)
  }

  part(take: string, rendition: string, id: number): PackagedPart | undefined {
    return this.#published.part(take, rendition, id)
  }

  take(name: string): PackagedTake | undefined {
    return this.#published.take(name)
  }

  expects(take: string, rendition: string, number: number): Coming {
    return this.#published.expects(take, rendition, number)
  }

  expectsPart(take: string, rendition: string, id: number): Coming {
    return this.#published.expectsPart(take, rendition, id)
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Runs what a call asks for and all that follows from it; only the outermost call tells. */
  #do(work: () => void): void {
    this.#depth++
    try {
      work()
      this.#progress()
    } finally {
      this.#depth--
    }
    while (this.#depth === 0 && (this.#events.length > 0 || this.#isChanged)) {
      const events = this.#events
      this.#events = []
      for (const tell of events) tell()
      if (!this.#isChanged) continue
      this.#isChanged = false
      this.#version++
      for (const listener of [...this.#listeners]) listener()
    }
  }

  #progress(): void {
    for (;;) {
      const next = this.#beyond.shift()
      if (next) {
        this.#receive(...next)
        continue
      }
      let hasMoved = false
      for (let i = 0; i < this.#order.length; i++) {
        if (this.#step(this.#order[i]!, i)) hasMoved = true
      }
      for (let i = this.#order.length - 1; i >= 0; i--) {
        const take = this.#order[i]!
        if (take.isDiscarded || (take.isAllDone && take.isHandedOver)) this.#order.splice(i, 1)
        if (take.isDiscarded) this.#published.byName.delete(take.plan.name)
      }
      if (!hasMoved && this.#beyond.length === 0) return
    }
  }

  #addTake(take: TakeState, index: number): void {
    this.#order.splice(index, 0, take)
    this.#published.byName.set(take.plan.name, take)
    this.#targets.set(take.plan.name, take)
  }

  #target(name: string): TakeState | undefined {
    let take = this.#targets.get(name)
    if (!take?.isAllDone || !take.isHandedOver) return take
    while (take?.isAllDone && take.isHandedOver) take = take.successor
    if (take) this.#targets.set(name, take)
    else this.#targets.delete(name)
    return take
  }

  #setInit(take: TakeState, name: string, init: Buffer, track: InitTrack): void {
    const rate = take.plan.framesPerSecond ?? this.#framesPerSecond
    if (!take.setInit(name, init, track, roundedRate(rate))) return
    if (!this.#published.kinds.has(name)) this.#published.kinds.set(name, track.kind)
    if (take.timeline) this.#isChanged = true
  }

  #receive(take: TakeState, name: string, sample: MediaSample): void {
    const track = take.tracks.get(name)
    if (!track || take.isDiscarded) return
    if (track !== take.leader) this.#endBefore(take, name)
    if (track === take.leader && take.timeline === undefined) {
      take.undecided.push(sample)
    } else {
      if (track === take.leader) this.#decide(take, sample)
      this.#feed(track, sample)
      if (track === take.leader) this.#drain(take)
    }
  }

  /** A rendition that delivers to a take has no more for the one that it continues. */
  #endBefore({ continuationOf: before }: TakeState, name: string): void {
    const track = before?.tracks.get(name)
    if (before && track && !track.isOver && track !== before.leader) this.#endTrack(before, track)
  }

  #feed(track: Track, sample: MediaSample): void {
    if (track.cutter) track.cutter.push(sample)
    else if (!track.isOver) track.early.push(sample)
  }

  #drain(take: TakeState): void {
    for (const { cutter } of take.tracks.values()) cutter?.drain()
  }

  #endTrack(take: TakeState, track: Track): void {
    track.isOver = true
    track.cutter?.end()
    take.refresh()
    this.#isChanged = true
  }

  /** Answers whether something has moved on. */
  #step(take: TakeState, index: number): boolean {
    if (take.isDiscarded) return false
    if (!take.timeline) return this.#tryBegin(take, index)
    let hasMoved = this.#addCutters(take)
    const { timeline } = take
    if (take.isClosing && timeline.mediaEndSeconds === undefined) {
      timeline.endMedia()
      hasMoved = true
    }
    if (timeline.mediaEndSeconds !== undefined && take.public.endSeconds === undefined) {
      take.public.endSeconds = timeline.mediaEndSeconds
      if (take.endAtSeconds !== undefined) this.#endTrack(take, take.leader)
      this.#isChanged = true
      this.#drain(take)
      hasMoved = true
    }
    for (const track of take.tracks.values()) {
      if (take.isClosing && !track.isOver) {
        this.#endTrack(take, track)
        hasMoved = true
      }
      if (track.isOver && this.#beyond.length === 0 && this.#handOver(take, track)) hasMoved = true
    }
    return hasMoved
  }

  /** What has come to its end here brings nothing to the successor either. */
  #handOver({ successor }: TakeState, track: Track): boolean {
    const heir = successor?.tracks.get(track.plan.name)
    const isThrough = track.rendition === undefined || track.cutter?.isMediaDone === true
    if (!successor || !heir || !isThrough || heir.isOver) return false
    if (successor.isClosing || successor.isDiscarded) return false
    if (heir === successor.leader) successor.isClosing = true
    else this.#endTrack(successor, heir)
    return true
  }

  #tryBegin(take: TakeState, index: number): boolean {
    const timescale = take.leaderTimescale
    const before = this.#order[index - 1]
    const opening = timescale === undefined ? undefined : this.#findOpening(take, timescale)
    if (opening === undefined || timescale === undefined) {
      const isHopeless = take.isClosing && this.#beyond.length === 0
      if (isHopeless) take.isDiscarded = true
      return isHopeless
    }
    if (before && !this.#finishBefore(before, opening)) return false
    if (!this.#settings) {
      const choice = chooseSettings({
        config: this.#options.config,
        plan: take.plan,
        timescale,
        samples: take.undecided,
        sampleRates: [...take.tracks.values()].flatMap((it) => it.rendition?.sampleRate || []),
        isForced: take.isClosing || take.endAtSeconds !== undefined,
      })
      if (choice.kind === 'wait') return false
      if (choice.kind === 'long-gop') {
        take.isDiscarded = true
        const at = { seconds: opening, kind: 'first' as const, take: take.plan.name }
        this.#events.push(() => this.#options.onLongGop(at))
        return true
      }
      this.#settings = choice.settings
      this.#framesPerSecond = choice.framesPerSecond
      if (take.plan.framesPerSecond === undefined) take.setRate(roundedRate(choice.framesPerSecond))
    }
    this.#begin(take, timescale, opening)
    return true
  }

  /** Where the take can begin; samples before that are dropped. */
  #findOpening(take: TakeState, timescale: number): number | undefined {
    const earliest = Math.max(take.fromSeconds - toleranceSeconds, this.endSeconds - overlapSeconds)
    const { undecided } = take
    const isAudio = take.plan.cutting === 'audio'
    const index = undecided.findIndex((it) => {
      const seconds = isAudio
        ? middleSeconds(it, timescale, aacFrameTicks)
        : openingSeconds(it, timescale)
      return (isAudio || it.isKeyframe) && seconds >= earliest
    })
    if (index !== 0) undecided.splice(0, index < 0 ? undecided.length : index)
    return undecided[0] && openingSeconds(undecided[0], timescale)
  }

  /** Whether the leader of the take before is through, so that the next number is known. */
  #finishBefore(before: TakeState, atSeconds: number): boolean {
    before.endAtSeconds ??= atSeconds
    const { timeline } = before
    if (!timeline) {
      // It could begin only with what its own leader still brings.
      if (before.undecided.length === 0) before.isDiscarded = true
      return before.isDiscarded
    }
    if (timeline.mediaEndSeconds !== undefined) return true
    if (timeline.endSeconds < atSeconds - seamSeconds) return false
    timeline.endMedia(atSeconds)
    return true
  }

  #begin(take: TakeState, timescale: number, atSeconds: number): void {
    const settings = this.#settings!
    const before = this.#published.begun.at(-1)
    if (before) {
      for (const end of holeEnds(this.endSeconds, atSeconds, settings)) before.timeline!.addGap(end)
      before.timeline!.finish()
      this.#drain(before)
    }
    const { resume } = this.#options
    const open = !before && resume?.open?.name === take.plan.name ? resume.open : undefined
    const skipped =
      !before && !open && resume && resume.endSeconds > 0
        ? holeEnds(resume.endSeconds, atSeconds, settings).length
        : 0
    const number = this.nextNumber + skipped
    const options = {
      cutting: take.plan.cutting,
      timescale,
      segmentSeconds: settings.segmentSeconds,
      partTargetSeconds: settings.partTargetSeconds,
      targetDurationSeconds: settings.targetDurationSeconds,
      isRegular: open?.isRegular ?? !this.#isIrregular,
      startSeconds: open?.startSeconds ?? atSeconds,
      firstNumber: open?.firstNumber ?? number,
    }
    take.timeline = new TakeTimeline(options, number, atSeconds)
    take.ordinal = this.#published.takeCount++
    take.public.firstNumber = options.firstNumber
    take.public.startSeconds = options.startSeconds
    take.public.isRegular = options.isRegular
    this.#published.begun.push(take)
    this.#isChanged = true
    const samples = take.undecided
    take.undecided = []
    for (const sample of samples) this.#receive(take, take.plan.leader, sample)
  }

  #decide(take: TakeState, sample: MediaSample): void {
    const timeline = take.timeline!
    const seconds = openingSeconds(sample, take.leaderTimescale!)
    const { endAtSeconds } = take
    if (endAtSeconds !== undefined && seconds >= endAtSeconds - toleranceSeconds) {
      timeline.endMedia(endAtSeconds)
    }
    const verdict = timeline.decide(sample)
    const rate = take.measure(sample)
    if (rate !== undefined && take.setRate(rate)) this.#isChanged = true
    if (verdict === 'overdue') {
      const at = {
        seconds: timeline.endSeconds,
        kind: 'overdue' as const,
        take: take.plan.name,
      }
      this.#events.push(() => this.#options.onLongGop(at))
    }
    if (verdict === 'splits' || verdict === 'breaks') {
      if (verdict === 'splits') this.#isIrregular = true
      this.#succeed(take)
    }
  }

  /** The encoders go on; what they deliver from here on belongs to a new take. */
  #succeed(take: TakeState): void {
    const plan = { ...take.plan, ...this.#options.nextTake() }
    const successor = new TakeState(plan, take.timeline!.endSeconds)
    take.successor = successor
    for (const { rendition } of take.tracks.values()) {
      if (rendition) this.#setInit(successor, rendition.name, rendition.init, rendition.track)
    }
    this.#addTake(successor, this.#order.indexOf(take) + 1)
  }

  #addCutters(take: TakeState): boolean {
    let hasMoved = false
    for (const [name, track] of take.tracks) {
      if (track.cutter || !track.rendition || this.#isBlocked(take, name)) continue
      let partIds = this.#published.partIds.get(name)
      if (!partIds) {
        partIds = { next: 1 }
        this.#published.partIds.set(name, partIds)
      }
      const { resume } = this.#options
      const isResumed = resume?.open?.name === take.plan.name
      const cutter: TrackCutter = new TrackCutter({
        take: take.public,
        rendition: track.rendition,
        timeline: take.timeline!,
        firstNumber: isResumed ? resume.nextNumber : take.timeline!.firstNumber,
        startSeconds: isResumed ? resume.endSeconds : take.timeline!.startSeconds,
        partTargetSeconds: this.#settings!.partTargetSeconds,
        after: isResumed ? resume.open?.tracks[name] : undefined,
        partIds,
        onClosed: (segment) => this.#onClosed(take, cutter, segment),
        onBeyond: (sample) => {
          const heir = take.successor ?? take.continuedBy
          if (heir) this.#beyond.push([heir, name, sample])
        },
        onFault: (reason) => this.#events.push(() => this.#options.onFault(name, reason)),
        onChange: () => {
          this.#isChanged = true
        },
      })
      track.cutter = cutter
      const early = track.early
      track.early = []
      for (const sample of early) cutter.push(sample)
      if (track.isOver) cutter.end()
      cutter.drain()
      hasMoved = true
    }
    return hasMoved
  }

  /** A take before is not through with the name. */
  #isBlocked(take: TakeState, name: string): boolean {
    for (const before of this.#published.begun) {
      if (before === take) return false
      if (!before.isDone(name)) return true
    }
    return false
  }

  #onClosed(take: TakeState, cutter: TrackCutter, segment: CutSegment): void {
    const { rendition } = segment
    const { name } = rendition
    const fault = segmentFault(segment.parts, rendition.track, cutter.seamTicks)
    const result =
      fault === undefined
        ? this.#options.commits.commit({
            rendition: name,
            number: segment.number,
            epoch: take.plan.epoch,
            take: take.plan.name,
            startTicks: segment.startTicks,
            durationTicks: segment.durationTicks,
            sizeBytes: segment.sizeBytes,
          })
        : 'duplicate'
    const reason = fault ?? (result === 'fenced' ? 'a higher epoch has committed' : undefined)
    if (reason !== undefined) {
      segment.isGap = true
      segment.parts = []
      segment.sizeBytes = 0
      this.#events.push(() => this.#options.onFault(name, `segment ${segment.number}: ${reason}`))
      this.#events.push(() => this.#options.onSegment(segment, []))
    } else if (result === 'committed') {
      const bytes = segment.parts.filter((it) => !it.isGap).map((it) => it.bytes)
      this.#events.push(() => this.#options.onSegment(segment, bytes))
    }
    if (take.leader.cutter === cutter) this.#published.trim(segment, this.#settings!)
  }
}

/** Ends of the gap segments that fill a hole. */
function holeEnds(fromSeconds: number, untilSeconds: number, settings: LiveSettings): number[] {
  const { segmentSeconds, targetDurationSeconds } = settings
  const hole = untilSeconds - fromSeconds
  if (hole < smallestHoleSeconds) return []
  let count = Math.max(1, Math.round(hole / segmentSeconds))
  if (hole - (count - 1) * segmentSeconds > targetDurationSeconds + roundingSeconds) count++
  const ends = Array.from({ length: count - 1 }, (_, i) => fromSeconds + (i + 1) * segmentSeconds)
  return [...ends, untilSeconds]
}

/** Id that the first part of the segment has or will have. */
function partIdAt(cutter: TrackCutter, number: number): number | undefined {
  const before = cutter.segment(number - 1)
  return before?.after ? before.after.nextPartId : cutter.segment(number)?.parts[0]?.id
}
