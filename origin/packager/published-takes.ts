// What a packager has published: takes that have begun, as manifests and servers read them, until it is forgotten.

import {
  type Coming,
  isPartlyElsewhere,
  type LiveSettings,
  numbersAhead,
  type PackagedPart,
  type PackagedPlaylist,
  type PackagedSegment,
  type PackagedTake,
} from '../../common/live/live-broadcast.ts'
import { keptSpanOf } from '../../common/live/live-window.ts'
import { renditionFor } from '../../common/live/presentation.ts'
import type { CutSegment } from './cut-segment.ts'
import type { TrackCutter } from './cutter.ts'
import type { TakeState } from './take-state.ts'

export class PublishedTakes {
  /** That have begun, oldest first, as long as a segment of them is kept. */
  readonly begun: TakeState[] = []
  /** Also those that have yet to begin. */
  readonly byName = new Map<string, TakeState>()
  /** Of all renditions that ever were. */
  readonly kinds = new Map<string, 'video' | 'audio'>()
  /** Of the part that comes next, by rendition name. */
  readonly partIds = new Map<string, { next: number }>()
  /** Takes that have begun, those of earlier packagers included. */
  takeCount = 0
  isEnded = false
  /** Of the segment that comes first, and the earliest that it may begin. */
  first = { number: 1, seconds: 0 }
  readonly #playlists = new Map<string, { version: number; playlist: PackagedPlaylist }>()

  /** Written once per version. */
  playlist(name: string, version: number): PackagedPlaylist | undefined {
    const kept = this.#playlists.get(name)
    if (kept?.version === version) return kept.playlist
    const kind = this.kinds.get(name)
    if (!kind || this.begun.length === 0) return undefined
    const playlist = this.#writePlaylist(name, kind)
    this.#playlists.set(name, { version, playlist })
    return playlist
  }

  segment(take: string, rendition: string, number: number): PackagedSegment | undefined {
    return this.#cutter(take, rendition)?.segment(number)
  }

  part(take: string, rendition: string, id: number): PackagedPart | undefined {
    const segments = this.#cutter(take, rendition)?.segments ?? []
    for (let i = segments.length - 1; i >= 0; i--) {
      const first = segments[i]!.parts[0]
      if (first && first.id <= id) return segments[i]!.parts[id - first.id]
    }
    return undefined
  }

  take(name: string): PackagedTake | undefined {
    return this.begun.find((it) => it.plan.name === name)?.public
  }

  expects(takeName: string, rendition: string, number: number): Coming {
    const there = this.segment(takeName, rendition, number)
    if (there) return { kind: there.isGap || isPartlyElsewhere(there) ? 'absent' : 'here' }
    const take = this.byName.get(takeName)
    const track = take?.tracks.get(rendition)
    if (!take?.timeline || !track || this.isEnded) return { kind: 'absent' }
    const { timeline } = take
    const next = track.cutter?.number ?? timeline.firstNumber
    const hasEnded = timeline.mediaEndSeconds !== undefined
    const isOver = track.cutter ? track.cutter.isMediaDone : track.isOver
    const isNextOpen = track.cutter?.segment(next) !== undefined
    const last = isNextOpen ? next : next - 1
    if (isOver || number <= last || number > last + numbersAhead) return { kind: 'absent' }
    return { kind: hasEnded && !timeline.cut(number) ? 'absent' : 'coming' }
  }

  expectsPart(takeName: string, rendition: string, id: number): Coming {
    const there = this.part(takeName, rendition, id)
    if (there) {
      return { kind: there.isGap || there.elsewhereBytes !== undefined ? 'absent' : 'here' }
    }
    const track = this.byName.get(takeName)?.tracks.get(rendition)
    if (!track?.cutter || this.isEnded || track.cutter.isMediaDone) return { kind: 'absent' }
    const next = this.partIds.get(rendition)?.next ?? 1
    return { kind: id >= next && id < next + numbersAhead ? 'coming' : 'absent' }
  }

  /** Keeps what is listed, and what was listed for as long as a client may still ask (RFC 8216bis §6.2.2). */
  trim(newest: CutSegment, settings: LiveSettings): void {
    const end = (newest.startTicks + newest.durationTicks) / newest.rendition.timescale
    const { listedFrom, keptFrom } = keptSpanOf(settings, end)
    let number: number | undefined
    for (const { leader } of this.begun) {
      const segments = leader.cutter?.segments ?? []
      const kept = segments.find(
        ({ startTicks, durationTicks, rendition }) =>
          (startTicks + durationTicks) / rendition.timescale >= keptFrom,
      )
      if (kept) {
        number = kept.number
        break
      }
    }
    // Of the leader there is nothing to forget; of others there may be what it had before this packager.
    const oldest = this.begun.find((it) => it.leader.cutter?.segments[0])
    if (number === undefined || number === oldest?.leader.cutter?.segments[0]?.number) return
    // However long the publisher is away: MPDs name what was there last until what came next has filled the window, and
    // bitrates are measured on it.
    number = Math.min(number, this.#newestMediaNumber(listedFrom) ?? number)
    for (const take of this.begun) {
      let lowest = number
      for (const [name, { cutter }] of take.tracks) {
        cutter?.forgetBelow(number)
        if (!take.isDone(name)) lowest = Math.min(lowest, cutter?.number ?? 0)
      }
      take.timeline!.forgetBelow(lowest)
    }
    while (this.begun.length > 1 && isForgotten(this.begun[0]!)) {
      this.byName.delete(this.begun.shift()!.plan.name)
    }
  }

  #newestMediaNumber(beforeSeconds: number): number | undefined {
    for (let i = this.begun.length - 1; i >= 0; i--) {
      const segments = this.begun[i]!.leader.cutter?.segments ?? []
      const newest = segments.findLast(
        ({ isGap, sizeBytes, startTicks, rendition }) =>
          !isGap && sizeBytes > 0 && startTicks / rendition.timescale < beforeSeconds,
      )
      if (newest) return newest.number
    }
    return undefined
  }

  #cutter(take: string, rendition: string): TrackCutter | undefined {
    return this.byName.get(take)?.tracks.get(rendition)?.cutter
  }

  #writePlaylist(name: string, kind: 'video' | 'audio'): PackagedPlaylist {
    const segments: PackagedSegment[] = []
    let next: PackagedPlaylist['next']
    for (const take of this.begun) {
      const own = take.tracks.get(name)
      // What was promised is waited for; what will never come has a stand-in.
      if (own && !own.rendition && !own.isOver) break
      const rendition = renditionFor(take.public, name)
      const track = rendition ? take.tracks.get(rendition.name)! : take.leader
      const { cutter } = track
      const listed = rendition ? (cutter?.segments ?? []) : take.twins(name, kind)
      for (const segment of listed) segments.push(segment)
      if (take.isDone(track.plan.name)) continue
      if (cutter && rendition && !cutter.isMediaDone && !this.isEnded) {
        next = {
          partId: this.partIds.get(rendition.name)!.next,
          number: cutter.number,
          take: take.public,
          rendition: track.rendition!,
        }
      }
      break
    }
    return {
      name,
      kind,
      segments,
      discontinuitySequence: this.#discontinuitiesBefore(segments[0]),
      next,
    }
  }

  #discontinuitiesBefore(segment: PackagedSegment | undefined): number {
    if (!segment) return this.takeCount
    const { ordinal } = this.byName.get(segment.take.name)!
    return Math.max(0, ordinal - (segment.number === segment.take.firstNumber ? 1 : 0))
  }
}

function isForgotten(take: TakeState): boolean {
  for (const { cutter } of take.tracks.values())
    if (cutter && cutter.segments.length > 0) return false
  return take.isAllDone
}
