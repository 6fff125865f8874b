// Reads a CMAF segment of one track (styp, then moof + mdat pairs): when it starts, how long it is, and
// whether it can be played from its first sample.
import { type Box, FieldReader, findBox, readBoxes } from './boxes.ts'
import type { InitTrack, SampleDefaults } from './init-section.ts'

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

/** §8.8.3.1 sample_is_non_sync_sample. */
const nonSyncFlag = 0x0001_0000
const maxSamples = 100_000

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

  const defaults = readFragmentDefaults(bytes, tfhd, track.defaults)
  const time = new FieldReader(bytes, tfdt.bodyStart, tfdt.end)
  const version = time.u8()
  time.skip(3)
  const decodeTicks = version === 1 ? time.u64() : time.u32()
  if (time.isOverrun || !Number.isSafeInteger(decodeTicks)) return 'tfdt is cut off or wrapped'

  const fragment: Fragment = {
    decodeTicks,
    earliestTicks: Number.POSITIVE_INFINITY,
    durationTicks: 0,
    sampleCount: 0,
    startsWithSyncSample: false,
    maxSampleTicks: 0,
  }
  for (const trun of children.filter((box) => box.type === 'trun')) {
    const error = readRun(bytes, trun, defaults, fragment)
    if (error !== undefined) return error
  }
  if (fragment.sampleCount === 0) fragment.earliestTicks = decodeTicks
  return fragment
}

/** §8.8.7: which optional fields stand in the header is told by its flags. */
function readFragmentDefaults(bytes: Buffer, tfhd: Box, fallback: SampleDefaults): SampleDefaults {
  const fields = new FieldReader(bytes, tfhd.bodyStart, tfhd.end)
  const flags = fields.u32() & 0xff_ffff
  fields.skip(4)
  if (flags & 0x01) fields.skip(8)
  if (flags & 0x02) fields.skip(4)
  const durationTicks = flags & 0x08 ? fields.u32() : fallback.durationTicks
  const sizeBytes = flags & 0x10 ? fields.u32() : fallback.sizeBytes
  const sampleFlags = flags & 0x20 ? fields.u32() : fallback.flags
  return { durationTicks, sizeBytes, flags: sampleFlags }
}

/** §8.8.8: adds the samples of one run; answers a reason when it is broken. */
function readRun(
  bytes: Buffer,
  trun: Box,
  defaults: SampleDefaults,
  into: Fragment,
): string | undefined {
  const fields = new FieldReader(bytes, trun.bodyStart, trun.end)
  const head = fields.u32()
  const version = head >>> 24
  const flags = head & 0xff_ffff
  const count = fields.u32()
  if (count > maxSamples) return 'too many samples'
  if (flags & 0x001) fields.skip(4)
  const firstFlags = flags & 0x004 ? fields.u32() : undefined
  for (let i = 0; i < count; i++) {
    const durationTicks = flags & 0x100 ? fields.u32() : defaults.durationTicks
    if (flags & 0x200) fields.skip(4)
    const ownFlags = flags & 0x400 ? fields.u32() : defaults.flags
    const offsetTicks = flags & 0x800 ? (version === 0 ? fields.u32() : fields.i32()) : 0
    if (fields.isOverrun) return 'trun is cut off'
    const sampleFlags = i === 0 && firstFlags !== undefined ? firstFlags : ownFlags
    if (into.sampleCount === 0) into.startsWithSyncSample = (sampleFlags & nonSyncFlag) === 0
    into.earliestTicks = Math.min(
      into.earliestTicks,
      into.decodeTicks + into.durationTicks + offsetTicks,
    )
    into.durationTicks += durationTicks
    into.maxSampleTicks = Math.max(into.maxSampleTicks, durationTicks)
    into.sampleCount++
  }
  return undefined
}
