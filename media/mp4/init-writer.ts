// Writes init sections (ftyp + moov) of fragmented MP4: of one track for players, of several to feed an encoder.
//
// There is no edit list: fragments carry signed composition offsets, so that times mean what they say in every
// player. Aspect ratio and colour stand in the SPS, where decoders look first.
import { box, descriptor, fullBox, latin1, u16, u32 } from './box-writer.ts'
import type { AudioTrackConfig, TrackConfig, VideoTrackConfig } from './track.ts'

/** Tracks get the ids 1, 2 and so on, in their order. */
export function writeInitSection(tracks: readonly TrackConfig[]): Buffer {
  const traks = tracks.map((track, index) => writeTrack(track, index + 1))
  const trexes = tracks.map((_, index) => fullBox('trex', 0, 0, u32(index + 1, 1, 0, 0, 0)))
  return Buffer.concat([
    writeFileType(tracks.length),
    box('moov', writeMovieHeader(tracks.length + 1), ...traks, box('mvex', ...trexes)),
  ])
}

/** iso6 for signed composition offsets (ISO/IEC 14496-12 §E.8); cmfc says one track (ISO/IEC 23000-19 §7.2). */
function writeFileType(trackCount: number): Buffer {
  return box('ftyp', latin1('iso6'), u32(0), latin1(trackCount === 1 ? 'iso6cmfc' : 'iso6'))
}

/** No rotation, in 16.16 and 2.30 fixed point. */
const unityMatrix = u32(0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000)
const movieTimescale = 1_000

/** Of a duration that is not known: fragments tell. */
function writeMovieHeader(nextTrackId: number): Buffer {
  return fullBox(
    'mvhd',
    0,
    0,
    u32(0, 0, movieTimescale, 0),
    u32(0x1_0000), // rate 1
    u16(0x100, 0), // volume 1
    u32(0, 0),
    unityMatrix,
    u32(0, 0, 0, 0, 0, 0),
    u32(nextTrackId),
  )
}

const enabledInMovie = 3

function writeTrack(track: TrackConfig, id: number): Buffer {
  const isVideo = track.kind === 'video'
  const trackHeader = fullBox(
    'tkhd',
    0,
    enabledInMovie,
    u32(0, 0, id, 0, 0),
    u32(0, 0),
    u16(0, 0, isVideo ? 0 : 0x100, 0),
    unityMatrix,
    isVideo ? u32(track.width * 0x1_0000, track.height * 0x1_0000) : u32(0, 0),
  )
  const mediaHeader = fullBox('mdhd', 0, 0, u32(0, 0, track.timescale, 0), u16(undetermined, 0))
  const handler = fullBox(
    'hdlr',
    0,
    0,
    u32(0),
    latin1(isVideo ? 'vide' : 'soun'),
    u32(0, 0, 0),
    latin1(isVideo ? 'video\0' : 'audio\0'),
  )
  const kindHeader = isVideo
    ? fullBox('vmhd', 0, 1, u16(0, 0, 0, 0))
    : fullBox('smhd', 0, 0, u32(0))
  const entry = isVideo ? writeAvcEntry(track) : writeAacEntry(track)
  const samples = box(
    'stbl',
    fullBox('stsd', 0, 0, u32(1), entry),
    fullBox('stts', 0, 0, u32(0)),
    fullBox('stsc', 0, 0, u32(0)),
    fullBox('stsz', 0, 0, u32(0, 0)),
    fullBox('stco', 0, 0, u32(0)),
  )
  const minf = box('minf', kindHeader, dataInSameFile, samples)
  return box('trak', trackHeader, box('mdia', mediaHeader, handler, minf))
}

/** ISO 639-2 "und", five bits per letter. */
const undetermined = 0x55c4
const dataInSameFile = box('dinf', fullBox('dref', 0, 0, u32(1), fullBox('url ', 0, 1)))
const seventyTwoDpi = 0x48_0000

/** ISO/IEC 14496-12 §12.1.3 and 14496-15 §5.4.2. */
function writeAvcEntry({ width, height, config }: VideoTrackConfig): Buffer {
  return box(
    'avc1',
    u16(0, 0, 0, 1), // reserved, data_reference_index
    u32(0, 0, 0, 0),
    u16(width, height),
    u32(seventyTwoDpi, seventyTwoDpi, 0),
    u16(1), // frames per sample
    Buffer.alloc(32), // compressorname
    u16(24, 0xffff), // depth; no colour table
    box('avcC', config),
  )
}

const objectTypeAac = 0x40
/** AudioStream in the upper six bits, then a reserved 1. */
const audioStream = 0x15
const predefinedForMp4 = 2

/** ISO/IEC 14496-12 §12.2.3 and 14496-14 §5.6. */
function writeAacEntry({ channels, sampleRate, config }: AudioTrackConfig): Buffer {
  const esds = descriptor(
    3,
    Buffer.from([0, 0, 0]), // ES_ID is 0 in a file
    descriptor(
      4,
      Buffer.from([objectTypeAac, audioStream, 0, 0, 0]),
      u32(0, 0), // bit rates, not known
      descriptor(5, config),
    ),
    descriptor(6, Buffer.from([predefinedForMp4])),
  )
  // Rates that 16 bits cannot hold are told by the configuration alone.
  const rate = sampleRate > 0xffff ? 0 : sampleRate
  return box(
    'mp4a',
    u16(0, 0, 0, 1), // reserved, data_reference_index
    u32(0, 0),
    u16(channels, 16, 0, 0),
    u32(rate * 0x1_0000),
    fullBox('esds', 0, 0, esds),
  )
}
