// H.264 sequence parameter set → size, frame rate and kind of picture (ITU-T H.264 §7.3.2.1.1 and E.1.1).
//
// Everything here comes from a stranger: codes are bounded by the bit reader, loops by the standard's own
// ranges, and a picture outside of what any level allows is a fault.
import type { Parsed } from '../parsed.ts'
import { BitReader } from './bit-reader.ts'

export interface AvcPicture {
  profileIdc: number
  constraintFlags: number
  levelIdc: number
  width: number
  height: number
  /** From the VUI's timing, which encoders may leave out. */
  framesPerSecond: number | undefined
  isInterlaced: boolean
  /** 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4. */
  chromaFormat: number
  bitDepth: number
}

const spsNalType = 7
/** An SPS with every list and the whole VUI stays far below this. */
const maxSpsBytes = 1024
/** Level 6.2 allows 139 264 macroblocks, a side at most √(8 × that). */
const maxSidePixels = 16_888
const extendedSar = 255
/** Profiles whose SPS tells chroma format and bit depth. */
const highProfiles = new Set([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135])

const broken = { fault: 'an SPS that cannot be read' }

/** `nal`: the NAL unit with its header byte. */
export function readSps(nal: Buffer): Parsed<AvcPicture> {
  if (nal.length < 4 || nal.length > maxSpsBytes) return { fault: 'an SPS of an impossible size' }
  if ((nal[0]! & 0x1f) !== spsNalType) return { fault: 'an SPS of another NAL type' }
  const bits = new BitReader(withoutEmulationPrevention(nal.subarray(1)))
  const profileIdc = bits.bits(8)
  const constraintFlags = bits.bits(8)
  const levelIdc = bits.bits(8)
  bits.unsignedGolomb() // seq_parameter_set_id
  let chromaFormat = 1
  let bitDepth = 8
  let hasSeparatePlanes = false
  if (highProfiles.has(profileIdc)) {
    chromaFormat = bits.unsignedGolomb()
    if (chromaFormat > 3) return broken
    if (chromaFormat === 3) hasSeparatePlanes = bits.flag()
    bitDepth = 8 + bits.unsignedGolomb()
    bits.unsignedGolomb() // bit_depth_chroma_minus8
    bits.bit() // qpprime_y_zero_transform_bypass_flag
    if (bits.flag()) skipScalingLists(bits, chromaFormat === 3 ? 12 : 8)
  }
  bits.unsignedGolomb() // log2_max_frame_num_minus4
  if (!skipPictureOrder(bits)) return broken
  bits.unsignedGolomb() // max_num_ref_frames
  bits.bit() // gaps_in_frame_num_value_allowed_flag
  const widthBlocks = bits.unsignedGolomb() + 1
  const heightUnits = bits.unsignedGolomb() + 1
  const isFrameOnly = bits.flag()
  if (!isFrameOnly) bits.bit() // mb_adaptive_frame_field_flag
  bits.bit() // direct_8x8_inference_flag
  const fieldsPerUnit = isFrameOnly ? 1 : 2
  const crop = readCrop(bits, hasSeparatePlanes ? 0 : chromaFormat, fieldsPerUnit)
  const framesPerSecond = bits.flag() ? readFrameRate(bits) : undefined
  if (bits.isBroken) return broken

  const width = widthBlocks * 16 - crop.x
  const height = heightUnits * 16 * fieldsPerUnit - crop.y
  if (width <= 0 || height <= 0) return { fault: 'an SPS that crops all of its picture' }
  if (width > maxSidePixels || height > maxSidePixels) {
    return { fault: 'an SPS with a picture larger than H.264 allows' }
  }
  return {
    value: {
      profileIdc,
      constraintFlags,
      levelIdc,
      width,
      height,
      framesPerSecond,
      isInterlaced: !isFrameOnly,
      chromaFormat,
      bitDepth,
    },
  }
}

/** §7.4.1: 00 00 03 in a NAL unit stands for 00 00. */
function withoutEmulationPrevention(bytes: Buffer): Uint8Array {
  const out = new Uint8Array(bytes.length)
  let size = 0
  let zeros = 0
  for (const byte of bytes) {
    if (zeros >= 2 && byte === 3) {
      zeros = 0
      continue
    }
    zeros = byte === 0 ? zeros + 1 : 0
    out[size++] = byte
  }
  return out.subarray(0, size)
}

/** §7.3.2.1.1.1. */
function skipScalingLists(bits: BitReader, count: number): void {
  for (let list = 0; list < count; list++) {
    if (!bits.flag()) continue
    let last = 8
    let next = 8
    for (let i = 0; i < (list < 6 ? 16 : 64) && next !== 0; i++) {
      next = (last + bits.signedGolomb() + 256) % 256
      if (next !== 0) last = next
    }
  }
}

function skipPictureOrder(bits: BitReader): boolean {
  const type = bits.unsignedGolomb()
  if (type > 2) return false
  if (type === 0) bits.unsignedGolomb() // log2_max_pic_order_cnt_lsb_minus4
  if (type === 1) {
    bits.bit() // delta_pic_order_always_zero_flag
    bits.signedGolomb() // offset_for_non_ref_pic
    bits.signedGolomb() // offset_for_top_to_bottom_field
    const cycle = bits.unsignedGolomb()
    if (cycle > 255) return false
    for (let i = 0; i < cycle; i++) bits.signedGolomb()
  }
  return true
}

/** §7.4.2.1.1: crop offsets count samples of the chroma grid, and lines of a field. */
function readCrop(
  bits: BitReader,
  chromaArrayType: number,
  fieldsPerUnit: number,
): { x: number; y: number } {
  if (!bits.flag()) return { x: 0, y: 0 }
  const unitX = chromaArrayType === 1 || chromaArrayType === 2 ? 2 : 1
  const unitY = (chromaArrayType === 1 ? 2 : 1) * fieldsPerUnit
  const left = bits.unsignedGolomb()
  const right = bits.unsignedGolomb()
  const top = bits.unsignedGolomb()
  const bottom = bits.unsignedGolomb()
  return { x: (left + right) * unitX, y: (top + bottom) * unitY }
}

/** Annex E.1.1 up to the timing, two ticks to a frame. */
function readFrameRate(bits: BitReader): number | undefined {
  if (bits.flag() && bits.bits(8) === extendedSar) bits.bits(32)
  if (bits.flag()) bits.bit() // overscan_appropriate_flag
  if (bits.flag()) {
    bits.bits(4) // video_format, video_full_range_flag
    if (bits.flag()) bits.bits(24) // colour_description
  }
  if (bits.flag()) {
    bits.unsignedGolomb() // chroma_sample_loc_type_top_field
    bits.unsignedGolomb() // chroma_sample_loc_type_bottom_field
  }
  if (!bits.flag()) return undefined
  const unitsInTick = bits.bits(32)
  const timeScale = bits.bits(32)
  return unitsInTick === 0 || timeScale === 0 ? undefined : timeScale / (2 * unitsInTick)
}
