// Reads a CMAF segment of one track (styp, then moof + mdat pairs): when it starts, how long it is, and
// whether it can be played from its first sample.
import { type Box, findBox, readBoxes } from './boxes.ts'
import type { InitTrack } from './init-section.ts'
import { readDecodeTime, readTrackHeader, readTrackRun } from './track-fragment.ts'

export interface MediaSegment {
  /** Earliest presentation time. */
  startTicks: number
  durationTicks: number
  sampleCount: number
  startsWithSyncSample: boolean
  /** The longest sample: shows a hole in the media. */
  maxSampleTicks: number
}

export type SegmentResult = { ok: true; segment: MediaSegment } | { ok: false; reason: string }

const fail = (reason: string): SegmentResult => ({ ok: false, reason })

export function parseMediaSegment(bytes: Buffer, track: InitTrack): SegmentResult {
  const boxes = readBoxes(bytes)
  if (!boxes) return fail('box sizes do not add up')
  const moofs = boxes.filter((box) => box.type === 'moof')
  if (moofs.length === 0) return fail('no moof box')
  if (boxes.filter((box) => box.type === 'mdat').length < moofs.length) return fail('no mdat box')

  let startTicks = Number.POSITIVE_INFINITY
  let durationTicks = 0
  let sampleCount = 0
  let maxSampleTicks = 0
  let startsWithSyncSample = false
  let nextDecodeTicks: number | undefined
  for (const moof of moofs) {
    const fragment = readFragment(bytes, moof, track)
    if (typeof fragment === 'string') return fail(fragment)
    if (nextDecodeTicks !== undefined && fragment.decodeTicks < nextDecodeTicks) {
      return fail('fragments overlap')
    }
    // A hole between two fragments belongs to the duration of the segment.
    durationTicks +=
      fragment.durationTicks + (fragment.decodeTicks - (nextDecodeTicks ?? fragment.decodeTicks))
    nextDecodeTicks = fragment.decodeTicks + fragment.durationTicks
    startTicks = Math.min(startTicks, fragment.earliestTicks)
    if (sampleCount === 0) startsWithSyncSample = fragment.startsWithSyncSample
    sampleCount += fragment.sampleCount
    maxSampleTicks = Math.max(maxSampleTicks, fragment.maxSampleTicks)
  }
  if (sampleCount === 0 || durationTicks <= 0) return fail('no samples')
  if (startTicks < 0) return fail('starts before time zero')
  return {
    ok: true,
    segment: { startTicks, durationTicks, sampleCount, startsWithSyncSample, maxSampleTicks },
  }
}

interface Fragment {
  decodeTicks: number
  earliestTicks: number
  durationTicks: number
  sampleCount: number
  startsWithSyncSample: boolean
  maxSampleTicks: number
}

function readFragment(bytes: Buffer, moof: Box, track: InitTrack): Fragment | string {
  const traf = findBox(bytes, ['traf'], moof.bodyStart, moof.end)
  const children = traf && readBoxes(bytes, traf.bodyStart, traf.end)
  if (!children) return 'no traf box'
  const tfhd = children.find((box) => box.type === 'tfhd')
  const tfdt = children.find((box) => box.type === 'tfdt')
  if (!tfhd || !tfdt) return 'no tfhd or tfdt box'

  const header = readTrackHeader(bytes, tfhd, track.defaults)
  if (!header) return 'tfhd is cut off'
  const decodeTicks = readDecodeTime(bytes, tfdt)
  if (decodeTicks === undefined) return 'tfdt is cut off or wrapped'

  const fragment: Fragment = {
    decodeTicks,
    earliestTicks: Number.POSITIVE_INFINITY,
    durationTicks: 0,
    sampleCount: 0,
    startsWithSyncSample: false,
    maxSampleTicks: 0,
  }
  for (const trun of children.filter((box) => box.type === 'trun')) {
    const run = readTrackRun(bytes, trun, header.defaults, fragment.sampleCount)
    if (run === 'too-many') return 'too many samples'
    if (run === 'cut-off') return 'trun is cut off'
    for (const { duration, isSync, cts } of run.samples) {
      if (fragment.sampleCount === 0) fragment.startsWithSyncSample = isSync
      const startTicks = decodeTicks + fragment.durationTicks + cts
      fragment.earliestTicks = Math.min(fragment.earliestTicks, startTicks)
      fragment.durationTicks += duration
      fragment.maxSampleTicks = Math.max(fragment.maxSampleTicks, duration)
      fragment.sampleCount++
    }
  }
  if (fragment.sampleCount === 0) fragment.earliestTicks = decodeTicks
  return fragment
}
