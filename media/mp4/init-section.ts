// Reads an init section (ftyp + moov) of one track: what a manifest must say about it.
import { FieldReader, findBox, readBoxes } from './boxes.ts'

export interface SampleDefaults {
  durationTicks: number
  sizeBytes: number
  flags: number
}

export interface InitTrack {
  kind: 'video' | 'audio'
  trackId: number
  timescale: number
  /** As in RFC 6381, e.g. avc1.64001f or mp4a.40.2. */
  codec: string
  /** Video only, else 0. */
  width: number
  height: number
  /** Audio only, else 0. */
  sampleRate: number
  channels: number
  defaults: SampleDefaults
}

export type InitResult = { ok: true; track: InitTrack } | { ok: false; reason: string }

const fail = (reason: string): InitResult => ({ ok: false, reason })

export function parseInitSection(bytes: Buffer): InitResult {
  const moov = findBox(bytes, ['moov'])
  if (!moov) return fail('no moov box')
  const children = readBoxes(bytes, moov.bodyStart, moov.end)
  const traks = children?.filter((box) => box.type === 'trak') ?? []
  if (traks.length !== 1) return fail(`${traks.length} tracks where one is expected`)
  const trak = traks[0]!
  const at = (...path: string[]) => findBox(bytes, path, trak.bodyStart, trak.end)

  const tkhd = at('tkhd')
  const mdhd = at('mdia', 'mdhd')
  const hdlr = at('mdia', 'hdlr')
  const stsd = at('mdia', 'minf', 'stbl', 'stsd')
  if (!tkhd || !mdhd || !hdlr || !stsd) return fail('a track box is missing')

  const trackFields = new FieldReader(bytes, tkhd.bodyStart, tkhd.end)
  trackFields.skip(trackFields.u8() === 1 ? 3 + 16 : 3 + 8)
  const trackId = trackFields.u32()

  const mediaFields = new FieldReader(bytes, mdhd.bodyStart, mdhd.end)
  mediaFields.skip(mediaFields.u8() === 1 ? 3 + 16 : 3 + 8)
  const timescale = mediaFields.u32()
  if (trackFields.isOverrun || mediaFields.isOverrun || timescale === 0) {
    return fail('track header is cut off')
  }

  const handler = bytes.toString('latin1', hdlr.bodyStart + 8, hdlr.bodyStart + 12)
  // Version, flags and entry count stand before the sample entries.
  const entry = readBoxes(bytes, stsd.bodyStart + 8, stsd.end)?.[0]
  if (!entry) return fail('no sample entry')

  const base = { trackId, timescale, defaults: readDefaults(bytes) }
  if (handler === 'vide') {
    const fields = new FieldReader(bytes, entry.bodyStart + 24, entry.end)
    const width = fields.u16()
    const height = fields.u16()
    // A visual sample entry has 78 bytes of fields (§12.1.3).
    const avcC = findBox(bytes, ['avcC'], entry.bodyStart + 78, entry.end)
    if (!avcC || avcC.end - avcC.bodyStart < 4) return fail(`video codec ${entry.type}`)
    const codec = `${entry.type}.${bytes.toString('hex', avcC.bodyStart + 1, avcC.bodyStart + 4)}`
    const track = { kind: 'video' as const, codec, width, height, sampleRate: 0, channels: 0 }
    return { ok: true, track: { ...base, ...track } }
  }
  if (handler === 'soun') {
    const fields = new FieldReader(bytes, entry.bodyStart + 16, entry.end)
    const channels = fields.u16()
    // An audio sample entry has 28 bytes of fields (§12.2.3).
    const esds = findBox(bytes, ['esds'], entry.bodyStart + 28, entry.end)
    const aac = esds && readEsds(bytes.subarray(esds.bodyStart + 4, esds.end))
    if (!aac) return fail(`audio codec ${entry.type}`)
    const track = {
      kind: 'audio' as const,
      codec: `mp4a.40.${aac.objectType}`,
      width: 0,
      height: 0,
      sampleRate: aac.sampleRate || timescale,
      channels: aac.channels || channels,
    }
    return { ok: true, track: { ...base, ...track } }
  }
  return fail(`handler ${handler}`)
}

function readDefaults(bytes: Buffer): SampleDefaults {
  const trex = findBox(bytes, ['moov', 'mvex', 'trex'])
  if (!trex) return { durationTicks: 0, sizeBytes: 0, flags: 0 }
  const fields = new FieldReader(bytes, trex.bodyStart + 12, trex.end)
  return { durationTicks: fields.u32(), sizeBytes: fields.u32(), flags: fields.u32() }
}

interface AacFacts {
  objectType: number
  sampleRate: number
  channels: number
}

const sampleRates = [
  96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
  7_350,
]

// ISO/IEC 14496-1 §7.2.6: ES_Descriptor (3) holds DecoderConfigDescriptor (4) holds DecoderSpecificInfo (5).
function readEsds(bytes: Buffer): AacFacts | undefined {
  const es = readDescriptor(bytes, 0)
  if (es?.tag !== 3) return undefined
  // ES_ID and flags; ffmpeg and we set none of the optional fields.
  const config = readDescriptor(bytes, es.start + 3)
  if (config?.tag !== 4 || bytes[config.start] !== 0x40) return undefined
  const specific = readDescriptor(bytes, config.start + 13)
  if (specific?.tag !== 5 || specific.end - specific.start < 2) return undefined
  const bits = bytes.readUInt16BE(specific.start)
  const objectType = bits >> 11
  if (objectType === 0 || objectType === 31) return undefined
  return {
    objectType,
    sampleRate: sampleRates[(bits >> 7) & 0x0f] ?? 0,
    channels: (bits >> 3) & 0x0f,
  }
}

function readDescriptor(
  bytes: Buffer,
  offset: number,
): { tag: number; start: number; end: number } | undefined {
  const tag = bytes[offset]
  let length = 0
  for (let i = 1; i <= 4; i++) {
    const byte = bytes[offset + i]
    if (byte === undefined) return undefined
    length = (length << 7) | (byte & 0x7f)
    if ((byte & 0x80) === 0) {
      const start = offset + i + 1
      return tag !== undefined && start + length <= bytes.length
        ? { tag, start, end: start + length }
        : undefined
    }
  }
  return undefined
}
