import { expect, test } from 'vitest'
import { type InitTrack, parseInitSection } from '../../../media/mp4/init-section.ts'
import { parseMediaSegment } from '../../../media/mp4/media-segment.ts'
import { box, fields, initSection, mediaSegment, moof } from '../../support/fmp4.ts'

const init = parseInitSection(initSection())
if (!init.ok) throw new Error(init.reason)
const track: InitTrack = init.track

test('tells start, length and whether it starts with a keyframe', () => {
  expect(parseMediaSegment(mediaSegment({ decodeTicks: 180_000n }), track)).toEqual({
    ok: true,
    segment: {
      startTicks: 180_000,
      durationTicks: 180_000,
      sampleCount: 60,
      startsWithSyncSample: true,
      maxSampleTicks: 3_000,
    },
  })
})

test('counts from the earliest presentation time where frames are reordered', () => {
  const segment = mediaSegment({
    decodeTicks: 9_000n,
    samples: 3,
    compositionTicks: [0, 3_000, -6_000],
  })
  expect(parseMediaSegment(segment, track)).toMatchObject({ segment: { startTicks: 9_000 } })
})

test('counts a hole between fragments into the length', () => {
  const bytes = Buffer.concat([
    moof({ samples: 10 }),
    box('mdat'),
    moof({ decodeTicks: 36_000n, samples: 10 }),
    box('mdat'),
  ])
  expect(parseMediaSegment(bytes, track)).toMatchObject({ segment: { durationTicks: 66_000 } })
})

test.each([
  ['an empty file', Buffer.alloc(0), 'no moof box'],
  ['a file that is cut off', mediaSegment().subarray(0, -1), 'box sizes do not add up'],
  ['a fragment without its media', moof(), 'no mdat box'],
  ['no samples', mediaSegment({ samples: 0 }), 'no samples'],
  ['samples without length', mediaSegment({ sampleTicks: 0 }), 'no samples'],
  [
    'a time below zero that wrapped',
    mediaSegment({ decodeTicks: 2n ** 64n - 1024n }),
    'tfdt is cut off or wrapped',
  ],
  [
    'a track header without the fields that its flags announce',
    Buffer.concat([
      box(
        'moof',
        box('traf', box('tfhd', fields(0x02_0028, 1)), box('tfdt', fields(0, 0)), box('trun')),
      ),
      box('mdat'),
    ]),
    'tfhd is cut off',
  ],
  ['a sample count out of all reason', mediaSegment({ samples: 2 ** 31 }), 'too many samples'],
  [
    'fragments that overlap',
    Buffer.concat([moof(), box('mdat'), moof({ decodeTicks: 1n }), box('mdat')]),
    'fragments overlap',
  ],
])('refuses %s', (_, bytes, reason) => {
  expect(parseMediaSegment(bytes, track)).toEqual({ ok: false, reason })
})

test('sees that the first frame is no keyframe', () => {
  expect(parseMediaSegment(mediaSegment({ isSync: false }), track)).toMatchObject({
    ok: true,
    segment: { startsWithSyncSample: false },
  })
})
