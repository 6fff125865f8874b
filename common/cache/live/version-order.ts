// Which of two versions of a live playlist or MPD is the newer one. Two sources of one stream (a home and its transcoder,
// two gateways) may be a few parts apart; whoever has seen the later version must never get the earlier one.
//
// A take is named `{tag}-{number}`: the tag is the broadcast's, drawn anew for each, and the number grows within it,
// over reconnects and over changes of the transcoder. So a lower number is an older epoch, and a broadcast that was
// left for another one is over.

/** How far a version has got. */
export interface Progress {
  /** Of the newest media that it names; undefined where names are not ours. */
  take: { tag: string; number: number } | undefined
  /** Number of the oldest segment. */
  first: number
  /** Where it ends; the most significant number comes first. */
  position: readonly number[]
  discontinuities: number
  isEnded: boolean
}

export type Relation = 'newer' | 'same' | 'older'

/** `left` are the tags of broadcasts that have been left for others. */
export function relationOf(
  candidate: Progress,
  newest: Progress,
  left: ReadonlySet<string>,
): Relation {
  const [now, before] = [candidate.take, newest.take]
  if (now && left.has(now.tag)) return 'older'
  if (now && before) {
    if (now.tag !== before.tag) return 'newer'
    if (now.number !== before.number) return now.number > before.number ? 'newer' : 'older'
  }
  const difference = compare(candidate.position, newest.position)
  if (candidate.first < newest.first || difference < 0) return 'older'
  if (newest.isEnded && !candidate.isEnded) return 'older'
  return difference > 0 || candidate.isEnded !== newest.isEnded ? 'newer' : 'same'
}

/** It ends later, in the same take; perhaps it also begins earlier. */
export function isFurther(candidate: Progress, newest: Progress): boolean {
  const [now, before] = [candidate.take, newest.take]
  const isSameTake = now?.tag === before?.tag && now?.number === before?.number
  return isSameTake && compare(candidate.position, newest.position) > 0
}

function compare(one: readonly number[], other: readonly number[]): number {
  const index = one.findIndex((number, at) => number !== other[at])
  return index < 0 ? 0 : one[index]! - other[index]!
}

const takeFolder = /^([a-z0-9]{8,16})-(\d{1,9})(?:\/|$)/

/** Of a relative URI, or of the name of a take. */
export function takeOf(uri: string | undefined): Progress['take'] {
  const match = uri === undefined ? null : takeFolder.exec(uri)
  return match ? { tag: match[1]!, number: Number(match[2]) } : undefined
}
