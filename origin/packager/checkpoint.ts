// Where cutting stands: with it and the samples from `endSeconds` on, the same numbers, parts and, for the
// source, the same bytes come out again.

import type { LiveSettings } from '../../common/live/live-broadcast.ts'
import type { TrackCutter } from './cutter.ts'
import type { PublishedTakes } from './published-takes.ts'
import type { TakeSequence } from './take-sequence.ts'

/** How a segment has left its track. */
export interface TrackEnd {
  nextPartId: number
  endTicks: number
  /** Of the last sample. */
  frameTicks: number
  isReordered: boolean
}

export interface Checkpoint {
  /** Of the segment that begins at `endSeconds`; every rendition has committed those before. */
  nextNumber: number
  /** Takes that have published something. */
  takes: number
  endSeconds: number
  settings?: LiveSettings
  /** Of the picture, measured when the settings were chosen. */
  framesPerSecond?: number
  /** Once a take has left its grid, none is trusted to keep one. */
  isIrregular?: boolean
  /** Of the next part, by rendition name. */
  partIds?: Readonly<Record<string, number>>
  /** The take that goes on at `endSeconds`: started again under its name, it keeps its start and its grid. */
  open?: {
    name: string
    firstNumber: number
    startSeconds: number
    isRegular: boolean
    /** Of the leader, as its samples before `endSeconds` have told. */
    frameTicks: number
    tracks: Readonly<Record<string, TrackEnd>>
  }
}

/** Where cutting stands now: before the oldest segment that a rendition has still open. */
export function checkpointOf(published: PublishedTakes, sequence: TakeSequence): Checkpoint {
  const settings = sequence.settings && {
    settings: sequence.settings,
    framesPerSecond: sequence.framesPerSecond,
  }
  const partIds: Record<string, number> = {}
  for (const [name, { next }] of published.partIds) partIds[name] = next
  // A rendition that lags may still be in a take that its leader has left.
  const take = published.begun.find((it) => !it.isAllDone) ?? published.begun.at(-1)
  const timeline = take?.timeline
  if (!timeline) {
    return {
      ...settings,
      takes: published.takeCount,
      nextNumber: sequence.nextNumber,
      endSeconds: sequence.endSeconds,
      isIrregular: sequence.isIrregular,
      partIds,
    }
  }
  let next = timeline.nextNumber
  for (const { cutter, rendition, isOver } of take.tracks.values()) {
    if (rendition || !isOver) next = Math.min(next, cutter?.number ?? timeline.firstNumber)
  }
  const tracks: Record<string, TrackEnd> = {}
  for (const [name, { cutter }] of take.tracks) {
    const id = cutter && partIdAt(cutter, next)
    if (id !== undefined) partIds[name] = id
    const end = cutter?.endOf(next - 1)
    if (end) tracks[name] = end
  }
  const { firstNumber, startSeconds, isRegular } = timeline
  const cut = timeline.cut(next)
  const isMedia = cut !== undefined && cut.gapEndSeconds === undefined
  const hasSome = next > firstNumber
  const frameTicks = cut?.frameTicks ?? 0
  const open = { name: take.plan.name, firstNumber, startSeconds, isRegular, frameTicks, tracks }
  return {
    ...settings,
    takes: take.ordinal + (hasSome ? 1 : 0),
    nextNumber: next,
    endSeconds: cut?.startSeconds ?? timeline.endSeconds,
    isIrregular: isMedia ? !isRegular : sequence.isIrregular,
    partIds,
    ...(isMedia && hasSome && { open }),
  }
}

/** Id that the first part of the segment has or will have. */
function partIdAt(cutter: TrackCutter, number: number): number | undefined {
  return cutter.segment(number)?.firstPartId ?? cutter.endOf(number - 1)?.nextPartId
}
