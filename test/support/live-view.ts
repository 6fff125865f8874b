// Where a client of a live playlist stands, and what a delta update tells it (RFC 8216bis §6.3.7).
import type { LivePlaylist } from './hls-text.ts'

/** The whole playlist that a delta stands for; undefined where `before` has not what was skipped. */
export function withDelta(before: LivePlaylist, delta: LivePlaylist): LivePlaylist | undefined {
  if (delta.skippedSegments === 0) return delta
  const from = before.segments.findIndex(({ number }) => number === delta.mediaSequence)
  const kept = from < 0 ? [] : before.segments.slice(from, from + delta.skippedSegments)
  if (kept.length < delta.skippedSegments) return undefined
  return {
    ...delta,
    skippedSegments: 0,
    // Parts have left what may be skipped.
    segments: [...kept.map((segment) => ({ ...segment, parts: [] })), ...delta.segments],
  }
}

/** What a client must come to know, by whichever way it was told. */
export function contentOf(playlist: LivePlaylist): string {
  const { mediaSequence, discontinuitySequence, segments, hints, reports } = playlist
  const lines = segments.map((segment) => JSON.stringify(segment))
  return [
    mediaSequence,
    discontinuitySequence,
    ...lines,
    hintOf(playlist),
    hints.length,
    reports.length,
  ].join('\n')
}

export function hintOf({ hints }: LivePlaylist): string | undefined {
  return hints.find(({ TYPE }) => TYPE === 'PART')?.URI
}

/** Number and index of the part that comes next. */
export function nextOf({ segments, mediaSequence }: LivePlaylist): {
  number: number
  part: number
} {
  const last = segments.at(-1)
  if (!last) return { number: mediaSequence, part: 0 }
  return last.uri === undefined
    ? { number: last.number, part: last.parts.length }
    : { number: last.number + 1, part: 0 }
}

/** Whether it holds that part or something later. */
export function reaches(
  playlist: LivePlaylist,
  { number, part }: { number: number; part: number },
): boolean {
  const next = nextOf(playlist)
  return next.number > number || (next.number === number && next.part > part)
}
