import { expect, test } from 'vitest'
import { parseInitSection } from '../../../media/mp4/init-section.ts'
import { aacEntry, avcEntry, box, initSection } from '../../support/fmp4.ts'

test('reads a picture track', () => {
  expect(parseInitSection(initSection({ entry: avcEntry(854, 480) }))).toEqual({
    ok: true,
    track: {
      kind: 'video',
      trackId: 1,
      timescale: 90_000,
      codec: 'avc1.64001f',
      width: 854,
      height: 480,
      sampleRate: 0,
      channels: 0,
      defaults: { durationTicks: 0, sizeBytes: 0, flags: 0 },
    },
  })
})

test.each([
  ['AAC-LC 48 kHz stereo', '1190', 'mp4a.40.2', 48_000, 2],
  ['AAC-LC 44.1 kHz mono', '1208', 'mp4a.40.2', 44_100, 1],
  ['HE-AAC, coded at 24 kHz', '2b11', 'mp4a.40.5', 24_000, 2],
])('reads a sound track: %s', (_, config, codec, sampleRate, channels) => {
  const entry = aacEntry(Buffer.from(config, 'hex'))
  const result = parseInitSection(initSection({ kind: 'audio', timescale: 48_000, entry }))
  expect(result).toMatchObject({ ok: true, track: { kind: 'audio', codec, sampleRate, channels } })
})

test.each([
  ['nothing', Buffer.alloc(0), 'no moov box'],
  ['a timescale of zero', initSection({ timescale: 0 }), 'track header is cut off'],
  [
    'a codec that is not known',
    initSection({ entry: box('hvc1', Buffer.alloc(78)) }),
    'video codec hvc1',
  ],
  [
    'sound without its configuration',
    initSection({ kind: 'audio', entry: box('mp4a', Buffer.alloc(28)) }),
    'audio codec mp4a',
  ],
])('refuses %s', (_, bytes, reason) => {
  expect(parseInitSection(bytes)).toEqual({ ok: false, reason })
})
