// The grammar of playback URLs.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { classify, isMalformed } from '../../../common/cache/media-path.ts'

const recording = '0190f8a2-7f4e-7c3a-9b1d-2f5e8a6c4d10'

describe('classify', () => {
  it.each([
    ['/live/demo/index.m3u8', 'live', 'demo', 'multivariant', undefined],
    ['/live/demo/manifest.mpd', 'live', 'demo', 'mpd', undefined],
    ['/live/demo/timeline.mpd', 'live', 'demo', 'mpd', undefined],
    ['/live/demo/status.json', 'live', 'demo', 'status', undefined],
    ['/live/de_mo-1/720p.m3u8', 'live', 'de_mo-1', 'media-playlist', '720p'],
    ['/live/demo/720p-iframes.m3u8', 'live', 'demo', 'media-playlist', '720p-iframes'],
    ['/live/demo/abcdef12-1/720p/p345.m4s', 'live', 'demo', 'part', '720p'],
    ['/live/demo/abcdef12-1/720p/init.mp4', 'live', 'demo', 'init', '720p'],
    ['/live/demo/abcdef12-12/audio/345.m4s', 'live', 'demo', 'segment', 'audio'],
    [`/replay/${recording}/index.m3u8`, 'replay', recording, 'multivariant', undefined],
    [`/replay/${recording}/480p.m3u8`, 'replay', recording, 'media-playlist', '480p'],
    [`/replay/${recording}/abcdef12-1/480p/0.m4s`, 'replay', recording, 'segment', '480p'],
  ])('knows %s', (path, scope, id, kind, rendition) => {
    expect(classify(path)).toEqual({ scope, id, kind, rendition })
  })

  it.each([
    '/live/demo',
    '/live/demo/',
    '/live//index.m3u8',
    '/live/Demo/index.m3u8',
    '/live/demo/index.M3U8',
    '/live/demo/index.m3u8/',
    '/live/demo/index.m3u8\n',
    '/live/demo/720p/init.mp4',
    '/live/demo/abcdef12-1/720p/init.m4s',
    '/live/demo/abcdef12-1/720p/12.mp4',
    '/live/demo/abcdef12-1/720p/12345678901.m4s',
    '/live/demo/abcdef12-1/720p/p.m4s',
    '/live/demo/abcdef12-1/720p/pp1.m4s',
    '/live/demo/short-1/720p/1.m4s',
    `/replay/${recording}/abcdef12-1/480p/p0.m4s`,
    '/live/../demo/index.m3u8',
    '/live/de%6do/index.m3u8',
    '/live/demo/index.m3u8;x',
    '/replay/demo/index.m3u8',
    `/replay/${recording}/status.json`,
    `/live/${'a'.repeat(64)}/index.m3u8`,
    'live/demo/index.m3u8',
    'http://host/live/demo/index.m3u8',
    '',
  ])('knows nothing under %j', (path) => {
    expect(classify(path)).toBeUndefined()
  })

  it('takes any text without throwing, and what it takes is never malformed', () => {
    const piece = fc.constantFrom('/', 'live', 'demo', '720p', '.m3u8', 'index', '..', '%2e', ';')
    const path = fc.oneof(
      fc.string(),
      fc.array(piece).map((pieces) => pieces.join('')),
    )
    fc.assert(
      fc.property(path, (text) => {
        if (classify(text)) expect(isMalformed(text)).toBe(false)
      }),
    )
  })
})

describe('isMalformed', () => {
  it.each([
    '/live/demo/../x',
    '/live/./demo',
    '/live/demo/..',
    '/live//demo',
    '/live/%2e%2e/x',
    '/live\\demo',
    '/live/demo;a=1/index.m3u8',
    '/live/dé',
    '/live/de mo',
    '*',
    'http://host/live/demo/index.m3u8',
  ])('rejects %j', (path) => {
    expect(isMalformed(path)).toBe(true)
  })

  it.each(['/', '/favicon.ico', '/live/demo/..x', '/watch/demo'])('leaves %j alone', (path) => {
    expect(isMalformed(path)).toBe(false)
  })
})
