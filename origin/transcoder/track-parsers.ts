// Sequence headers of a publisher, read into the facts that the input check and the ladder need.
import type { AudioTrack, VideoTrack } from './input-check.ts'
import type { TrackParsers } from './input-reader.ts'

export const trackParsers: TrackParsers = { video: parseAvcConfig, audio: parseAacConfig }

const sampleRates = [
  96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
  7_350,
]

/** AudioSpecificConfig, ISO/IEC 14496-3 §1.6.2.1. */
function parseAacConfig(config: Buffer): AudioTrack | undefined {
  if (config.length < 2) return undefined
  const bits = config.readUInt16BE(0)
  const objectType = bits >> 11
  const sampleRate = sampleRates[(bits >> 7) & 0x0f]
  const channels = (bits >> 3) & 0x0f
  if (objectType === 0 || sampleRate === undefined || channels === 0) return undefined
  return { config, codec: `mp4a.40.${objectType}`, objectType, sampleRate, channels }
}

/** AVCDecoderConfigurationRecord, ISO/IEC 14496-15 §5.3.3.1, of which the first SPS tells all. */
function parseAvcConfig(config: Buffer): VideoTrack | undefined {
  if (config.length < 12 || config[0] !== 1 || (config[5]! & 0x1f) === 0) return undefined
  const end = 8 + config.readUInt16BE(6)
  if (end > config.length) return undefined
  const picture = parseSps(config.subarray(8, end))
  const codec = `avc1.${config.toString('hex', 1, 4)}`
  return picture && { config, codec, ...picture, framesPerSecond: null }
}

const highProfiles = new Set([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135])

/** ITU-T H.264 §7.3.2.1.1, up to the cropping. */
function parseSps(nal: Buffer): { width: number; height: number } | undefined {
  const bits = new BitReader(nal)
  bits.skip(8)
  const profile = bits.read(8)
  bits.skip(16)
  bits.golomb()
  let chroma = 1
  if (highProfiles.has(profile)) {
    chroma = bits.golomb()
    if (chroma === 3) bits.skip(1)
    bits.golomb()
    bits.golomb()
    bits.skip(1)
    if (bits.read(1)) skipScalingLists(bits, chroma === 3 ? 12 : 8)
  }
  bits.golomb()
  const orderType = bits.golomb()
  if (orderType === 0) bits.golomb()
  if (orderType === 1) {
    bits.skip(1)
    bits.golomb()
    bits.golomb()
    const count = Math.min(bits.golomb(), 255)
    for (let i = 0; i < count; i++) bits.golomb()
  }
  bits.golomb()
  bits.skip(1)
  const widthBlocks = bits.golomb() + 1
  const heightBlocks = bits.golomb() + 1
  const isFrameOnly = bits.read(1)
  if (!isFrameOnly) bits.skip(1)
  bits.skip(1)
  const crop = bits.read(1)
    ? [bits.golomb(), bits.golomb(), bits.golomb(), bits.golomb()]
    : [0, 0, 0, 0]
  if (bits.isOverrun) return undefined
  const unitX = chroma === 1 || chroma === 2 ? 2 : 1
  const unitY = (chroma === 1 ? 2 : 1) * (2 - isFrameOnly)
  const width = widthBlocks * 16 - (crop[0]! + crop[1]!) * unitX
  const height = (2 - isFrameOnly) * heightBlocks * 16 - (crop[2]! + crop[3]!) * unitY
  return width > 0 && height > 0 ? { width, height } : undefined
}

function skipScalingLists(bits: BitReader, count: number): void {
  for (let list = 0; list < count; list++) {
    if (!bits.read(1)) continue
    let last = 8
    let next = 8
    for (let i = 0; i < (list < 6 ? 16 : 64); i++) {
      if (next !== 0) next = (last + bits.signedGolomb() + 256) % 256
      if (next !== 0) last = next
    }
  }
}

/** Bits of a NAL unit without its emulation prevention; past the end it reads zeros and says so. */
class BitReader {
  readonly #bytes: number[] = []
  #position = 0
  isOverrun = false

  constructor(nal: Buffer) {
    let zeros = 0
    for (const byte of nal) {
      if (zeros >= 2 && byte === 3) {
        zeros = 0
        continue
      }
      zeros = byte === 0 ? zeros + 1 : 0
      this.#bytes.push(byte)
    }
  }

  read(count: number): number {
    let value = 0
    for (let i = 0; i < count; i++) {
      const byte = this.#bytes[this.#position >> 3]
      if (byte === undefined) this.isOverrun = true
      value = value * 2 + (((byte ?? 0) >> (7 - (this.#position & 7))) & 1)
      this.#position++
    }
    return value
  }

  skip(count: number): void {
    this.#position += count
  }

  golomb(): number {
    let zeros = 0
    while (zeros < 32 && !this.isOverrun && this.read(1) === 0) zeros++
    return 2 ** zeros - 1 + this.read(zeros)
  }

  signedGolomb(): number {
    const code = this.golomb()
    return code % 2 === 1 ? (code + 1) / 2 : -code / 2
  }
}
