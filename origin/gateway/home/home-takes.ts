// The takes of a broadcast at its home, with their renditions and segments. What was there first stands, whoever
// tells something else later.
import type { FeedChange, FeedSegment, FeedTake } from '../../../common/contract/feed.ts'
import type {
  PackagedPart,
  PackagedRendition,
  PackagedTake,
} from '../../../common/live/live-broadcast.ts'
import {
  endSecondsOf,
  extendSegment,
  gapSegment,
  type HomeSegment,
  openSegment,
} from './home-segment.ts'

export interface HomeTrack {
  rendition: PackagedRendition
  /** By number. */
  segments: Map<number, HomeSegment>
  /** Numbers that may be waited for. */
  coming: readonly number[]
  /** The feed that tells another init section: nothing of it fits. */
  misfit: number | undefined
}

export interface HomeTake {
  public: PackagedTake
  /** Among the takes that this home has ever known. */
  position: number
  tracks: Map<string, HomeTrack>
}

export class HomeTakes {
  readonly #byName = new Map<string, HomeTake>()
  /** Names that the feed keeps. */
  #kept = new Set<string>()
  #count = 0

  /** Takes ever known. */
  get count(): number {
    return this.#count
  }

  get public(): readonly PackagedTake[] {
    return Array.from(this.#byName.values(), (it) => it.public)
  }

  /** Of media, as it was sent. */
  get bytes(): number {
    let bytes = 0
    for (const { tracks } of this.#byName.values()) {
      for (const { segments } of tracks.values()) {
        for (const { sizeBytes } of segments.values()) bytes += sizeBytes
      }
    }
    return bytes
  }

  get(name: string): HomeTake | undefined {
    return this.#byName.get(name)
  }

  track(take: string, rendition: string): HomeTrack | undefined {
    return this.#byName.get(take)?.tracks.get(rendition)
  }

  segment(take: string, rendition: string, number: number): HomeSegment | undefined {
    return this.track(take, rendition)?.segments.get(number)
  }

  part(take: string, rendition: string, id: number): PackagedPart | undefined {
    const track = this.track(take, rendition)
    for (const { parts } of [...(track?.segments.values() ?? [])].reverse()) {
      if (parts[0] && parts[0].id <= id) return parts.find((it) => it.id === id)
    }
    return undefined
  }

  /** Whether all that the change refers to is here, or comes with it. */
  fits({ takes = [], inits, segments, playlists, coming }: FeedChange): boolean {
    const known = new Set<string>()
    for (const [name, { tracks }] of this.#byName) {
      for (const rendition of tracks.keys()) known.add(`${name}/${rendition}`)
    }
    const key = (it: { take: string; rendition: string }) => `${it.take}/${it.rendition}`
    const begun = new Set([...this.#byName.keys(), ...takes.map((it) => it.name)])
    const told = takes.flatMap(({ name, renditions }) =>
      renditions.map((it) => `${name}/${it.name}`),
    )
    const there = new Set([...known, ...inits.map(key)])
    const listable = new Set([...known, ...told])
    const has = (it: { take: string; rendition: string }) => listable.has(key(it))
    return (
      told.every((it) => there.has(it)) &&
      inits.every(has) &&
      segments.every(has) &&
      coming.every(has) &&
      playlists.every(
        ({ entries, next }) =>
          entries.every((it) => (it.gap ? begun.has(it.take) : has(it))) && (!next || has(next)),
      )
    )
  }

  /** Answers the renditions whose init section is another than the one that is known. */
  merge(
    { takes = [], inits }: FeedChange,
    bodies: readonly Buffer[],
    feed: number,
  ): { take: string; rendition: string }[] {
    const bytes = new Map(inits.map((it) => [`${it.take}/${it.rendition}`, bodies[it.body]!]))
    for (const it of takes) this.#mergeTake(it, bytes)
    if (takes.length > 0) {
      this.#kept = new Set(takes.map((it) => it.name))
      this.#endOthers(takes)
    }
    return inits.filter(({ take, rendition, body }) => {
      const track = this.track(take, rendition)
      if (!track || track.rendition.init.equals(bodies[body]!)) return false
      track.misfit = feed
      return true
    })
  }

  /** There is none of that number, for whoever asks by this name. */
  addGap({ take, rendition, number, startTicks, durationTicks }: FeedSegment, feed: number): void {
    const { public: own, tracks } = this.#byName.get(take)!
    const track = tracks.get(rendition)!
    const place = { number, startTicks, take: own, rendition: track.rendition }
    track.segments.set(number, gapSegment(place, durationTicks, feed))
  }

  /** Answers why it, or a part of it, is refused. */
  add(told: FeedSegment, bodies: readonly Buffer[], feed: number): string | undefined {
    const take = this.#byName.get(told.take)!
    const track = take.tracks.get(told.rendition)!
    if (track.misfit === feed) return 'its init section is another'
    let segment = track.segments.get(told.number)
    if (!segment) {
      const { number, startTicks } = told
      const place = { number, startTicks, take: take.public, rendition: track.rendition }
      segment = openSegment(place, feed)
      track.segments.set(number, segment)
    }
    return extendSegment(segment, told, bodies, feed)
  }

  /** Nobody makes anything: players that count numbers by the clock must know that they are behind the end. */
  end(): void {
    for (const take of this.#byName.values()) endWithMedia(take)
  }

  /** Of a rendition, in all takes. */
  forgetBelow(rendition: string, number: number): void {
    for (const { tracks } of this.#byName.values()) {
      const segments = tracks.get(rendition)?.segments
      for (const it of segments?.values() ?? []) {
        if (it.number < number && !it.isOpen) segments!.delete(it.number)
      }
    }
  }

  /** Takes of which nothing is left. */
  forgetEmpty(isListed: (take: PackagedTake) => boolean): void {
    for (const [name, { public: take, tracks }] of this.#byName) {
      const isEmpty = tracks.values().every(({ segments }) => segments.size === 0)
      if (isEmpty && !this.#kept.has(name) && !isListed(take)) this.#byName.delete(name)
    }
  }

  #mergeTake({ renditions, ...told }: FeedTake, inits: ReadonlyMap<string, Buffer>): void {
    let take = this.#byName.get(told.name)
    if (!take) {
      const own = { ...told, endSeconds: told.endSeconds, renditions: [] }
      take = { public: own, position: this.#count++, tracks: new Map() }
      this.#byName.set(told.name, take)
    }
    take.public.endSeconds = told.endSeconds
    // A transcoder that takes over learns bit by bit what is known here.
    take.public.isComplete ||= told.isComplete
    for (const { name, ...it } of renditions) {
      const track = take.tracks.get(name)
      if (track) track.rendition.framesPerSecond = it.framesPerSecond
      else {
        const rendition = { name, ...it, init: inits.get(`${told.name}/${name}`)! }
        take.tracks.set(name, { rendition, segments: new Map(), coming: [], misfit: undefined })
      }
    }
    const order = [...new Set([...renditions.map((it) => it.name), ...take.tracks.keys()])]
    take.public.renditions = order.map((name) => take.tracks.get(name)!.rendition)
  }

  /** What an earlier transcoder left open has ended. */
  #endOthers(takes: readonly FeedTake[]): void {
    for (const [name, take] of this.#byName) {
      if (takes.some((it) => it.name === name)) continue
      for (const track of take.tracks.values()) track.coming = []
      endWithMedia(take)
    }
  }
}

/** Where its media ends, unless that was told. */
function endWithMedia({ public: take, tracks }: HomeTake): void {
  if (take.endSeconds !== undefined) return
  const segments = [...tracks.values()].flatMap((it) => [...it.segments.values()])
  const ends = segments.filter((it) => !it.isGap).map(endSecondsOf)
  take.endSeconds = Math.max(take.startSeconds, ...ends)
}
