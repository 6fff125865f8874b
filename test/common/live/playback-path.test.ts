import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseDirectives, parsePlaybackPath } from '../../../common/live/playback-path.ts'

const recordingId = '0b6d1a54-6d6c-4b52-9a57-5e2f3f6f2a11'
const live = { kind: 'live', liveId: 'demo' }
const replay = { kind: 'replay', recordingId }

test.each([
  ['/time', { kind: 'time' }],
  ['/live/demo/index.m3u8', { kind: 'multivariant', from: live }],
  ['/live/demo/index.m3u8?_HLS_msn=3', { kind: 'multivariant', from: live }],
  ['/live/demo/manifest.mpd', { kind: 'mpd', from: live, addressing: 'number' }],
  ['/live/demo/timeline.mpd', { kind: 'mpd', from: live, addressing: 'timeline' }],
  ['/live/demo/720p.m3u8', { kind: 'playlist', from: live, rendition: '720p' }],
  ['/live/demo/720p-iframes.m3u8', { kind: 'iframes', from: live, rendition: '720p' }],
  [
    '/live/demo/abcdefgh-1/720p/p12.m4s',
    { kind: 'part', from: live, take: 'abcdefgh-1', rendition: '720p', id: 12 },
  ],
  [
    '/live/demo/abcdefgh-1/720p/init.mp4',
    { kind: 'init', from: live, take: 'abcdefgh-1', rendition: '720p' },
  ],
  [
    `/replay/${recordingId}/abcdefgh-12/audio/345.m4s`,
    { kind: 'segment', from: replay, take: 'abcdefgh-12', rendition: 'audio', number: 345 },
  ],
  [`/replay/${recordingId}/index.m3u8`, { kind: 'multivariant', from: replay }],
])('%s', (target, expected) => {
  expect(parsePlaybackPath(target)).toEqual(expected)
})

test.each([
  '',
  '/',
  '/live/demo',
  '/live/demo/',
  '/live/Demo/index.m3u8',
  '/live/../../etc/passwd/index.m3u8',
  '/live/demo/%2e%2e/720p/init.mp4',
  '/live/demo/abcdefgh-1/../../init.mp4',
  '/live/demo/abcdefgh-1/720p/..%2f1.m4s',
  '/live/demo/abcdefgh-1/720p/1.m4s/',
  '/live/demo/abcdefgh-1/720p/1.m4s\n',
  '/live/demo/abcdefgh-1/720p/-1.m4s',
  '/live/demo/abcdefgh-1/720p/p.m4s',
  '/live/demo/-iframes.m3u8',
  '/live/demo/abcdefgh-1/work/0-1.m4s',
  '//live/demo/index.m3u8',
  'http://other/live/demo/index.m3u8',
  '/replay/demo/index.m3u8',
  `/live/${'a'.repeat(64)}/index.m3u8`,
])('nothing is at %j', (target) => {
  expect(parsePlaybackPath(target)).toBeUndefined()
})

test('no part of a path that matches can lead anywhere else', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('/', '.', '%', '2', 'e', 'a', '-', 'p') }),
      (tail) => {
        const path = parsePlaybackPath(`/live/demo/${tail}`)
        if (path && 'take' in path) expect(`${path.take}${path.rendition}`).toMatch(/^[a-z0-9-]+$/)
      },
    ),
  )
})

test.each([
  ['', {}],
  ['?token=x', {}],
  ['?_HLS_msn=7', { position: { msn: 7 } }],
  ['?_HLS_msn=7&_HLS_part=0', { position: { msn: 7, part: 0 } }],
  ['?_HLS_msn=7&_HLS_skip=YES', { position: { msn: 7 }, skip: 'YES' }],
  ['?_HLS_skip=v2', { skip: 'v2' }],
])('the directives of %j', (query, expected) => {
  expect(parseDirectives(`/live/demo/720p.m3u8${query}`)).toEqual(expected)
})

test.each(['_HLS_part=1', '_HLS_msn=', '_HLS_msn=-1', '_HLS_msn=1&_HLS_part=x', '_HLS_skip=no'])(
  '%s makes no sense',
  (query) => {
    expect(parseDirectives(`/live/demo/720p.m3u8?${query}`)).toHaveProperty('problem')
  },
)
