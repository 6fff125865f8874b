import { expect, test } from 'vitest'
import { findBox, readBoxes } from '../../../media/mp4/boxes.ts'
import { parseInitSection } from '../../../media/mp4/init-section.ts'
import { writeInitSection } from '../../../media/mp4/init-writer.ts'
import type { AudioTrackConfig, VideoTrackConfig } from '../../../media/mp4/track.ts'

const video: VideoTrackConfig = {
  kind: 'video',
  timescale: 90_000,
  codec: 'avc1.4d401e',
  width: 640,
  height: 360,
  config: Buffer.from(
    '014d401effe10018674d401eeca05017fcb80880000003008000001e078b16cb01000568ebe3cb20',
    'hex',
  ),
}
const audio: AudioTrackConfig = {
  kind: 'audio',
  timescale: 48_000,
  codec: 'mp4a.40.2',
  sampleRate: 48_000,
  channels: 2,
  config: Buffer.from('1190', 'hex'),
}

/** Any number of boxes deep, as `moov/trak/tkhd`. */
function paths(bytes: Buffer, start = 0, end = bytes.length, prefix = ''): string[] {
  const containers = new Set(['moov', 'mvex', 'trak', 'mdia', 'minf', 'dinf', 'stbl'])
  return (readBoxes(bytes, start, end) ?? []).flatMap(({ type, ...box }) =>
    containers.has(type)
      ? paths(bytes, box.bodyStart, box.end, `${prefix}${type}/`)
      : [`${prefix}${type}`],
  )
}

test('a picture track says what it was given', () => {
  const bytes = writeInitSection([video])
  expect(parseInitSection(bytes)).toEqual({
    ok: true,
    track: {
      kind: 'video',
      trackId: 1,
      timescale: 90_000,
      codec: 'avc1.4d401e',
      width: 640,
      height: 360,
      sampleRate: 0,
      channels: 0,
      defaults: { durationTicks: 0, sizeBytes: 0, flags: 0 },
    },
  })
  const stsd = findBox(bytes, ['moov', 'trak', 'mdia', 'minf', 'stbl', 'stsd'])!
  const entry = readBoxes(bytes, stsd.bodyStart + 8, stsd.end)![0]!
  const avcC = findBox(bytes, ['avcC'], entry.bodyStart + 78, entry.end)!
  expect(bytes.subarray(avcC.bodyStart, avcC.end)).toEqual(video.config)
})

test.each([
  ['AAC-LC at 48 kHz', {}, {}],
  [
    'AAC-LC mono at 44.1 kHz',
    { timescale: 44_100, sampleRate: 44_100, channels: 1, config: Buffer.from('1208', 'hex') },
    { timescale: 44_100, sampleRate: 44_100, channels: 1 },
  ],
  [
    'AAC-LC at 96 kHz, which the sample entry cannot hold',
    { timescale: 96_000, sampleRate: 96_000, config: Buffer.from('1010', 'hex') },
    { timescale: 96_000, sampleRate: 96_000 },
  ],
])('a sound track says what it was given: %s', (_, config, expected) => {
  expect(parseInitSection(writeInitSection([{ ...audio, ...config }]))).toMatchObject({
    ok: true,
    track: { kind: 'audio', codec: 'mp4a.40.2', sampleRate: 48_000, channels: 2, ...expected },
  })
})

test('has every box that ISO/IEC 14496-12 demands, and no edit list', () => {
  expect(paths(writeInitSection([audio]))).toEqual([
    'ftyp',
    'moov/mvhd',
    'moov/trak/tkhd',
    'moov/trak/mdia/mdhd',
    'moov/trak/mdia/hdlr',
    'moov/trak/mdia/minf/smhd',
    'moov/trak/mdia/minf/dinf/dref',
    'moov/trak/mdia/minf/stbl/stsd',
    'moov/trak/mdia/minf/stbl/stts',
    'moov/trak/mdia/minf/stbl/stsc',
    'moov/trak/mdia/minf/stbl/stsz',
    'moov/trak/mdia/minf/stbl/stco',
    'moov/mvex/trex',
  ])
})

test('several tracks are numbered in their order, and only one alone is called CMAF', () => {
  const both = writeInitSection([video, audio])
  const moov = findBox(both, ['moov'])!
  const ids = readBoxes(both, moov.bodyStart, moov.end)!
    .filter((box) => box.type === 'trak')
    .map((box) =>
      both.readUInt32BE(findBox(both, ['tkhd'], box.bodyStart, box.end)!.bodyStart + 12),
    )
  expect(ids).toEqual([1, 2])
  expect(both.toString('latin1', 8, 12)).toBe('iso6')
  expect(both.subarray(0, moov.start).includes('cmfc')).toBe(false)
  expect(writeInitSection([audio]).toString('latin1', 16, 24)).toBe('iso6cmfc')
})

test('the same tracks give the same bytes', () => {
  expect(writeInitSection([video, audio])).toEqual(writeInitSection([video, audio]))
})
