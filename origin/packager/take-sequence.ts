// The order of takes: which one begins when, where it ends, and what is cut of it.
//
// - Takes begin one after the other, each when its leader can open a segment and the leader of the take before
//   is through. Followers of the take before may still deliver its tail: a rendition name goes on with the next
//   take when it is through with this one.
// - The hole before a take becomes gap segments of the take before.

import type { LiveSettings } from '../../common/live/live-broadcast.ts'
import type { InitTrack } from '../../media/mp4/init-section.ts'
import type { MediaSample } from '../../media/mp4/track.ts'
import { segmentFault } from './commit-log.ts'
import type { CutSegment } from './cut-segment.ts'
import { TrackCutter } from './cutter.ts'
import { roundedRate } from './grid.ts'
import { endListed, LeftTakes } from './left-takes.ts'
import type { PackagerOptions } from './packager.ts'
import type { PublishedTakes } from './published-takes.ts'
import { chooseSettings } from './settings-choice.ts'
import { type TakePlan, TakeState, type Track } from './take-state.ts'
import {
  middleSeconds,
  openingSeconds,
  roundingSeconds,
  toleranceSeconds,
} from './take-timeline.ts'

/** What has happened, told once all that follows from a call is done. */
export interface Outbox {
  tell(event: () => void): void
  /** Something that a manifest could show. */
  changed(): void
}

/** A hole shorter than this is none. */
const smallestHoleSeconds = 0.05
/** Clocks of two takes may overlap by so much. */
const seamSeconds = 0.02
const overlapSeconds = 0.04
const aacFrameTicks = 1024

export class TakeSequence {
  readonly #options: PackagerOptions
  readonly #published: PublishedTakes
  readonly #outbox: Outbox
  /** In the order of their beginning; not yet through. */
  readonly #order: TakeState[] = []
  /** Who gets what is pushed under a name: the take, or the last of its successors. */
  readonly #targets = new Map<string, TakeState>()
  readonly #beyond: [TakeState, string, MediaSample][] = []
  readonly #left: LeftTakes
  #settings: LiveSettings | undefined
  #isIrregular: boolean
  #framesPerSecond: number

  constructor(options: PackagerOptions, published: PublishedTakes, outbox: Outbox) {
    const { resume } = options
    this.#options = options
    this.#published = published
    this.#outbox = outbox
    published.first = {
      number: resume?.nextNumber ?? options.facts.firstNumber,
      seconds: resume?.endSeconds ?? 0,
    }
    this.#settings = resume?.settings
    this.#framesPerSecond = resume?.framesPerSecond ?? 0
    this.#isIrregular = resume?.isIrregular ?? false
    for (const [name, kind] of Object.entries(resume?.kinds ?? {})) published.kinds.set(name, kind)
    this.#left = new LeftTakes(published)
    for (const take of this.#left.restore(resume?.openTakes ?? [], this.#settings)) {
      this.#addTake(take, this.#order.length)
    }
  }

  /** Not yet through, in the order of their beginning. */
  get open(): readonly TakeState[] {
    return this.#order
  }

  get settings(): LiveSettings | undefined {
    return this.#settings
  }

  get framesPerSecond(): number {
    return this.#framesPerSecond
  }

  /** A take has left its grid: none is trusted to keep one any more. */
  get isIrregular(): boolean {
    return this.#isIrregular
  }

  /** Where the last published take, and the gaps behind it, end: the next take must not begin before. */
  get endSeconds(): number {
    return this.#published.begun.at(-1)?.timeline?.endSeconds ?? this.#published.first.seconds
  }

  get nextNumber(): number {
    return this.#published.begun.at(-1)?.timeline?.nextNumber ?? this.#published.first.number
  }

  start(plan: TakePlan, fromSeconds: number): void {
    if (this.#left.goOn(plan)) return
    this.#left.abandon(plan.epoch)
    const take = new TakeState(plan, fromSeconds)
    const before = plan.continues ? this.#order.at(-1) : undefined
    if (before) before.continuedBy = take
    take.continuationOf = before
    this.#addTake(take, this.#order.length)
  }

  target(name: string): TakeState | undefined {
    let take = this.#targets.get(name)
    if (!take?.isAllDone || !take.isHandedOver) return take
    while (take?.isAllDone && take.isHandedOver) take = take.successor
    if (take) this.#targets.set(name, take)
    else this.#targets.delete(name)
    return take
  }

  setInit(take: TakeState, name: string, init: Buffer, track: InitTrack): void {
    const known = take.tracks.get(name)
    if (known?.isUnproven) {
      const isSame = known.rendition?.init.equals(init)
      if (!isSame) this.#endListed(take, known)
      known.isUnproven = false
      return
    }
    const rate = take.plan.framesPerSecond ?? this.#framesPerSecond
    if (!take.setInit(name, init, track, roundedRate(rate))) return
    if (!this.#published.kinds.has(name)) this.#published.kinds.set(name, track.kind)
    if (take.timeline) this.#outbox.changed()
  }

  endAll(): void {
    this.#left.abandon()
    for (const take of this.#order) take.isClosing = true
    this.progress()
  }

  /** All that follows from what has come. */
  progress(): void {
    for (;;) {
      const next = this.#beyond.shift()
      if (next) {
        this.receive(...next)
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

  /** The encoders that go on make other media: the take ends with what is listed, and they go on in another. */
  #endListed(take: TakeState, other: Track): void {
    const endSeconds = endListed(take)
    if (endSeconds === undefined) return
    other.cutter?.skipTo(endSeconds)
    if (!take.successor && !take.continuedBy) this.#succeed(take)
  }

  #addTake(take: TakeState, index: number): void {
    this.#order.splice(index, 0, take)
    this.#published.byName.set(take.plan.name, take)
    this.#targets.set(take.plan.name, take)
  }

  receive(take: TakeState, name: string, sample: MediaSample): void {
    const track = take.tracks.get(name)
    if (!track || take.isDiscarded) return
    if (track !== take.leader) this.#endBefore(take, name)
    if (track === take.leader && take.timeline === undefined) {
      take.undecided.push(sample)
    } else {
      if (track === take.leader) this.#decide(take, sample)
      this.#feed(track, sample)
      if (track === take.leader) this.drain(take)
    }
  }

  /** A rendition that delivers to a take has no more for the one that it continues. */
  #endBefore({ continuationOf: before }: TakeState, name: string): void {
    const track = before?.tracks.get(name)
    if (before && track && !track.isOver && track !== before.leader) this.endTrack(before, track)
  }

  #feed(track: Track, sample: MediaSample): void {
    if (track.cutter) track.cutter.push(sample)
    else if (!track.isOver) track.early.push(sample)
  }

  drain(take: TakeState): void {
    for (const { cutter } of take.tracks.values()) cutter?.drain()
  }

  endTrack(take: TakeState, track: Track): void {
    track.isOver = true
    track.cutter?.end()
    take.refresh()
    this.#outbox.changed()
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
      if (take.endAtSeconds !== undefined) this.endTrack(take, take.leader)
      this.#outbox.changed()
      this.drain(take)
      hasMoved = true
    }
    for (const track of take.tracks.values()) {
      if (take.isClosing && !track.isOver) {
        this.endTrack(take, track)
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
    else this.endTrack(successor, heir)
    return true
  }

  #tryBegin(take: TakeState, index: number): boolean {
    const timescale = take.leaderTimescale
    const opening = timescale === undefined ? undefined : this.#findOpening(take, timescale)
    if (opening === undefined || timescale === undefined) {
      const isHopeless = take.isClosing && this.#beyond.length === 0
      if (isHopeless) take.isDiscarded = true
      return isHopeless
    }
    if (!this.#finishBefore(index, opening)) return false
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
        this.#outbox.tell(() => this.#options.onLongGop(at))
        return true
      }
      this.#settings = choice.settings
      this.#framesPerSecond = choice.framesPerSecond
      if (take.plan.framesPerSecond === undefined) take.setRate(roundedRate(choice.framesPerSecond))
    }
    this.#begin(take, opening)
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
  #finishBefore(index: number, atSeconds: number): boolean {
    const before = this.#order.findLast((it, at) => at < index && !it.isDiscarded)
    if (!before) return true
    before.endAtSeconds ??= atSeconds
    const { timeline } = before
    if (!timeline) {
      // It could begin only with what its own leader still brings.
      if (before.undecided.length > 0) return false
      before.isDiscarded = true
      return this.#finishBefore(index, atSeconds)
    }
    if (timeline.mediaEndSeconds !== undefined) return true
    if (timeline.endSeconds < atSeconds - seamSeconds) return false
    timeline.endMedia(atSeconds)
    return true
  }

  #begin(take: TakeState, atSeconds: number): void {
    const settings = this.#settings!
    const before = this.#published.begun.at(-1)
    if (before) {
      for (const end of holeEnds(this.endSeconds, atSeconds, settings)) before.timeline!.addGap(end)
      before.timeline!.finish()
      this.drain(before)
    }
    // Nobody is left to list the gaps.
    const isLeap =
      !before && this.#published.first.seconds > 0 && !this.#options.resume?.openTakes?.length
    const skipped = isLeap ? holeEnds(this.#published.first.seconds, atSeconds, settings).length : 0
    const begin = {
      startSeconds: atSeconds,
      firstNumber: this.nextNumber + skipped,
      isRegular: !this.#isIrregular,
    }
    take.begin(settings, begin)
    take.ordinal = this.#published.takeCount++
    this.#published.begun.push(take)
    this.#outbox.changed()
    const samples = take.undecided
    take.undecided = []
    for (const sample of samples) this.receive(take, take.plan.leader, sample)
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
    if (rate !== undefined && take.setRate(rate)) this.#outbox.changed()
    if (verdict === 'overdue') {
      const at = {
        seconds: timeline.endSeconds,
        kind: 'overdue' as const,
        take: take.plan.name,
      }
      this.#outbox.tell(() => this.#options.onLongGop(at))
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
    for (const { rendition, isUnproven } of take.tracks.values()) {
      if (rendition && !isUnproven)
        this.setInit(successor, rendition.name, rendition.init, rendition.track)
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
      const cutter: TrackCutter = new TrackCutter({
        take: take.public,
        rendition: track.rendition,
        timeline: take.timeline!,
        partTargetSeconds: this.#settings!.partTargetSeconds,
        resume: track.resume,
        partIds,
        onClosed: (segment) => this.#onClosed(take, cutter, segment),
        onBeyond: (sample) => {
          const heir = take.successor ?? take.continuedBy
          if (heir) this.#beyond.push([heir, name, sample])
        },
        onFault: (reason) => this.#outbox.tell(() => this.#options.onFault(name, reason)),
        onChange: () => {
          this.#outbox.changed()
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
      this.#outbox.tell(() => this.#options.onFault(name, `segment ${segment.number}: ${reason}`))
      this.#outbox.tell(() => this.#options.onSegment(segment, []))
    } else if (result === 'committed') {
      const bytes = segment.parts.filter((it) => !it.isGap).map((it) => it.bytes)
      this.#outbox.tell(() => this.#options.onSegment(segment, bytes))
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
