// Reads what the boxes of one track's fragment say of its samples (ISO/IEC 14496-12 §8.8.7, §8.8.8, §8.8.12).
import { type Box, FieldReader } from './boxes.ts'
import type { SampleDefaults } from './init-section.ts'

export interface TrackHeader {
  trackId: number
  baseOffset: number | undefined
  defaults: SampleDefaults
}

export interface RunSample {
  duration: number
  size: number
  isSync: boolean
  /** Presentation minus decode time. */
  cts: number
}

export interface TrackRun {
  /** Of its first byte, where it says so itself. */
  dataOffset: number | undefined
  samples: RunSample[]
}

/** §8.8.3.1 sample_is_non_sync_sample. */
const nonSyncFlag = 0x0001_0000
/** Far more than any fragment of ours holds. */
const maxSamples = 100_000

/** tfhd: which optional fields stand in it is told by its flags. Undefined: it is cut off. */
export function readTrackHeader(
  bytes: Buffer,
  tfhd: Box,
  fallback: SampleDefaults,
): TrackHeader | undefined {
  const fields = new FieldReader(bytes, tfhd.bodyStart, tfhd.end)
  const flags = fields.u32()
  const trackId = fields.u32()
  const baseOffset = flags & 0x01 ? fields.u64() : undefined
  if (flags & 0x02) fields.skip(4)
  const defaults = {
    durationTicks: flags & 0x08 ? fields.u32() : fallback.durationTicks,
    sizeBytes: flags & 0x10 ? fields.u32() : fallback.sizeBytes,
    flags: flags & 0x20 ? fields.u32() : fallback.flags,
  }
  return fields.isOverrun ? undefined : { trackId, baseOffset, defaults }
}

/** tfdt: undefined where it is cut off, or no time that a number can hold. */
export function readDecodeTime(bytes: Buffer, tfdt: Box): number | undefined {
  const fields = new FieldReader(bytes, tfdt.bodyStart, tfdt.end)
  const version = fields.u8()
  fields.skip(3)
  const ticks = version === 1 ? fields.u64() : fields.u32()
  return fields.isOverrun || !Number.isSafeInteger(ticks) ? undefined : ticks
}

/** trun; `before`: samples of the fragment that came in front of it. */
export function readTrackRun(
  bytes: Buffer,
  trun: Box,
  defaults: SampleDefaults,
  before: number,
): TrackRun | 'too-many' | 'cut-off' {
  const fields = new FieldReader(bytes, trun.bodyStart, trun.end)
  const head = fields.u32()
  const version = head >>> 24
  const flags = head & 0xff_ffff
  const count = fields.u32()
  if (before + count > maxSamples) return 'too-many'
  const dataOffset = flags & 0x001 ? fields.i32() : undefined
  const firstFlags = flags & 0x004 ? fields.u32() : undefined
  const samples: RunSample[] = []
  for (let i = 0; i < count; i++) {
    const duration = flags & 0x100 ? fields.u32() : defaults.durationTicks
    const size = flags & 0x200 ? fields.u32() : defaults.sizeBytes
    const ownFlags = flags & 0x400 ? fields.u32() : defaults.flags
    const cts = flags & 0x800 ? (version === 0 ? fields.u32() : fields.i32()) : 0
    if (fields.isOverrun) return 'cut-off'
    const sampleFlags = i === 0 && firstFlags !== undefined ? firstFlags : ownFlags
    samples.push({ duration, size, isSync: (sampleFlags & nonSyncFlag) === 0, cts })
  }
  return fields.isOverrun ? 'cut-off' : { dataOffset, samples }
}
