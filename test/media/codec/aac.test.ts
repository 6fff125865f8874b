import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readAacConfig } from '../../../media/codec/aac.ts'
import { hex } from '../rtmp/wire.ts'

test.each([
  // Made by ffmpeg 5.1, which adds the mark that there is no SBR.
  [
    '44.1 kHz mono of ffmpeg',
    '120856e500',
    {
      objectType: 2,
      sampleRate: 44_100,
      channels: 1,
      samplesPerFrame: 1024,
      codecString: 'mp4a.40.2',
    },
  ],
  ['48 kHz stereo of ffmpeg', '119056e500', { sampleRate: 48_000, channels: 2 }],
  ['96 kHz 5.1 of ffmpeg', '103056e500', { sampleRate: 96_000, channels: 6 }],
  ['8 kHz mono of ffmpeg', '158856e500', { sampleRate: 8_000, channels: 1 }],
  ['two bytes', '1190', { objectType: 2, sampleRate: 48_000, channels: 2 }],
  ['7.1', '11b8', { channels: 8 }],
  ['frames of 960', '1194', { samplesPerFrame: 960 }],
  ['a rate of its own', '178030d41010', { sampleRate: 25_000, channels: 2 }],
  // 00101 0110 0010 0011 00010 000
  [
    'HE-AAC told in front',
    '2b118800',
    {
      objectType: 5,
      sampleRate: 48_000,
      channels: 2,
      samplesPerFrame: 2048,
      codecString: 'mp4a.40.5',
    },
  ],
  [
    'HE-AAC v2 told in front',
    'eb098800',
    { objectType: 29, sampleRate: 48_000, channels: 1, codecString: 'mp4a.40.29' },
  ],
  // 00010 0110 0010 000, then sync 2b7, 00101 1 0011
  [
    'HE-AAC told behind',
    '1310 56e5 9800',
    { objectType: 5, sampleRate: 48_000, samplesPerFrame: 2048 },
  ],
])('%s is read', (_, bytes, expected) => {
  expect(readAacConfig(hex(bytes))).toMatchObject({ value: expected })
})

test.each([
  ['R30 nothing', ''],
  ['one byte', '11'],
  ['a reserved rate', '1690'],
  ['a rate of 16 MHz', '17ffffff9000'],
  ['a rate of 0', '178000001000'],
  ['the layout is elsewhere', '1180'],
  ['a reserved layout', '11c0'],
  ['an unknown object type', 'f9ff9000'],
  ['SBR that makes eight times the rate', '2b8180'],
])('%s is a fault', (_, bytes) => {
  expect(readAacConfig(hex(bytes))).toEqual({ fault: expect.any(String) })
})

test('whatever the bytes, what is read is within bounds', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 12 }), (array) => {
      const read = readAacConfig(Buffer.from(array))
      if ('fault' in read) return
      const { sampleRate, channels, samplesPerFrame } = read.value
      expect(sampleRate > 0 && sampleRate <= 192_000).toBe(true)
      expect(channels >= 1 && channels <= 8).toBe(true)
      expect([960, 1024, 1920, 2048]).toContain(samplesPerFrame)
    }),
    { numRuns: 5000 },
  )
})
