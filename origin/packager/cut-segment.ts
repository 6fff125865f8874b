// A segment as its track cuts it, and what a checkpoint says of its parts.

import type { ListedPart, TrackState } from '../../common/contract/resume-point.ts'
import type {
  PackagedPart,
  PackagedRendition,
  PackagedSegment,
  PackagedTake,
} from '../../common/live/live-broadcast.ts'

export interface CutSegment extends PackagedSegment {
  parts: PackagedPart[]
}

interface Place {
  number: number
  take: PackagedTake
  rendition: PackagedRendition
  startTicks: number
}

export function newSegment(place: Place): CutSegment {
  return {
    ...place,
    durationTicks: 0,
    parts: [],
    isOpen: true,
    isGap: false,
    sizeBytes: 0,
    keyframeBytes: 0,
  }
}

export function addPart(segment: CutSegment, part: PackagedPart): void {
  segment.parts.push(part)
  segment.durationTicks += part.durationTicks
  segment.sizeBytes += part.elsewhereBytes ?? part.bytes.length
}

export function listedOf({ startTicks, keyframeBytes, parts }: CutSegment): TrackState['segment'] {
  return { startTicks, keyframeBytes, parts: parts.map(listedPart) }
}

/** What another packager has listed of it: the bytes are where that was listed. */
export function addListed(
  segment: CutSegment,
  { keyframeBytes, parts }: NonNullable<TrackState['segment']>,
): void {
  segment.keyframeBytes = keyframeBytes
  for (const { sizeBytes, ...facts } of parts) {
    const part = { ...facts, bytes: Buffer.alloc(0) }
    addPart(segment, facts.isGap ? part : { ...part, elsewhereBytes: sizeBytes })
  }
}

function listedPart({ bytes, elsewhereBytes, ...part }: PackagedPart): ListedPart {
  return { ...part, sizeBytes: elsewhereBytes ?? bytes.length }
}
