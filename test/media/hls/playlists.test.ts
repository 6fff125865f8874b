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
