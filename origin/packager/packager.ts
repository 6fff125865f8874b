// The packager of one broadcast: samples of all renditions in, takes, segments and parts out.
//
// It has no clock, no timer and no I/O: what it lists is a function of a checkpoint and the samples after it.
// Which take begins when is decided in take-sequence.ts, where a rendition is cut in cutter.ts; what is listed is
// read from published-takes.ts. Everything that a call causes is told at its end: faults and segments first, then
// one change.

import type { PackagingPoint } from '../../common/contract/resume-point.ts'
import type {
  Coming,
  LiveBroadcast,
  LiveSettings,
  PackagedPart,
  PackagedPlaylist,
  PackagedSegment,
  PackagedTake,
} from '../../common/live/live-broadcast.ts'
import { PeakRates } from '../../common/live/peak-rates.ts'
import type { BroadcastFacts } from '../../common/live/segment-log.ts'
import type { InitTrack } from '../../media/mp4/init-section.ts'
import type { MediaSample } from '../../media/mp4/track.ts'
import { checkpointOf } from './checkpoint.ts'
import type { CommitLog } from './commit-log.ts'
import { PublishedTakes } from './published-takes.ts'
import type { PackagerConfig } from './settings-choice.ts'
import { TakeSequence } from './take-sequence.ts'
import type { TakePlan } from './take-state.ts'

export interface PackagerOptions {
  facts: BroadcastFacts
  config: PackagerConfig
  commits: CommitLog
  /** Takes that are open there go on once they are started again, under their names; else they end where they stand. */
  resume?: PackagingPoint
  /** Names a take that goes on with the encoders of the one before, where that had to end; no name comes twice. */
  nextTake: () => { name: string; number: number }
  /** Closed: committed, or a gap, which has no bytes. */
  onSegment: (segment: PackagedSegment, bytes: readonly Buffer[]) => void
  /** No keyframe came in time. `first`: nothing of the take was listed; `overdue`: it has ended there. */
  onLongGop: (at: { seconds: number; kind: 'first' | 'overdue'; take: string }) => void
  onFault: (rendition: string, reason: string) => void
}

export class Packager implements LiveBroadcast {
  readonly facts: BroadcastFacts
  readonly peaks: PeakRates
  readonly #published = new PublishedTakes()
  readonly #listeners = new Set<() => void>()
  readonly #sequence: TakeSequence
  #version = 0
  #isChanged = false
  #depth = 0
  #events: (() => void)[] = []

  constructor(options: PackagerOptions) {
    this.facts = options.facts
    const { resume } = options
    this.peaks = new PeakRates(resume?.peaks)
    this.#published.takeCount = resume?.takes ?? options.facts.earlierTakes
    for (const [name, next] of Object.entries(resume?.partIds ?? {})) {
      this.#published.partIds.set(name, { next })
    }
    this.#sequence = new TakeSequence(options, this.#published, {
      tell: (event) => this.#events.push(event),
      changed: () => {
        this.#isChanged = true
      },
    })
    // What another has left open is listed at once.
    this.#do(() => {})
  }

  get settings(): LiveSettings | undefined {
    return this.#sequence.settings
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
    return this.#sequence.endSeconds
  }

  get nextNumber(): number {
    return this.#sequence.nextNumber
  }

  startTake(plan: TakePlan, fromSeconds: number): void {
    if (this.#published.isEnded) return
    this.#do(() => this.#sequence.start(plan, fromSeconds))
  }

  setInit(takeName: string, rendition: string, init: Buffer, track: InitTrack): void {
    this.#do(() => {
      let take = this.#sequence.target(takeName)
      for (; take; take = take.successor) this.#sequence.setInit(take, rendition, init, track)
    })
  }

  push(takeName: string, rendition: string, sample: MediaSample): void {
    const take = this.#sequence.target(takeName)
    if (take) this.#do(() => this.#sequence.receive(take, rendition, sample))
  }

  dropRendition(takeName: string, rendition: string): void {
    const take = this.#sequence.target(takeName)
    const track = take?.tracks.get(rendition)
    if (!take || !track) return
    this.#do(() => {
      if (track === take.leader) take.isClosing = true
      this.#sequence.endTrack(take, track)
    })
  }

  endTake(takeName: string): void {
    const take = this.#sequence.target(takeName)
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
      const { segmentSeconds } = this.#sequence.settings!
      while (timeline.endSeconds + segmentSeconds <= untilSeconds) {
        timeline.addGap(timeline.endSeconds + segmentSeconds)
      }
      this.#sequence.drain(this.#published.begun.at(-1)!)
    })
  }

  end(): void {
    this.#do(() => {
      this.#sequence.endAll()
      this.#published.begun.at(-1)?.timeline?.finish()
      for (const take of this.#published.begun) this.#sequence.drain(take)
      this.#published.isEnded = true
      this.#isChanged = true
    })
  }

  /** Where it stands between two calls. */
  checkpoint(): PackagingPoint {
    return checkpointOf(this.#published, this.#sequence, this.peaks)
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
      this.#sequence.progress()
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
}
