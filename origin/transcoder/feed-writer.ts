// What has changed in a broadcast since a feed was last told, as frames.
//
// It remembers per rendition of a take, and per playlist, how far it has told, and compares: a feed that could not
// take anything for a while gets all that is still kept in one change.
import type {
  FeedChange,
  FeedEntry,
  FeedPlaylist,
  FeedSegment,
} from '../../common/contract/feed.ts'
import { type ResumePoint, withoutInits } from '../../common/contract/resume-point.ts'
import type {
  LiveBroadcast,
  PackagedPlaylist,
  PackagedRendition,
  PackagedSegment,
  PackagedTake,
} from '../../common/live/live-broadcast.ts'
import { numbersAhead } from '../../common/live/live-broadcast.ts'
import { measurePeaks } from '../../common/live/live-presentation.ts'

export interface ChangeFrames {
  bodies: readonly Buffer[]
  change: FeedChange
}

interface ToldTrack {
  take: string
  rendition: string
  /** Of the segment that is open, or comes next; undefined while there was none. */
  number: number | undefined
  /** Of that segment. */
  parts: number
  coming: string
}

interface ToldPlaylist {
  /** First that is kept, and last that was told. */
  first: number | undefined
  last: number
  next: string
}

/** Where a rendition has no segment yet, its first is looked for among the newest. */
const searchedNumbers = 40

export class FeedWriter {
  readonly #broadcast: LiveBroadcast
  readonly #point: () => ResumePoint | undefined
  readonly #tracks = new Map<string, ToldTrack>()
  readonly #playlists = new Map<string, ToldPlaylist>()
  #hasSettings = false
  #takes = ''
  #peaks = '{}'

  /** `point` answers where another transcoder would go on. */
  constructor(broadcast: LiveBroadcast, point: () => ResumePoint | undefined = () => undefined) {
    this.#broadcast = broadcast
    this.#point = point
  }

  /** All that is new since the call before. */
  next(): ChangeFrames {
    const broadcast = this.#broadcast
    const bodies: Buffer[] = []
    const change: FeedChange = {
      kind: 'change',
      inits: [],
      segments: [],
      playlists: [],
      coming: [],
    }
    if (broadcast.settings && !this.#hasSettings) {
      this.#hasSettings = true
      change.settings = broadcast.settings
    }
    if (broadcast.isEnded) change.isEnded = true
    const takes = broadcast.takes.map(takeView)
    const text = JSON.stringify(takes)
    if (text !== this.#takes) {
      this.#takes = text
      change.takes = takes
      this.#forgetTracks()
    }
    const newest = this.#newestNumber()
    for (const take of broadcast.takes) {
      for (const rendition of take.renditions) {
        this.#tellTrack(take, rendition, newest, change, bodies)
      }
    }
    for (const name of broadcast.playlistNames) {
      const playlist = broadcast.playlist(name)
      const view = playlist && this.#playlistView(playlist)
      if (view) change.playlists.push(view)
    }
    this.#tellPeaks(change)
    const point = change.segments.length > 0 ? this.#point() : undefined
    if (point) {
      const text = Buffer.from(JSON.stringify(withoutInits(point)))
      const { connection, input } = point
      const neededMs = input.entry.timestampMs
      change.point = { body: bodies.push(text) - 1, connection, neededMs }
    }
    return { bodies, change }
  }

  #tellPeaks(change: FeedChange): void {
    const { peaks } = this.#broadcast
    if (change.segments.some((it) => !it.isOpen)) measurePeaks(this.#broadcast)
    const all = peaks.all()
    const text = JSON.stringify(all)
    if (text === this.#peaks) return
    this.#peaks = text
    change.peaks = all
  }

  #newestNumber(): number {
    let newest = 0
    for (const name of this.#broadcast.playlistNames) {
      newest = Math.max(newest, this.#broadcast.playlist(name)?.segments.at(-1)?.number ?? 0)
    }
    return newest
  }

  #forgetTracks(): void {
    for (const [key, { take, rendition }] of this.#tracks) {
      const now = this.#broadcast.take(take)
      if (!now?.renditions.some((it) => it.name === rendition)) this.#tracks.delete(key)
    }
  }

  #tellTrack(
    take: PackagedTake,
    rendition: PackagedRendition,
    newest: number,
    change: FeedChange,
    bodies: Buffer[],
  ): void {
    const { name } = rendition
    const key = `${take.name}/${name}`
    let told = this.#tracks.get(key)
    if (!told) {
      told = { take: take.name, rendition: name, number: undefined, parts: 0, coming: '' }
      this.#tracks.set(key, told)
      change.inits.push({ take: take.name, rendition: name, body: bodies.push(rendition.init) - 1 })
    }
    told.number ??= this.#firstNumber(take, name, newest)
    for (;;) {
      const number = told.number
      const segment = number === undefined ? undefined : this.#find(take, name, number, newest)
      if (!segment) break
      if (segment.number !== number) told.parts = 0
      if (!segment.isOpen || segment.parts.length > told.parts) {
        change.segments.push(segmentView(segment, told.parts, bodies))
      }
      told.number = segment.isOpen ? segment.number : segment.number + 1
      told.parts = segment.isOpen ? segment.parts.length : 0
      if (segment.isOpen) break
    }
    const numbers = this.#comingNumbers(take, name, told, newest)
    const coming = JSON.stringify(numbers)
    if (coming === told.coming) return
    told.coming = coming
    change.coming.push({ take: take.name, rendition: name, numbers })
  }

  /** The next one that is kept: a feed that was behind may have missed some. */
  #find(
    take: PackagedTake,
    rendition: string,
    from: number,
    newest: number,
  ): PackagedSegment | undefined {
    for (let number = from; number <= Math.max(from, newest); number++) {
      const segment = this.#broadcast.segment(take.name, rendition, number)
      if (segment) return segment
    }
    return undefined
  }

  #firstNumber(take: PackagedTake, rendition: string, newest: number): number | undefined {
    const lowest = Math.max(take.firstNumber, newest - searchedNumbers)
    for (let number = lowest; number <= newest + numbersAhead; number++) {
      if (this.#broadcast.segment(take.name, rendition, number)) return number
    }
    return undefined
  }

  #comingNumbers(
    take: PackagedTake,
    rendition: string,
    { number }: ToldTrack,
    newest: number,
  ): number[] {
    const from = number ?? Math.max(take.firstNumber, newest - searchedNumbers)
    const until = number === undefined ? newest + numbersAhead : number + numbersAhead
    const numbers: number[] = []
    for (let it = from; it <= until; it++) {
      const { kind } = this.#broadcast.expects(take.name, rendition, it)
      if (kind === 'coming') numbers.push(it)
    }
    return numbers
  }

  #playlistView(playlist: PackagedPlaylist): FeedPlaylist | undefined {
    const { name, kind, segments, discontinuitySequence } = playlist
    const first = segments[0]
    let told = this.#playlists.get(name)
    const isNew = !told
    if (!told) {
      told = { first: undefined, last: -1, next: '' }
      this.#playlists.set(name, told)
    }
    const { last } = told
    const entries: FeedEntry[] = []
    for (let i = segments.length - 1; i >= 0 && segments[i]!.number > last; i--) {
      entries.unshift(this.#entryView(segments[i]!))
    }
    const next = playlist.next && {
      partId: playlist.next.partId,
      number: playlist.next.number,
      take: playlist.next.take.name,
      rendition: playlist.next.rendition.name,
    }
    const nextText = JSON.stringify(next ?? null)
    const hasForgotten =
      first !== undefined && told.first !== undefined && first.number > told.first
    const opens = told.first === undefined && first !== undefined
    if (!isNew && entries.length === 0 && nextText === told.next && !hasForgotten) return undefined
    const view: FeedPlaylist = { name, kind, entries }
    if (hasForgotten) view.first = first.number
    if (opens) view.discontinuitySequence = discontinuitySequence
    if (nextText !== told.next) view.next = next ?? null
    told.first = first?.number ?? told.first
    told.last = segments.at(-1)?.number ?? last
    told.next = nextText
    return view
  }

  #entryView(segment: PackagedSegment): FeedEntry {
    const { number, take, rendition, startTicks, durationTicks } = segment
    const entry = { number, take: take.name, rendition: rendition.name }
    if (take.renditions.some((it) => it.name === rendition.name)) return entry
    return { ...entry, gap: { startTicks, durationTicks, timescale: rendition.timescale } }
  }
}

function takeView(take: PackagedTake) {
  const { endSeconds, renditions, ...rest } = take
  return {
    ...rest,
    ...(endSeconds !== undefined && { endSeconds }),
    renditions: renditions.map(({ init: _, ...it }) => it),
  }
}

function segmentView(segment: PackagedSegment, toldParts: number, bodies: Buffer[]): FeedSegment {
  const { number, startTicks, durationTicks, isOpen, isGap, keyframeBytes } = segment
  return {
    take: segment.take.name,
    rendition: segment.rendition.name,
    number,
    startTicks,
    durationTicks,
    isOpen,
    isGap,
    keyframeBytes,
    parts: segment.parts.slice(toldParts).map(({ bytes, isGap: isGapPart, ...it }) => ({
      ...it,
      ...(!isGapPart && it.elsewhereBytes === undefined && { body: bodies.push(bytes) - 1 }),
    })),
  }
}
