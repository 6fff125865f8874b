import { expect, test } from 'vitest'
import { type PlaylistSegment, writeMediaPlaylist } from '../../../media/hls/media-playlist.ts'
import { writeMultivariantPlaylist } from '../../../media/hls/multivariant-playlist.ts'

const segment = (number: number, changes: Partial<PlaylistSegment> = {}): PlaylistSegment => ({
  uri: `a-1/720p/${number}.m4s`,
  mapUri: 'a-1/720p/init.mp4',
  durationSeconds: 2,
  programDateTimeMs: Date.UTC(2026, 0, 1) + number * 2_000,
  hasDiscontinuity: false,
  isGap: false,
  ...changes,
})
const live = {
  targetDurationSeconds: 4,
  mediaSequence: 7,
  discontinuitySequence: 1,
  isEnded: false,
  isVod: false,
}

test('a live playlist names the init section anew where the take changes', () => {
  const segments = [
    segment(7),
    segment(8, { hasDiscontinuity: true, mapUri: 'a-2/720p/init.mp4', uri: 'a-2/720p/8.m4s' }),
  ]
  expect(writeMediaPlaylist({ ...live, segments })).toBe(`#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:1
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI="a-1/720p/init.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:14.000Z
#EXTINF:2.00000,
a-1/720p/7.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="a-2/720p/init.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:16.000Z
#EXTINF:2.00000,
a-2/720p/8.m4s
`)
})

test('a gap needs version 8', () => {
  const text = writeMediaPlaylist({ ...live, segments: [segment(7, { isGap: true })] })
  expect(text).toContain('#EXT-X-VERSION:8\n')
  expect(text).toContain('#EXT-X-GAP\n#EXTINF')
})

test('a replay says that it is whole', () => {
  const text = writeMediaPlaylist({ ...live, segments: [segment(7)], isVod: true, isEnded: true })
  expect(text).toContain('#EXT-X-PLAYLIST-TYPE:VOD\n')
  expect(text.endsWith('#EXT-X-ENDLIST\n')).toBe(true)
})

test('variants share their sound and name every codec', () => {
  const text = writeMultivariantPlaylist({
    audio: { uri: 'audio.m3u8', name: 'Original', channels: 2 },
    variants: [
      {
        uri: '720p.m3u8',
        bitsPerSecond: 2_600_000.4,
        averageBitsPerSecond: 2_400_000,
        codecs: ['avc1.64001f', 'mp4a.40.2'],
        picture: { width: 1280, height: 720, framesPerSecond: 29.97 },
      },
    ],
  })
  expect(text).toBe(`#EXTM3U
#EXT-X-VERSION:6
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="Original",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="audio.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=2600001,AVERAGE-BANDWIDTH=2400000,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO="audio"
720p.m3u8
`)
})

test('sound alone has no picture attributes', () => {
  const text = writeMultivariantPlaylist({
    variants: [
      {
        uri: 'audio.m3u8',
        bitsPerSecond: 96_000,
        averageBitsPerSecond: 96_000,
        codecs: ['mp4a.40.2'],
      },
    ],
  })
  expect(text).not.toContain('RESOLUTION')
  expect(text).not.toContain('AUDIO=')
})

const serverControl = { partHoldBackSeconds: 1.506, skipUntilSeconds: 24 }
const part = (id: number, isIndependent = false) => ({
  uri: `a-1/720p/p${id}.m4s`,
  durationSeconds: 0.5,
  isIndependent,
  isGap: false,
})

test('parts, the hint and the reports stand where clients look for them', () => {
  const text = writeMediaPlaylist({
    ...live,
    serverControl,
    partTargetSeconds: 0.502,
    segments: [segment(7, { parts: [part(1, true), part(2)] })],
    open: {
      mapUri: 'a-1/720p/init.mp4',
      programDateTimeMs: Date.UTC(2026, 0, 1) + 16_000,
      hasDiscontinuity: false,
      parts: [{ ...part(3), isGap: true }],
    },
    hintUri: 'a-1/720p/p4.m4s',
    reports: [
      { uri: 'audio.m3u8', lastNumber: 8, lastPart: 0 },
      { uri: '360p.m3u8', lastNumber: 7, lastPart: undefined },
    ],
  })
  expect(text).toBe(`#EXTM3U
#EXT-X-VERSION:8
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:1
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.506,CAN-SKIP-UNTIL=24
#EXT-X-PART-INF:PART-TARGET=0.502
#EXT-X-MAP:URI="a-1/720p/init.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:14.000Z
#EXT-X-PART:DURATION=0.50000,URI="a-1/720p/p1.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.50000,URI="a-1/720p/p2.m4s"
#EXTINF:2.00000,
a-1/720p/7.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:16.000Z
#EXT-X-PART:DURATION=0.50000,URI="a-1/720p/p3.m4s",GAP=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="a-1/720p/p4.m4s"
#EXT-X-RENDITION-REPORT:URI="audio.m3u8",LAST-MSN=8,LAST-PART=0
#EXT-X-RENDITION-REPORT:URI="360p.m3u8",LAST-MSN=7
`)
})

test('a delta update keeps the media sequence and names the init section again', () => {
  const text = writeMediaPlaylist({
    ...live,
    serverControl,
    segments: [segment(7), segment(8), segment(9)],
    skippedSegments: 2,
  })
  expect(text).toContain('#EXT-X-VERSION:9\n')
  expect(text).toContain('#EXT-X-MEDIA-SEQUENCE:7\n')
  expect(text).toContain(`#EXT-X-SKIP:SKIPPED-SEGMENTS=2
#EXT-X-MAP:URI="a-1/720p/init.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:18.000Z
#EXTINF:2.00000,
a-1/720p/9.m4s
`)
})

test('a playlist of keyframes gives a range for each', () => {
  const segments = [segment(7, { prefixBytes: 4_321 })]
  const text = writeMediaPlaylist({ ...live, segments, hasOnlyKeyframes: true })
  expect(text).toContain('#EXT-X-VERSION:5\n')
  expect(text).toContain('#EXT-X-I-FRAMES-ONLY\n')
  expect(text).toContain('#EXTINF:2.00000,\n#EXT-X-BYTERANGE:4321@0\na-1/720p/7.m4s\n')
})

test('a gap without an init section leaves the one in force', () => {
  const segments = [segment(7), segment(8, { mapUri: undefined, isGap: true }), segment(9)]
  expect(writeMediaPlaylist({ ...live, segments }).match(/EXT-X-MAP/g)).toHaveLength(1)
})

test('limits are rounded up, so that what holds to them is never written as above', () => {
  const third = 0.333_333_333
  const text = writeMediaPlaylist({
    ...live,
    serverControl: { ...serverControl, partHoldBackSeconds: 3 * third },
    partTargetSeconds: third,
    segments: [segment(7, { parts: [{ ...part(1), durationSeconds: third }] })],
  })
  expect(text).toContain('PART-TARGET=0.33334\n')
  expect(text).toContain('PART-HOLD-BACK=1,')
  expect(text).toContain('PART:DURATION=0.33333,')
})

test('variants, sound and keyframes have ids that stay', () => {
  const rates = { bitsPerSecond: 200_000, averageBitsPerSecond: 100_000, codecs: ['avc1.64001f'] }
  const text = writeMultivariantPlaylist({
    audio: { uri: 'audio.m3u8', name: 'Original', channels: 2, stableId: 'audio' },
    variants: [{ ...rates, uri: '360p.m3u8', stableId: '360p' }],
    keyframes: {
      ...rates,
      uri: '360p-iframes.m3u8',
      stableId: '360p-iframes',
      picture: { width: 640, height: 360 },
    },
  })
  expect(text).toContain('CHANNELS="2",STABLE-RENDITION-ID="audio",URI="audio.m3u8"\n')
  expect(text).toContain('AUDIO="audio",STABLE-VARIANT-ID="360p"\n360p.m3u8\n')
  expect(text).toContain(
    '#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=200000,AVERAGE-BANDWIDTH=100000,CODECS="avc1.64001f",RESOLUTION=640x360,STABLE-VARIANT-ID="360p-iframes",URI="360p-iframes.m3u8"\n',
  )
})
