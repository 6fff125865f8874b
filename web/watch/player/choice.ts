// What a viewer may choose from, where a live show is joined, and what the media's own time of day says of its age.

export interface Choice {
  /** Stable within one engine. */
  id: string
  height: number
  framesPerSecond: number | null
  bitsPerSecond: number
}

/** What stays the same over engines and protocols: the height. */
export function nameOf(choice: Choice): string {
  return `${choice.height}p`
}

/** Names must tell choices apart: the rate joins where two have one height. */
export function sortChoices(choices: Choice[]): Choice[] {
  return [...choices].sort((a, b) => b.height - a.height || b.bitsPerSecond - a.bitsPerSecond)
}

/** The latency that a picture's own time of day gives, unless the clocks plainly disagree. */
export function latencyFromDate(
  playingAtMs: number,
  nowMs: number,
  clockOffsetMs: number,
): number | null {
  // An answer's Date header has whole seconds: a smaller difference than this is its rounding.
  const offset = Math.abs(clockOffsetMs) > 2_000 ? clockOffsetMs : 0
  const seconds = (nowMs + offset - playingAtMs) / 1000
  return seconds >= 0 && seconds < 120 ? seconds : null
}

/**
 * How far behind the newest media to join where segments are shorter than the target duration. The next look at the
 * playlist may be a target duration away and must find a segment; half a segment is for the road.
 */
export function joinDistanceSeconds(targetDuration: number, longestSegment: number): number {
  return Math.min(3 * targetDuration, targetDuration + 1.5 * longestSegment)
}
