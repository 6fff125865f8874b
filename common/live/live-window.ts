// Which segments of a live broadcast are listed now, and where its discontinuities are.
import type {
  LiveBroadcast,
  LiveSettings,
  PackagedPlaylist,
  PackagedSegment,
} from './live-broadcast.ts'
import type { BroadcastFacts } from './segment-log.ts'

export interface LiveWindow {
  settings: LiveSettings
  playlist: PackagedPlaylist
  /** Gaps are complete. */
  complete: readonly PackagedSegment[]
  /** Has at least one part. */
  open: PackagedSegment | undefined
  /** Number of the first listed segment. */
  mediaSequence: number
  /** Discontinuities that left at the start. */
  discontinuitySequence: number
  /** Whether a listed segment opens with a discontinuity; the open one is the last. */
  hasDiscontinuity: readonly boolean[]
}

/** A live playlist must not fall below three target durations (RFC 8216bis §6.2.2). */
export const minimumTargetDurations = 3

/** What is listed, where segments are as long as they should be. */
export function windowSecondsOf(settings: LiveSettings): number {
  const { windowSegments, segmentSeconds, targetDurationSeconds } = settings
  return Math.max(windowSegments * segmentSeconds, minimumTargetDurations * targetDurationSeconds)
}

/** From where on segments may be listed, and are kept for whoever saw them listed, when the newest ends there (seconds). */
export function keptSpanOf(
  settings: LiveSettings,
  endSeconds: number,
): { listedFrom: number; keptFrom: number } {
  const span = windowSecondsOf(settings) + settings.segmentSeconds
  return { listedFrom: endSeconds - span, keptFrom: endSeconds - 2 * span }
}

/** Undefined while nothing can be listed. */
export function liveWindowOf(broadcast: LiveBroadcast, name: string): LiveWindow | undefined {
  const { settings } = broadcast
  const playlist = broadcast.playlist(name)
  if (!settings || !playlist) return undefined
  const kept = playlist.segments.filter((it) => !it.isOpen)
  const newest = playlist.segments.at(-1)
  const open = newest?.isOpen && newest.parts.length > 0 ? newest : undefined

  const minimumSeconds = minimumTargetDurations * settings.targetDurationSeconds
  let from = kept.length
  let seconds = 0
  while (from > 0 && (kept.length - from < settings.windowSegments || seconds < minimumSeconds)) {
    from--
    seconds += secondsOf(kept[from]!)
  }
  const complete = kept.slice(from)
  const first = complete[0] ?? open
  if (!first) return undefined

  const opens = playlist.segments.map((it, index) =>
    opensTake(it, playlist.segments[index - 1], broadcast.facts),
  )
  const lost = opens.slice(0, from).filter(Boolean).length
  return {
    settings,
    playlist,
    complete,
    open,
    mediaSequence: first.number,
    discontinuitySequence: playlist.discontinuitySequence + lost,
    hasDiscontinuity: opens.slice(from),
  }
}

/** Each take but the first of a broadcast opens with a discontinuity, whatever is left of the take before. */
function opensTake(
  { number, take }: PackagedSegment,
  before: PackagedSegment | undefined,
  { firstNumber, earlierTakes }: BroadcastFacts,
): boolean {
  if (before) return before.take !== take
  const isVeryFirst = earlierTakes === 0 && number === firstNumber
  return number === take.firstNumber && !isVeryFirst
}

export function secondsOf({ durationTicks, rendition }: PackagedSegment): number {
  return durationTicks / rendition.timescale
}
