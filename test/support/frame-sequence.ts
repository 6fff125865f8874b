// Judges what came out against what went in, frame by frame: what is missing, what came twice, what is out of its
// place, what has other bytes.
import type { FrameKind } from './numbered-media.ts'
import type { SentFrame } from './numbered-publisher.ts'

export interface ListedFrame {
  kind: FrameKind
  number: number
  digest: string
  /** Of the segment that it stands in. */
  segment: number
}

export interface SequenceVerdict {
  /** Sent between the first and the last that were listed, and not listed. */
  lost: number[]
  /** A number for each time that a frame came again. */
  doubled: number[]
  /** Follows a later frame. */
  disordered: number[]
  /** Other bytes than were sent, or never sent at all. */
  changed: number[]
  listed: number
}

/** Of one kind; `listed` in the order of playback. */
export function judgeSequence(
  kind: FrameKind,
  sent: readonly SentFrame[],
  listed: readonly ListedFrame[],
): SequenceVerdict {
  const digests = new Map<number, string>()
  for (const it of sent) if (it.kind === kind) digests.set(it.number, it.digest)
  const own = listed.filter((it) => it.kind === kind)
  const verdict: SequenceVerdict = {
    lost: [],
    doubled: [],
    disordered: [],
    changed: [],
    listed: own.length,
  }
  const seen = new Set<number>()
  let newest = Number.NEGATIVE_INFINITY
  let oldest = Number.POSITIVE_INFINITY
  for (const { number, digest } of own) {
    if (digests.get(number) !== digest) verdict.changed.push(number)
    if (seen.has(number)) verdict.doubled.push(number)
    else if (number < newest) verdict.disordered.push(number)
    seen.add(number)
    newest = Math.max(newest, number)
    oldest = Math.min(oldest, number)
  }
  for (const number of digests.keys()) {
    if (number > oldest && number < newest && !seen.has(number)) verdict.lost.push(number)
  }
  return verdict
}
