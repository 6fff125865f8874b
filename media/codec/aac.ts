// AAC: the AudioSpecificConfig that a sequence header carries (ISO/IEC 14496-3 §1.6.2.1).
import type { Parsed } from '../parsed.ts'
import { BitReader } from './bit-reader.ts'

export interface AacConfig {
  /** As signalled: 2 AAC-LC, 5 with SBR (HE-AAC), 29 with SBR and PS (HE-AAC v2). */
  objectType: number
  /** Of the sound that comes out: with SBR twice the coded one. */
  sampleRate: number
  channels: number
  /** Samples of each frame, counted at `sampleRate`. */
  samplesPerFrame: number
  /** RFC 6381, as in `mp4a.40.2`. */
  codecString: string
}

const sampleRates = [
  96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
  7_350,
]
const explicitRate = 15
/** The fastest that any profile knows is 96 kHz; some leeway for the odd. */
const maxSampleRate = 192_000
/** Table 1.19; 0 puts the layout elsewhere. */
const channelsOf: Partial<Record<number, number>> = {
  1: 1,
  2: 2,
  3: 3,
  4: 4,
  5: 5,
  6: 6,
  7: 8,
  11: 7,
  12: 8,
  14: 8,
}
const objectType = { lc: 2, ltp: 4, sbr: 5, escape: 31, ps: 29 } as const
const sbrSync = 0x2b7

export function readAacConfig(config: Buffer): Parsed<AacConfig> {
  const bits = new BitReader(config)
  const signalled = readObjectType(bits)
  const codedRate = readSampleRate(bits)
  const channels = channelsOf[bits.bits(4)]
  const isExplicit = signalled === objectType.sbr || signalled === objectType.ps
  let type = signalled
  let sampleRate = codedRate
  let coded = signalled
  if (isExplicit) {
    sampleRate = readSampleRate(bits)
    coded = readObjectType(bits)
  }
  if (bits.isBroken) return { fault: 'an AAC configuration that is too short' }
  if (codedRate === undefined || sampleRate === undefined) {
    return { fault: 'an AAC configuration with an impossible sample rate' }
  }
  if (channels === undefined) return { fault: 'an AAC configuration without a channel layout' }
  if (coded < 1 || coded > objectType.ltp) {
    return { fault: 'an AAC configuration of an unknown object type' }
  }
  const isShort = bits.flag()
  if (bits.flag()) bits.bits(14) // coreCoderDelay
  bits.bit() // extensionFlag
  if (bits.isBroken) return { fault: 'an AAC configuration that is too short' }
  const implicit = isExplicit ? undefined : readSbrBehind(bits)
  if (implicit !== undefined) {
    type = objectType.sbr
    sampleRate = implicit
  }
  // SBR doubles the rate or, downsampled, keeps it.
  if (sampleRate !== codedRate && sampleRate !== 2 * codedRate) {
    return { fault: 'an AAC configuration with an impossible sample rate' }
  }
  return {
    value: {
      objectType: type,
      sampleRate,
      channels,
      samplesPerFrame: ((isShort ? 960 : 1024) * sampleRate) / codedRate,
      codecString: `mp4a.40.${type}`,
    },
  }
}

function readObjectType(bits: BitReader): number {
  const type = bits.bits(5)
  return type === objectType.escape ? 32 + bits.bits(6) : type
}

function readSampleRate(bits: BitReader): number | undefined {
  const index = bits.bits(4)
  const rate = index === explicitRate ? bits.bits(24) : sampleRates[index]
  return rate === undefined || rate === 0 || rate > maxSampleRate ? undefined : rate
}

/** §1.6.5: SBR may be told behind the end of what old decoders read. */
function readSbrBehind(bits: BitReader): number | undefined {
  if (bits.leftBits < 16 || bits.bits(11) !== sbrSync) return undefined
  if (readObjectType(bits) !== objectType.sbr || !bits.flag()) return undefined
  const rate = readSampleRate(bits)
  return bits.isBroken ? undefined : rate
}
