// What a live broadcast answers to a request: at once where it can, later where the answer is coming, 404 only
// for what never comes.
//
// Every request is a probe of the broadcast's state, tried now and after each change (change-waits.ts).
import type { Clock } from '../clock.ts'
import { ChangeWaits } from './change-waits.ts'
import { reloadState } from './hls-live.ts'
import { isPartlyElsewhere, type LiveBroadcast, numbersAhead } from './live-broadcast.ts'
import { LiveTexts } from './live-texts.ts'
import {
  type Answer,
  mediaAnswer,
  refused,
  renditionUnknown,
  segmentUnknown,
  types,
} from './playback-answer.ts'
import type { AskedDirectives, PlaybackPath } from './playback-path.ts'
import { timelineZeroMs } from './segment-log.ts'

/** A broadcast that is live, or has ended a moment ago. */
export interface LiveStream {
  broadcast: LiveBroadcast
  /** Where a file of a rendition is once it is on disk: an init section or a closed segment. */
  file(take: string, rendition: string, name: string): string | undefined
}

export type LivePath = Exclude<PlaybackPath, { kind: 'time' }>

/** A manifest asked for before anything is listed is held so long. */
const firstListingMs = 6_000
/** Gateways and edges wait a little longer than this, so that they hear our reason. */
const longestHoldMs = 12_000

interface SegmentName {
  take: string
  rendition: string
  number: number
}

interface Question {
  /** The answer, as soon as there is one. */
  probe: () => Answer | undefined
  ms: number
  /** The answer when the time is over. */
  late: Answer
}

export class LiveAnswers {
  readonly #clock: Clock
  readonly #waits = new WeakMap<LiveBroadcast, ChangeWaits>()
  readonly #texts = new WeakMap<LiveBroadcast, LiveTexts>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Undefined when the signal has aborted, or the wait was let go, before there was an answer. */
  async find(
    live: LiveStream,
    path: LivePath,
    directives: AskedDirectives,
    signal: AbortSignal,
  ): Promise<Answer | undefined> {
    const { probe, ms, late } = this.#question(live, path, directives)
    const end = await this.waits(live.broadcast).until(probe, { ms, signal })
    if (end === 'left') return undefined
    return end === 'late' ? late : end.found
  }

  waits(broadcast: LiveBroadcast): ChangeWaits {
    const known = this.#waits.get(broadcast)
    if (known) return known
    const waits = new ChangeWaits(broadcast, this.#clock)
    this.#waits.set(broadcast, waits)
    return waits
  }

  #textsOf(broadcast: LiveBroadcast): LiveTexts {
    const known = this.#texts.get(broadcast)
    if (known) return known
    const texts = new LiveTexts(broadcast, this.#clock)
    this.#texts.set(broadcast, texts)
    return texts
  }

  #question(live: LiveStream, path: LivePath, { position, skip }: AskedDirectives): Question {
    const { broadcast } = live
    const texts = this.#textsOf(broadcast)
    switch (path.kind) {
      case 'multivariant':
        return unlistedYet(broadcast, () => texts.multivariant())
      case 'mpd':
        return unlistedYet(broadcast, () => texts.mpd(path.addressing))
      case 'playlist':
      case 'iframes': {
        const { kind, rendition } = path
        const text = () => texts[kind](rendition, skip)
        const isUnknown = () => texts.multivariant() && !isOffered(broadcast, kind, rendition)
        const unblocked = () => text() ?? (isUnknown() ? renditionUnknown : undefined)
        if (!position || !broadcast.settings) return unlistedYet(broadcast, unblocked)
        // There are no parts in a playlist of keyframes.
        const wanted = kind === 'iframes' ? { msn: position.msn } : position
        const probe = () => {
          const state = reloadState(broadcast, rendition, wanted)
          if (state === 'too-far') return tooFar
          if (state === 'wait' && !broadcast.isEnded) return undefined
          return unblocked() ?? (broadcast.isEnded ? notYet : undefined)
        }
        return { probe, ms: holdMs(broadcast), late: overdue }
      }
      case 'init':
        return media(broadcast, () => initOf(live, path))
      case 'segment':
        return media(broadcast, () => segmentOf(live, path, this.#clock.now()))
      case 'part':
        return media(broadcast, () => partOf(broadcast, path))
    }
  }
}

function unlistedYet(broadcast: LiveBroadcast, text: () => Answer | undefined): Question {
  const probe = () => text() ?? (broadcast.isEnded ? notYet : undefined)
  return { probe, ms: firstListingMs, late: notYet }
}

function media(broadcast: LiveBroadcast, probe: () => Answer | undefined): Question {
  return { probe, ms: holdMs(broadcast), late: overdue }
}

/** RFC 8216bis §6.2.5.2: a request is blocked for three target durations at most. */
function holdMs({ settings }: LiveBroadcast): number {
  return Math.min(longestHoldMs, 3_000 * (settings?.targetDurationSeconds ?? Infinity))
}

function isOffered(broadcast: LiveBroadcast, kind: 'playlist' | 'iframes', name: string): boolean {
  const playlist = broadcast.playlist(name)
  return playlist !== undefined && (kind === 'playlist' || playlist.kind === 'video')
}

function initOf(live: LiveStream, path: { take: string; rendition: string }): Answer {
  const take = live.broadcast.take(path.take)
  const rendition = take?.renditions.find((it) => it.name === path.rendition)
  if (rendition) return mediaAnswer(rendition.init, types.init)
  return fileAnswer(live.file(path.take, path.rendition, 'init.mp4'), types.init)
}

function segmentOf(
  live: LiveStream,
  { take, rendition, number }: SegmentName,
  nowMs: number,
): Answer | undefined {
  const { broadcast } = live
  const segment = broadcast.segment(take, rendition, number)
  if ((!segment || segment.isGap) && isBehindTake(broadcast, { take, rendition, number })) {
    return undefined
  }
  if (!segment) {
    const { kind } = broadcast.expects(take, rendition, number)
    const isComing = kind === 'coming' || isDue(broadcast, { take, rendition, number }, nowMs)
    if (isComing && !broadcast.isEnded) return undefined
    return fileAnswer(live.file(take, rendition, `${number}.m4s`), types.segment)
  }
  if (isPartlyElsewhere(segment)) return segmentUnknown
  if (segment.sizeBytes > 0) {
    return mediaAnswer({ segment: { take, rendition, number } }, types.segment)
  }
  return segment.isOpen && !broadcast.isEnded ? undefined : segmentUnknown
}

/**
 * Its publisher is away, and players cannot know yet where the next take begins: dash.js asks fifteen times in 1.5 s
 * and then gives the stream up. They are held until the next take has a whole segment in every rendition, which is
 * longer than it takes them to fetch the MPD again: that lists a take as soon as all have begun.
 */
function isBehindTake(
  broadcast: LiveBroadcast,
  { take: name, rendition, number }: SegmentName,
): boolean {
  const index = broadcast.takes.findIndex((it) => it.name === name)
  if (broadcast.isEnded || broadcast.takes[index]?.endSeconds === undefined) return false
  const kept = broadcast.playlist(rendition)?.segments ?? []
  const last = kept.findLast((it) => it.take.name === name && !it.isGap)
  if (!last || number <= last.number || number > kept.at(-1)!.number + numbersAhead) return false
  const next = broadcast.takes[index + 1]
  const hasBegun = next?.renditions.every((it) => {
    const first = broadcast.segment(next.name, it.name, next.firstNumber)
    return first !== undefined && !first.isOpen
  })
  return !next?.isComplete || !hasBegun
}

/** By the clock it has begun, and media is late: a DASH player that jumps to the live edge asks for it all the same. */
function isDue(
  broadcast: LiveBroadcast,
  { take: name, rendition, number }: SegmentName,
  nowMs: number,
): boolean {
  const take = broadcast.takes.at(-1)
  if (take?.name !== name || take.endSeconds !== undefined || !take.isRegular) return false
  const newest = broadcast.playlist(rendition)?.segments.at(-1)
  if (newest?.take.name !== name || number <= newest.number) return false
  const startSeconds =
    take.startSeconds + (number - take.firstNumber) * broadcast.settings!.segmentSeconds
  return timelineZeroMs(broadcast.facts) + startSeconds * 1000 <= nowMs
}

function partOf(
  broadcast: LiveBroadcast,
  { take, rendition, id }: { take: string; rendition: string; id: number },
): Answer | undefined {
  const part = broadcast.part(take, rendition, id)
  if (part) {
    const isHere = !part.isGap && part.elsewhereBytes === undefined
    return isHere ? mediaAnswer(part.bytes, types.segment) : segmentUnknown
  }
  const isComing = broadcast.expectsPart(take, rendition, id).kind === 'coming'
  return isComing && !broadcast.isEnded ? undefined : segmentUnknown
}

function fileAnswer(file: string | undefined, type: string): Answer {
  return file === undefined ? segmentUnknown : mediaAnswer({ file }, type)
}

const notYet = refused(404, 'not-yet', 'Nothing to play yet.')
const tooFar = refused(400, 'too-far', 'This position is too far ahead of what is live.')
const overdue = refused(503, 'overdue', 'What was waited for has not come in time.')
