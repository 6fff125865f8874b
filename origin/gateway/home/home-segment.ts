// A segment as its home holds it, and the rule of what may be added to it: each part once, and the same bytes always.
import type { FeedSegment } from '../../../common/contract/feed.ts'
import type {
  PackagedPart,
  PackagedRendition,
  PackagedSegment,
  PackagedTake,
} from '../../../common/live/live-broadcast.ts'

export interface HomeSegment extends PackagedSegment {
  parts: PackagedPart[]
  /** The feed that it came by. */
  feed: number
}

export interface SegmentPlace {
  number: number
  take: PackagedTake
  rendition: PackagedRendition
  startTicks: number
}

const none = Buffer.alloc(0)

export function openSegment(place: SegmentPlace, feed: number): HomeSegment {
  return {
    ...place,
    durationTicks: 0,
    parts: [],
    isOpen: true,
    isGap: false,
    sizeBytes: 0,
    keyframeBytes: 0,
    feed,
  }
}

export function gapSegment(place: SegmentPlace, durationTicks: number, feed: number): HomeSegment {
  return { ...openSegment(place, feed), durationTicks, isOpen: false, isGap: true }
}

/** Answers why the rest is refused; what was listed stands, and nothing will be added to it. */
export function extendSegment(
  segment: HomeSegment,
  told: FeedSegment,
  bodies: readonly Buffer[],
  feed: number,
): string | undefined {
  for (const it of told.parts) {
    const part = partOf(it, bodies)
    const known = segment.parts.find(({ id }) => id === part.id)
    if (known) {
      if (isSamePart(known, part)) continue
      sealSegment(segment)
      return `part ${part.id} is there with other bytes`
    }
    if (!segment.isOpen || part.id <= (segment.parts.at(-1)?.id ?? -1)) {
      sealSegment(segment)
      return `part ${part.id} comes too late`
    }
    segment.parts.push(part)
    segment.durationTicks += part.durationTicks
    segment.sizeBytes += sizeOf(part)
  }
  if (!segment.isOpen) return undefined
  if (told.isGap) {
    // Its own packager may take back what was no media; another one may not.
    if (segment.parts.length > 0 && segment.feed !== feed) {
      sealSegment(segment)
      return 'it is there with media'
    }
    segment.isGap = true
    segment.parts = []
    segment.sizeBytes = 0
    segment.durationTicks = told.durationTicks
  }
  if (segment.keyframeBytes === 0 || told.isGap) segment.keyframeBytes = told.keyframeBytes
  segment.isOpen = told.isOpen
  return undefined
}

function partOf(
  { body, elsewhereBytes, ...part }: FeedSegment['parts'][number],
  bodies: readonly Buffer[],
): PackagedPart {
  const bytes = body === undefined ? none : bodies[body]!
  if (elsewhereBytes !== undefined) return { ...part, isGap: false, bytes, elsewhereBytes }
  return { ...part, isGap: body === undefined, bytes }
}

/** Of bytes that whoever tells does not have, the size must do. */
function isSamePart(known: PackagedPart, told: PackagedPart): boolean {
  if (known.startTicks !== told.startTicks || known.durationTicks !== told.durationTicks)
    return false
  if (told.elsewhereBytes !== undefined) return sizeOf(known) === told.elsewhereBytes
  return known.bytes.equals(told.bytes)
}

function sizeOf({ bytes, elsewhereBytes }: PackagedPart): number {
  return elsewhereBytes ?? bytes.length
}

/** It ends where it stands. */
export function sealSegment(segment: HomeSegment): void {
  segment.isOpen = false
}

export function endSecondsOf({ startTicks, durationTicks, rendition }: PackagedSegment): number {
  return (startTicks + durationTicks) / rendition.timescale
}
