// A live broadcast at its home: what the transcoder tells, held in memory and served from here, whatever becomes of
// the transcoder.
//
// - It believes one holder of the lease at a time: a lower epoch is refused, and so is an equal one of another process.
// - By rendition and number the first segment stands, by part id the first bytes. The same again is nothing new; other
//   bytes are refused, and told.
// - A change is listed as a whole, once all its bytes are here. What a later transcoder does not have any more stays
//   listed for as long as the window has it.
import type {
  FeedChange,
  FeedOpen,
  FeedPlaylist,
  FeedSegment,
} from '../../../common/contract/feed.ts'
import type { Holder } from '../../../common/contract/placement.ts'
import {
  type ResumePoint,
  resumePointSchema,
  withInits,
} from '../../../common/contract/resume-point.ts'
import type { FeedFrame } from '../../../common/live/feed-frames.ts'
import type {
  Coming,
  LiveBroadcast,
  LiveSettings,
  PackagedPart,
  PackagedPlaylist,
  PackagedSegment,
  PackagedTake,
} from '../../../common/live/live-broadcast.ts'
import { isPartlyElsewhere, numbersAhead } from '../../../common/live/live-broadcast.ts'
import { measurePeaks } from '../../../common/live/live-presentation.ts'
import { PeakRates } from '../../../common/live/peak-rates.ts'
import type { BroadcastFacts } from '../../../common/live/segment-log.ts'
import { HomePlaylists } from './home-playlists.ts'
import { isListed } from './home-point.ts'
import { HomeTakes } from './home-takes.ts'

export type Verdict =
  | 'accepted'
  /** A higher epoch has been here. */
  | 'fenced'
  /** Another process says that it has this epoch. */
  | 'conflict'
  /** Not of this broadcast, or not what it can be. */
  | 'malformed'

export interface HomeBroadcastOptions {
  facts: BroadcastFacts
  /** Something was told that differs from what is there. */
  onRefused: (what: { rendition: string; number?: number; reason: string }) => void
}

/** Of bodies whose change has yet to come: more than any window holds. */
const maxStagedBytes = 512 * 1024 * 1024

export class HomeBroadcast implements LiveBroadcast {
  readonly facts: BroadcastFacts
  readonly peaks = new PeakRates()
  readonly #options: HomeBroadcastOptions
  readonly #takes = new HomeTakes()
  readonly #playlists = new HomePlaylists(this.#takes)
  readonly #listeners = new Set<() => void>()
  readonly #written = new Map<string, { version: number; playlist: PackagedPlaylist }>()
  #holder: Holder | undefined
  /** Counts the feeds that have opened. */
  #feed = 0
  #bodies: Buffer[] = []
  #stagedBytes = 0
  #heldBytes = 0
  #settings: LiveSettings | undefined
  #isEnded = false
  #version = 0
  /** As the feed has told it; the text is JSON that nobody has read yet. */
  #told: { text: Buffer; connection: string; neededMs: number } | undefined
  /** As it was found for the last version that somebody asked for. */
  #point: { version: number; found: ResumePoint | undefined } | undefined
  /** Of the first take that this home has known, among all takes of the broadcast. */
  #firstOrdinal: number | undefined

  constructor(options: HomeBroadcastOptions) {
    this.facts = options.facts
    this.#options = options
  }

  get holder(): Holder | undefined {
    return this.#holder
  }

  /** Of media that is held, and of what has come for the next change. */
  get bytes(): number {
    return this.#heldBytes + this.#stagedBytes
  }

  get settings(): LiveSettings | undefined {
    return this.#settings
  }

  get takes(): readonly PackagedTake[] {
    return this.#takes.public
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  get version(): number {
    return this.#version
  }

  /** Where a next transcoder would go on; undefined where it has to begin anew. */
  get resumePoint(): ResumePoint | undefined {
    if (this.#isEnded || !this.#told) return undefined
    if (this.#point?.version !== this.#version) {
      this.#point = { version: this.#version, found: this.#checked(this.#told.text) }
    }
    return this.#point.found
  }

  /** From there on the media of that publisher is needed again, in its own milliseconds. */
  neededMs(connection: string): number | undefined {
    return this.#told?.connection === connection ? this.#told.neededMs : undefined
  }

  get playlistNames(): readonly string[] {
    return this.#playlists.names
  }

  /** What a feed tells, in order; nothing is taken of a frame that is not accepted. */
  accept({ head, body }: FeedFrame, from: Holder): Verdict {
    const holder = this.#holder
    if (holder && from.epoch < holder.epoch) return 'fenced'
    const isOther = holder?.instance !== from.instance
    if (holder?.epoch === from.epoch && isOther) return 'conflict'
    if (head.kind === 'open') return this.#open(head, from)
    if (holder?.epoch !== from.epoch) return 'malformed'
    switch (head.kind) {
      case 'ping':
        return 'accepted'
      case 'body':
        this.#stagedBytes += body.length
        if (this.#stagedBytes > maxStagedBytes) return 'malformed'
        this.#bodies.push(body)
        return 'accepted'
      case 'change':
        return this.#change(head)
    }
  }

  /** Time has passed in which nobody made anything. */
  addGap(): void {
    if (!this.#settings || this.#isEnded || this.#takes.count === 0) return
    this.#told = undefined
    this.#takes.end()
    this.#playlists.addGap(this.#settings.segmentSeconds, this.#feed)
    this.#playlists.trim(this.#settings)
    this.#changed()
  }

  playlist(name: string): PackagedPlaylist | undefined {
    const kept = this.#written.get(name)
    if (kept?.version === this.#version) return kept.playlist
    const list = this.#playlists.get(name)
    if (!list) return undefined
    const playlist = {
      ...list,
      discontinuitySequence: this.#discontinuitiesBefore(list.segments[0]),
    }
    this.#written.set(name, { version: this.#version, playlist })
    return playlist
  }

  segment(take: string, rendition: string, number: number): PackagedSegment | undefined {
    return this.#takes.segment(take, rendition, number)
  }

  part(take: string, rendition: string, id: number): PackagedPart | undefined {
    return this.#takes.part(take, rendition, id)
  }

  take(name: string): PackagedTake | undefined {
    return this.#takes.get(name)?.public
  }

  expects(take: string, rendition: string, number: number): Coming {
    const there = this.segment(take, rendition, number)
    if (there) return { kind: there.isGap || isPartlyElsewhere(there) ? 'absent' : 'here' }
    const isComing = this.#takes.track(take, rendition)?.coming.includes(number)
    return { kind: isComing && !this.#isEnded ? 'coming' : 'absent' }
  }

  expectsPart(take: string, rendition: string, id: number): Coming {
    const there = this.part(take, rendition, id)
    if (there) {
      return { kind: there.isGap || there.elsewhereBytes !== undefined ? 'absent' : 'here' }
    }
    const next = this.#playlists.get(rendition)?.next
    const isNext = next?.take.name === take && next.rendition.name === rendition && !this.#isEnded
    const isComing = isNext && id >= next.partId && id < next.partId + numbersAhead
    return { kind: isComing ? 'coming' : 'absent' }
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #open({ epoch, instance, facts }: FeedOpen, from: Holder): Verdict {
    if (epoch !== from.epoch || instance !== from.instance) return 'malformed'
    if (facts.broadcastId !== this.facts.broadcastId) return 'malformed'
    this.#holder = { epoch, instance }
    this.#feed++
    this.#unstage()
    return 'accepted'
  }

  #change(change: FeedChange): Verdict {
    const bodies = this.#bodies
    this.#unstage()
    if (this.#isEnded || !hasBodies(change, bodies.length) || !this.#takes.fits(change)) {
      return this.#isEnded ? 'accepted' : 'malformed'
    }
    this.#settings ??= change.settings
    this.peaks.merge(change.peaks ?? {})
    if (change.segments.length > 0) this.#told = undefined
    const misfits = this.#takes.merge(change, bodies, this.#feed)
    for (const { rendition } of misfits) {
      this.#options.onRefused({ rendition, reason: 'its init section is another' })
    }
    if (misfits.length === 0 && change.point) {
      this.#told = { ...change.point, text: bodies[change.point.body]! }
    }
    for (const told of change.segments) this.#addSegment(told, bodies)
    for (const told of change.playlists) {
      this.#placeFirstTake(told)
      this.#playlists.merge(told, this.#feed)
    }
    for (const { take, rendition, numbers } of change.coming) {
      this.#takes.track(take, rendition)!.coming = numbers
    }
    if (this.#settings) this.#playlists.trim(this.#settings)
    this.#takes.forgetEmpty((take) => this.#playlists.lists(take))
    if (change.isEnded) {
      this.#playlists.close()
      this.#isEnded = true
    }
    this.#changed(change.segments.some((it) => !it.isOpen))
    return 'accepted'
  }

  #unstage(): void {
    this.#bodies = []
    this.#stagedBytes = 0
  }

  /** With the init sections, which the feed has told before; undefined where it is not what is listed. */
  #checked(text: Buffer): ResumePoint | undefined {
    const point = resumePointSchema.safeParse(parsedJson(text)).data
    if (!point || !isListed(point.packaging, this.#takes, this.#playlists)) return undefined
    return withInits(
      point,
      (take, name) => this.#takes.track(take, name)?.rendition.init.toString('base64') ?? '',
    )
  }

  #addSegment(told: FeedSegment, bodies: readonly Buffer[]): void {
    const { take, rendition, number } = told
    const there = this.#takes.segment(take, rendition, number)
    if (!there && this.#playlists.isBehindWindow(rendition, number)) return
    const isOther = this.#playlists.hasOther(rendition, number, there)
    if (isOther && !there) this.#takes.addGap(told, this.#feed)
    const reason = isOther
      ? 'its number is listed already'
      : this.#takes.add(told, bodies, this.#feed)
    if (reason !== undefined) this.#options.onRefused({ rendition, number, reason })
  }

  #placeFirstTake({ discontinuitySequence, entries }: FeedPlaylist): void {
    const first = entries[0]
    if (this.#firstOrdinal !== undefined || discontinuitySequence === undefined || !first) return
    const { public: take, position } = this.#takes.get(first.take)!
    const { earlierTakes, firstNumber } = this.facts
    const isVeryFirst = earlierTakes === 0 && first.number === firstNumber
    const opens = first.number === take.firstNumber && !isVeryFirst
    this.#firstOrdinal = discontinuitySequence + (opens ? 1 : 0) - position
  }

  #discontinuitiesBefore(segment: PackagedSegment | undefined): number {
    const firstOrdinal = this.#firstOrdinal ?? 0
    if (!segment) return firstOrdinal + this.#takes.count
    const { number, take } = segment
    const ordinal = firstOrdinal + (this.#takes.get(take.name)?.position ?? 0)
    return Math.max(0, ordinal - (number === take.firstNumber ? 1 : 0))
  }

  #changed(hasClosed = false): void {
    this.#heldBytes = this.#takes.bytes
    this.#version++
    // Of two transcoders each has but a part of what is listed here.
    if (hasClosed) measurePeaks(this)
    for (const listener of [...this.#listeners]) listener()
  }
}

function hasBodies({ inits, segments, point }: FeedChange, count: number): boolean {
  const isHere = (body: number | undefined) => body === undefined || body < count
  return (
    isHere(point?.body) &&
    inits.every((it) => isHere(it.body)) &&
    segments.every(({ parts }) => parts.every((it) => isHere(it.body)))
  )
}

function parsedJson(text: Buffer): unknown {
  try {
    return JSON.parse(text.toString('utf8'))
  } catch {
    return undefined
  }
}
