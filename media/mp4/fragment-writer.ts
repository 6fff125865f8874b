// Writes one fragment of fragmented MP4: a moof and its mdat, of one track.
//
// It runs for every frame of every stream: sizes are counted first, and then everything is written into one
// buffer. What all samples share stands once in the track fragment header, so the same samples always give the
// same bytes:
//
//   moof ─ mfhd
//        └ traf ─ tfhd (default-base-is-moof, shared duration, shared or usual flags)
//               ├ tfdt (version 1: 64 bits)
//               └ trun (version 1: signed composition offsets; per sample what is not shared)
//   mdat
import type { MediaSample } from './track.ts'

export interface FragmentOptions {
  sequenceNumber: number
  trackId: number
  /** In decoding order. At least one. */
  samples: readonly MediaSample[]
}

export interface Fragment {
  bytes: Buffer
  /** Bytes from the start of the fragment to the end of its first sample. */
  firstSampleEnd: number
}

/** ISO/IEC 14496-12 §8.8.3.1: sample_depends_on 2 (on none), or 1 (on others) and sample_is_non_sync_sample. */
const syncFlags = 0x0200_0000
const nonSyncFlags = 0x0101_0000

/** §8.8.7.1 */
const tfhdFlag = {
  defaultDuration: 0x08,
  defaultFlags: 0x20,
  defaultBaseIsMoof: 0x02_0000,
} as const
/** §8.8.8.1 */
const trunFlag = {
  dataOffset: 0x001,
  firstFlags: 0x004,
  duration: 0x100,
  size: 0x200,
  flags: 0x400,
  compositionOffset: 0x800,
} as const

const headerBytes = 8
const mfhdBytes = 16
const tfdtBytes = 20
const version1 = 0x0100_0000

/** Four characters as the number that they are in a box's header. */
const fourCc = (type: string) => Buffer.from(type, 'latin1').readUInt32BE()
const types = {
  moof: fourCc('moof'),
  mfhd: fourCc('mfhd'),
  traf: fourCc('traf'),
  tfhd: fourCc('tfhd'),
  tfdt: fourCc('tfdt'),
  trun: fourCc('trun'),
  mdat: fourCc('mdat'),
} as const

export function writeFragment({ sequenceNumber, trackId, samples }: FragmentOptions): Fragment {
  const first = samples[0]
  if (!first) return { bytes: Buffer.alloc(0), firstSampleEnd: 0 }
  let mediaBytes = 0
  let isDurationShared = true
  let hasOffsets = false
  let keyframesBehindFirst = 0
  for (const sample of samples) {
    mediaBytes += sample.data.length
    if (sample.duration !== first.duration) isDurationShared = false
    if (sample.cts !== 0) hasOffsets = true
    if (sample.isKeyframe && sample !== first) keyframesBehindFirst++
  }
  const isAllKeyframes = first.isKeyframe && keyframesBehindFirst === samples.length - 1
  const hasOwnFlags = keyframesBehindFirst > 0 && !isAllKeyframes
  const hasFirstFlags = first.isKeyframe && !isAllKeyframes && !hasOwnFlags

  let tfhdFlags = tfhdFlag.defaultBaseIsMoof | tfhdFlag.defaultFlags
  if (isDurationShared) tfhdFlags |= tfhdFlag.defaultDuration
  let trunFlags = trunFlag.dataOffset | trunFlag.size
  if (!isDurationShared) trunFlags |= trunFlag.duration
  if (hasFirstFlags) trunFlags |= trunFlag.firstFlags
  if (hasOwnFlags) trunFlags |= trunFlag.flags
  if (hasOffsets) trunFlags |= trunFlag.compositionOffset

  const bytesPerSample =
    4 + (isDurationShared ? 0 : 4) + (hasOwnFlags ? 4 : 0) + (hasOffsets ? 4 : 0)
  const tfhdBytes = isDurationShared ? 24 : 20
  const trunBytes = (hasFirstFlags ? 24 : 20) + samples.length * bytesPerSample
  const trafBytes = headerBytes + tfhdBytes + tfdtBytes + trunBytes
  const moofBytes = headerBytes + mfhdBytes + trafBytes
  const mediaStart = moofBytes + headerBytes
  const bytes = Buffer.allocUnsafe(mediaStart + mediaBytes)

  let at = writeHeader(bytes, 0, moofBytes, types.moof)
  at = writeHeader(bytes, at, mfhdBytes, types.mfhd)
  at = bytes.writeUInt32BE(0, at)
  at = bytes.writeUInt32BE(sequenceNumber >>> 0, at)
  at = writeHeader(bytes, at, trafBytes, types.traf)

  at = writeHeader(bytes, at, tfhdBytes, types.tfhd)
  at = bytes.writeUInt32BE(tfhdFlags, at)
  at = bytes.writeUInt32BE(trackId, at)
  if (isDurationShared) at = bytes.writeUInt32BE(first.duration, at)
  at = bytes.writeUInt32BE(isAllKeyframes ? syncFlags : nonSyncFlags, at)

  at = writeHeader(bytes, at, tfdtBytes, types.tfdt)
  at = bytes.writeUInt32BE(version1, at)
  at = bytes.writeUInt32BE(Math.floor(first.dts / 2 ** 32), at)
  at = bytes.writeUInt32BE(first.dts % 2 ** 32, at)

  at = writeHeader(bytes, at, trunBytes, types.trun)
  at = bytes.writeUInt32BE(version1 | trunFlags, at)
  at = bytes.writeUInt32BE(samples.length, at)
  at = bytes.writeInt32BE(mediaStart, at)
  if (hasFirstFlags) at = bytes.writeUInt32BE(syncFlags, at)
  for (const sample of samples) {
    if (!isDurationShared) at = bytes.writeUInt32BE(sample.duration, at)
    at = bytes.writeUInt32BE(sample.data.length, at)
    if (hasOwnFlags) at = bytes.writeUInt32BE(sample.isKeyframe ? syncFlags : nonSyncFlags, at)
    if (hasOffsets) at = bytes.writeInt32BE(sample.cts, at)
  }

  at = writeHeader(bytes, at, headerBytes + mediaBytes, types.mdat)
  for (const sample of samples) {
    bytes.set(sample.data, at)
    at += sample.data.length
  }
  return { bytes, firstSampleEnd: mediaStart + first.data.length }
}

function writeHeader(bytes: Buffer, at: number, size: number, type: number): number {
  return bytes.writeUInt32BE(type, bytes.writeUInt32BE(size, at))
}
