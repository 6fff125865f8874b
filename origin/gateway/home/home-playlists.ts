// The playlists of a broadcast at its home: which segments are listed under which name, oldest first.
//
// Numbers step by one, whoever makes them: what nobody has made is a gap. An entry is never replaced.
import type { FeedEntry, FeedPlaylist } from '../../../common/contract/feed.ts'
import type {
  LiveSettings,
  PackagedPlaylist,
  PackagedRendition,
} from '../../../common/live/live-broadcast.ts'
import { keptSpanOf } from '../../../common/live/live-window.ts'
import { endSecondsOf, gapSegment, type HomeSegment, sealSegment } from './home-segment.ts'
import type { HomeTakes } from './home-takes.ts'

export interface HomePlaylist {
  name: string
  kind: 'video' | 'audio'
  segments: HomeSegment[]
  next: PackagedPlaylist['next']
}

/** A segment has to last, or players stumble over it. */
const shortestGapSeconds = 0.05
/** So many numbers and more are another count, not a hole in this one. */
const mostMissing = 30

export class HomePlaylists {
  readonly #takes: HomeTakes
  readonly #byName = new Map<string, HomePlaylist>()
  /** The feed does not have all that is listed here: what leaves is for this home to tell. */
  #hasOlder = false

  constructor(takes: HomeTakes) {
    this.#takes = takes
  }

  get names(): string[] {
    return [...this.#byName.keys()]
  }

  get(name: string): HomePlaylist | undefined {
    return this.#byName.get(name)
  }

  /** Whether the number is listed already, as something else. */
  hasOther(name: string, number: number, segment: HomeSegment | undefined): boolean {
    const segments = this.#byName.get(name)?.segments ?? []
    const last = segments.at(-1)
    if (!last || number > last.number) return false
    return !segment || !segments.includes(segment)
  }

  isBehindWindow(name: string, number: number): boolean {
    const first = this.#byName.get(name)?.segments[0]
    return first !== undefined && number < first.number
  }

  merge(told: FeedPlaylist, feed: number): void {
    const { name, kind, entries, first, next } = told
    let list = this.#byName.get(name)
    if (!list) {
      list = { name, kind, segments: [], next: undefined }
      this.#byName.set(name, list)
    }
    const oldest = list.segments[0]
    const opensAt = told.discontinuitySequence === undefined ? undefined : entries[0]?.number
    if (oldest && opensAt !== undefined && oldest.number < opensAt) this.#hasOlder = true
    for (const entry of entries) this.#list(list, entry, feed)
    if (next !== undefined) list.next = next ? this.#nextOf(next) : undefined
    if (first !== undefined) {
      this.#hasOlder = false
      this.#forgetBelow(list, first)
    }
  }

  /** Keeps what is listed, and what was for as long again, where the feed cannot tell. */
  trim(settings: LiveSettings): void {
    if (!this.#hasOlder) return
    const names = this.#takes.public.at(-1)?.renditions.map((it) => it.name) ?? []
    const leader = this.#byName.get(names[0] ?? '')
    const newest = leader?.segments.findLast((it) => !it.isOpen)
    if (!leader || !newest) return
    const { listedFrom, keptFrom } = keptSpanOf(settings, endSecondsOf(newest))
    const kept = leader.segments.find((it) => endSecondsOf(it) >= keptFrom)
    // However long the media is away: manifests name what was there last.
    const media = leader.segments.findLast(
      (it) => it.sizeBytes > 0 && it.startTicks / it.rendition.timescale < listedFrom,
    )
    const number = Math.min(kept?.number ?? 0, media?.number ?? Infinity)
    for (const list of this.#byName.values()) this.#forgetBelow(list, number)
  }

  /** One segment of time that nobody has made anything of, in all playlists. */
  addGap(segmentSeconds: number, feed: number): void {
    const begun = [...this.#byName.values()].filter((it) => it.segments.length > 0)
    const number = Math.max(...begun.map((it) => it.segments.at(-1)!.number)) + 1
    const lists = begun.filter((it) => it.segments.at(-1)!.number + mostMissing >= number)
    const lasts = lists.map((it) => it.segments.at(-1)!)
    for (const it of lasts) sealSegment(it)
    const seconds = Math.max(...lasts.map(endSecondsOf)) + segmentSeconds
    for (const list of lists) {
      this.#fill(list, number, seconds, feed)
      if (list.next) list.next = { ...list.next, number }
    }
  }

  /** Nothing more comes. */
  close(): void {
    for (const { segments } of this.#byName.values()) {
      const last = segments.at(-1)
      if (last) sealSegment(last)
    }
  }

  lists(take: object): boolean {
    return this.#byName.values().some(({ segments }) => segments.some((it) => it.take === take))
  }

  #list(list: HomePlaylist, entry: FeedEntry, feed: number): void {
    const last = list.segments.at(-1)
    if (last && entry.number <= last.number) return
    const segment = entry.gap
      ? this.#twin(list, entry, entry.gap, feed)
      : this.#takes.segment(entry.take, entry.rendition, entry.number)
    if (!segment) return
    if (last) {
      sealSegment(last)
      const missing = entry.number - last.number - 1
      if (missing > mostMissing) list.segments = []
      else if (missing > 0) {
        const start = segment.startTicks / segment.rendition.timescale
        this.#fill(list, entry.number - 1, start, feed)
      }
    }
    list.segments.push(segment)
  }

  /** Gaps up to that number, which end there. */
  #fill(list: HomePlaylist, untilNumber: number, untilSeconds: number, feed: number): void {
    for (;;) {
      const last = list.segments.at(-1)!
      const missing = untilNumber - last.number
      if (missing <= 0) return
      const { take, rendition } = last
      const startTicks = last.startTicks + last.durationTicks
      const seconds = (untilSeconds - startTicks / rendition.timescale) / missing
      const ticks = Math.round(Math.max(seconds, shortestGapSeconds) * rendition.timescale)
      const gap = gapSegment({ number: last.number + 1, take, rendition, startTicks }, ticks, feed)
      list.segments.push(gap)
      if (rendition.name !== list.name) continue
      this.#takes.track(take.name, rendition.name)?.segments.set(gap.number, gap)
    }
  }

  #forgetBelow(list: HomePlaylist, number: number): void {
    const { segments } = list
    let count = 0
    while (count < segments.length - 1 && segments[count]!.number < number) count++
    if (count === 0) return
    segments.splice(0, count)
    this.#takes.forgetBelow(list.name, segments[0]!.number)
  }

  #twin(
    { name, kind }: HomePlaylist,
    { number, take }: FeedEntry,
    { startTicks, durationTicks, timescale }: NonNullable<FeedEntry['gap']>,
    feed: number,
  ): HomeSegment {
    const it = this.#takes.get(take)!.public
    const rendition = nobody(name, kind, timescale)
    return gapSegment({ number, take: it, rendition, startTicks }, durationTicks, feed)
  }

  #nextOf(next: NonNullable<FeedPlaylist['next']>): PackagedPlaylist['next'] {
    const { partId, number, take, rendition } = next
    const track = this.#takes.track(take, rendition)!
    return { partId, number, take: this.#takes.get(take)!.public, rendition: track.rendition }
  }
}

/** Stands for a rendition that the take does not have. */
function nobody(name: string, kind: 'video' | 'audio', timescale: number): PackagedRendition {
  const shape = { width: 0, height: 0, sampleRate: 0, channels: 0 }
  const defaults = { durationTicks: 0, sizeBytes: 0, flags: 0 }
  return {
    ...shape,
    ...{ name, kind, timescale, codec: '', framesPerSecond: 0 },
    ...{ isSource: false, nominalBitsPerSecond: 0 },
    init: Buffer.alloc(0),
    track: { ...shape, kind, timescale, codec: '', trackId: 1, defaults },
  }
}
