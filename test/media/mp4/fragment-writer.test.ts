import { expect, test } from 'vitest'
import { writeFragment } from '../../../media/mp4/fragment-writer.ts'
import { parseInitSection } from '../../../media/mp4/init-section.ts'
import { parseMediaSegment } from '../../../media/mp4/media-segment.ts'
import type { MediaSample } from '../../../media/mp4/track.ts'
import { initSection } from '../../support/fmp4.ts'

const sample = (
  dts: number,
  cts: number,
  duration: number,
  isKeyframe: boolean,
  hex: string,
): MediaSample => ({ dts, cts, duration, isKeyframe, data: Buffer.from(hex, 'hex') })

/** Hex with white space and what follows a hash left out. */
const golden = (text: string) => text.replaceAll(/#.*|\s/g, '')

test('golden: a keyframe and a reordered frame, past 32 bits of time', () => {
  const { bytes, firstSampleEnd } = writeFragment({
    sequenceNumber: 7,
    trackId: 1,
    samples: [
      sample(2 ** 32 + 5, 0, 3_000, true, '0102'),
      sample(2 ** 32 + 3_005, -3_000, 3_000, false, '03'),
    ],
  })
  expect(bytes.toString('hex')).toBe(
    golden(`
      00000074 6d6f6f66                             # moof
        00000010 6d666864 00000000 00000007         # mfhd, sequence number
        0000005c 74726166                           # traf
          00000018 74666864 00020028 00000001       # tfhd: base is moof, duration, flags; track id
            00000bb8 01010000                       # of most samples: 3000 ticks, not a keyframe
          00000014 74666474 01000000                # tfdt, version 1
            00000001 00000005
          00000028 7472756e 01000a05 00000002       # trun, version 1: offset, first flags, sizes, cts
            0000007c 02000000                       # media begins 124 bytes on; a keyframe first
            00000002 00000000
            00000001 fffff448
      0000000b 6d646174 0102 03                     # mdat
    `),
  )
  expect(bytes.subarray(0, firstSampleEnd).toString('hex')).toMatch(/6d6461740102$/)
})

test('golden: sound', () => {
  const samples = [sample(48_000, 0, 1_024, true, '0a0b'), sample(49_024, 0, 1_024, true, '0c')]
  expect(writeFragment({ sequenceNumber: 8, trackId: 2, samples }).bytes.toString('hex')).toBe(
    golden(`
      00000068 6d6f6f66
        00000010 6d666864 00000000 00000008
        00000050 74726166
          00000018 74666864 00020028 00000002 00000400 02000000
          00000014 74666474 01000000 00000000 0000bb80
          0000001c 7472756e 01000201 00000002 00000070 00000002 00000001
      0000000b 6d646174 0a0b 0c
    `),
  )
})

test('golden: durations that differ and a keyframe in the middle stand with each sample', () => {
  const samples = [
    sample(1, 0, 1, false, '01'),
    sample(2, 0, 3, true, '02'),
    sample(5, 0, 3, false, '03'),
  ]
  expect(writeFragment({ sequenceNumber: 9, trackId: 1, samples }).bytes.toString('hex')).toBe(
    golden(`
      00000080 6d6f6f66
        00000010 6d666864 00000000 00000009
        00000068 74726166
          00000014 74666864 00020020 00000001 01010000
          00000014 74666474 01000000 00000000 00000001
          00000038 7472756e 01000701 00000003 00000088
            00000001 00000001 01010000
            00000003 00000001 02000000
            00000003 00000001 01010000
      0000000b 6d646174 01 02 03
    `),
  )
})

test('fragments of one track follow one another in a segment', () => {
  const init = parseInitSection(initSection())
  if (!init.ok) throw new Error(init.reason)
  const fragment = (sequenceNumber: number, samples: MediaSample[]) =>
    writeFragment({ sequenceNumber, trackId: 1, samples }).bytes
  const segment = Buffer.concat([
    fragment(1, [sample(900, 0, 3_000, true, '01'), sample(3_900, 6_000, 3_100, false, '02')]),
    fragment(2, [sample(7_000, -3_000, 3_000, false, '03')]),
  ])
  expect(parseMediaSegment(segment, init.track)).toEqual({
    ok: true,
    segment: {
      startTicks: 900,
      durationTicks: 9_100,
      sampleCount: 3,
      startsWithSyncSample: true,
      maxSampleTicks: 3_100,
    },
  })
})

test('no samples are no fragment', () => {
  const fragment = writeFragment({ sequenceNumber: 1, trackId: 1, samples: [] })
  expect(fragment).toEqual({ bytes: Buffer.alloc(0), firstSampleEnd: 0 })
})
