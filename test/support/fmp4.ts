// Builds small fMP4 files box by box, so that a test can bend any field of them.

export function box(type: string, ...parts: Buffer[]): Buffer {
  const head = Buffer.alloc(8)
  const body = Buffer.concat(parts)
  head.writeUInt32BE(8 + body.length)
  head.write(type, 4, 'latin1')
  return Buffer.concat([head, body])
}

export function fields(...values: (number | bigint)[]): Buffer {
  const out = values.map((value) => {
    const bytes = Buffer.alloc(typeof value === 'bigint' ? 8 : 4)
    if (typeof value === 'bigint') bytes.writeBigUInt64BE(value)
    else bytes.writeUInt32BE(value >>> 0)
    return bytes
  })
  return Buffer.concat(out)
}

export interface TestTrack {
  kind?: 'video' | 'audio'
  timescale?: number
  entry?: Buffer
}

const zeros = (count: number) => Buffer.alloc(count)

/** AVC at 1280×720, high profile, level 3.1. */
export function avcEntry(width = 1280, height = 720): Buffer {
  const visual = Buffer.alloc(78)
  visual.writeUInt16BE(width, 24)
  visual.writeUInt16BE(height, 26)
  return box('avc1', visual, box('avcC', Buffer.from('0164001fffe100', 'hex')))
}

/** AAC-LC, 48 kHz, stereo. */
export function aacEntry(config = Buffer.from([0x11, 0x90])): Buffer {
  const sound = Buffer.alloc(28)
  sound.writeUInt16BE(2, 16)
  const specific = Buffer.concat([Buffer.from([5, config.length]), config])
  const decoder = Buffer.concat([
    Buffer.from([4, 13 + specific.length, 0x40, 0x15]),
    zeros(11),
    specific,
  ])
  const es = Buffer.concat([Buffer.from([3, 3 + decoder.length, 0, 1, 0]), decoder])
  return box('mp4a', sound, box('esds', zeros(4), es))
}

export function initSection({ kind = 'video', timescale = 90_000, entry }: TestTrack = {}): Buffer {
  const handler = kind === 'video' ? 'vide' : 'soun'
  const trak = box(
    'trak',
    box('tkhd', fields(7, 0, 0, 1), zeros(64)),
    box(
      'mdia',
      box('mdhd', fields(0, 0, 0, timescale, 0, 0)),
      box('hdlr', fields(0, 0), Buffer.from(handler, 'latin1'), zeros(13)),
      box(
        'minf',
        box(
          'stbl',
          box('stsd', fields(0, 1), entry ?? (kind === 'video' ? avcEntry() : aacEntry())),
        ),
      ),
    ),
  )
  const mvex = box('mvex', box('trex', fields(0, 1, 1, 0, 0, 0)))
  return Buffer.concat([
    box('ftyp', Buffer.from('iso6', 'latin1'), fields(0)),
    box('moov', box('mvhd', zeros(100)), trak, mvex),
  ])
}

export interface TestSegment {
  decodeTicks?: bigint
  sampleTicks?: number
  samples?: number
  isSync?: boolean
  compositionTicks?: number[]
}

export const syncFlags = 0x0200_0000
export const nonSyncFlags = 0x0101_0000

export function moof(segment: TestSegment = {}): Buffer {
  const { decodeTicks = 0n, sampleTicks = 3_000, samples = 60, isSync = true } = segment
  const offsets = segment.compositionTicks
  const runFlags = 0x004 | (offsets ? 0x800 : 0)
  const run = fields(
    (1 << 24) | runFlags,
    samples,
    isSync ? syncFlags : nonSyncFlags,
    ...(offsets ?? []),
  )
  return box(
    'moof',
    box('mfhd', fields(0, 1)),
    box(
      'traf',
      box('tfhd', fields(0x02_0028, 1, sampleTicks, nonSyncFlags)),
      box('tfdt', fields(0x0100_0000, decodeTicks)),
      box('trun', run),
    ),
  )
}

export function mediaSegment(segment: TestSegment = {}): Buffer {
  return Buffer.concat([box('styp', zeros(8)), moof(segment), box('mdat', zeros(100))])
}
