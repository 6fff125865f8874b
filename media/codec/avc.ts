// H.264: the decoder configuration that a sequence header carries (ISO/IEC 14496-15 §5.3.3.1).
import type { Parsed } from '../parsed.ts'
import { type AvcPicture, readSps } from './avc-sps.ts'

export interface AvcConfig extends AvcPicture {
  /** RFC 6381, as in `avc1.64001f`. */
  codecString: string
  /** Bytes of the length in front of each NAL unit: 1, 2 or 4. */
  nalLengthBytes: number
  sps: Buffer[]
  pps: Buffer[]
}

const recordHeaderBytes = 6

/** `record`: an AVCDecoderConfigurationRecord. Facts about the picture come from its first SPS. */
export function readAvcConfig(record: Buffer): Parsed<AvcConfig> {
  if (record.length < recordHeaderBytes + 1)
    return { fault: 'an AVC configuration that is too short' }
  if (record[0] !== 1) return { fault: 'an AVC configuration of an unknown version' }
  const nalLengthBytes = (record[4]! & 3) + 1
  if (nalLengthBytes === 3) return { fault: 'an AVC configuration with NAL lengths of three bytes' }
  const sps = readSets(record, recordHeaderBytes, record[5]! & 0x1f)
  if (!sps || sps.end >= record.length) return { fault: 'an AVC configuration that ends too early' }
  const pps = readSets(record, sps.end + 1, record[sps.end]!)
  if (!pps) return { fault: 'an AVC configuration that ends too early' }
  const [first] = sps.sets
  if (!first || pps.sets.length === 0) return { fault: 'an AVC configuration without SPS or PPS' }
  const picture = readSps(first)
  if ('fault' in picture) return picture
  const { profileIdc, constraintFlags, levelIdc } = picture.value
  return {
    value: {
      ...picture.value,
      codecString: `avc1.${[profileIdc, constraintFlags, levelIdc].map(hexByte).join('')}`,
      nalLengthBytes,
      sps: sps.sets,
      pps: pps.sets,
    },
  }
}

function readSets(
  record: Buffer,
  start: number,
  count: number,
): { sets: Buffer[]; end: number } | undefined {
  const sets: Buffer[] = []
  let at = start
  for (let i = 0; i < count; i++) {
    if (at + 2 > record.length) return undefined
    const end = at + 2 + record.readUInt16BE(at)
    if (end > record.length) return undefined
    sets.push(record.subarray(at + 2, end))
    at = end
  }
  return { sets, end: at }
}

function hexByte(value: number): string {
  return value.toString(16).padStart(2, '0')
}
