// The rules of blocking reloads (RFC 8216bis §6.2.5.2), by what a playlist's own text says. The packager holds by the same
// rules from what it knows itself (common/live/hls-live.ts).
import type { MediaPlaylistFacts } from '../../../media/hls/playlist-reader.ts'

/** What a client waits for: a segment, or a part of it. */
export interface Position {
  msn: number
  part?: number
}

export type ReloadAnswer =
  /** The playlist holds it, or something later. */
  | 'ready'
  | 'wait'
  /** Beyond what a client can know of. */
  | 'too-far'

export function reloadAnswer(facts: MediaPlaylistFacts, { msn, part }: Position): ReloadAnswer {
  const { lastNumber, lastSegmentParts, openParts, partTargetSeconds } = facts
  if (facts.isEnded) return 'ready'
  if (msn > lastNumber + 2) return 'too-far'
  if (msn < lastNumber) return 'ready'
  // Without parts only segments can be waited for.
  const wanted = partTargetSeconds === undefined ? undefined : part
  if (msn === lastNumber) {
    // Past the segment's end means the first part of the next one.
    if (wanted === undefined || wanted < lastSegmentParts || openParts > 0) return 'ready'
    return wanted >= lastSegmentParts + advanceLimit(partTargetSeconds!) ? 'too-far' : 'wait'
  }
  if (wanted === undefined) return 'wait'
  const there = msn === lastNumber + 1 ? openParts : 0
  if (wanted < there) return 'ready'
  return wanted >= there + advanceLimit(partTargetSeconds!) ? 'too-far' : 'wait'
}

/** What comes next, whatever it is. */
export function nextPosition(facts: MediaPlaylistFacts): Position {
  const { lastNumber, openParts, partTargetSeconds } = facts
  return { msn: lastNumber + 1, ...(partTargetSeconds !== undefined && { part: openParts }) }
}

function advanceLimit(partTargetSeconds: number): number {
  return partTargetSeconds < 1 ? Math.ceil(3 / partTargetSeconds) : 3
}
