// Which parts of a query name an object.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { targetOf } from '../../../common/cache/cache-key.ts'
import { classify } from '../../../common/cache/media-path.ts'

const playlist = '/live/demo/720p.m3u8'

function keyOf(path: string, query: string): unknown {
  const target = targetOf(classify(path)!, path, query)
  return 'problem' in target ? 400 : target.key
}

describe('targetOf', () => {
  it.each([
    ['', playlist],
    ['token=abc&CMCD=br%3D300', playlist],
    ['_HLS_msn=7', `${playlist}?_HLS_msn=7`],
    ['x=1&_HLS_part=2&_HLS_msn=7', `${playlist}?_HLS_msn=7&_HLS_part=2`],
    ['_HLS_msn=007', `${playlist}?_HLS_msn=7`],
    ['_HLS_skip=v2&_HLS_msn=7', `${playlist}?_HLS_msn=7&_HLS_skip=v2`],
    ['_HLS_skip=YES', `${playlist}?_HLS_skip=YES`],
    ['_HLS_pathway=a&_HLS_report=1', playlist],
    ['_HLS_part=2', 400],
    ['_HLS_msn=', 400],
    ['_HLS_msn', 400],
    ['_HLS_msn=-1', 400],
    ['_HLS_msn=1e3', 400],
    ['_HLS_msn=1&_HLS_msn=2', 400],
    ['_HLS_msn=1234567890123456', 400],
    ['_HLS_skip=no', 400],
  ])('reduces %j', (query, key) => {
    expect(keyOf(playlist, query)).toBe(key)
  })

  it('keeps no query on anything but media playlists', () => {
    const segment = '/live/demo/abcdef12-1/720p/1.m4s'
    expect(keyOf(segment, '_HLS_msn=7&a=b')).toBe(segment)
    expect(keyOf('/live/demo/index.m3u8', '_HLS_msn=7')).toBe('/live/demo/index.m3u8')
  })

  it('holds back only what names a media sequence number', () => {
    const blocking = (query: string) => targetOf(classify(playlist)!, playlist, query)
    expect(blocking('_HLS_msn=1')).toMatchObject({ blocking: true })
    expect(blocking('_HLS_skip=YES')).toMatchObject({ blocking: false })
  })

  it('gives one key whatever else stands around the directives, and nothing else gets through', () => {
    const other = fc.stringMatching(/^[a-z]{1,8}=[A-Za-z0-9%._-]{0,12}$/)
    const queries = fc.shuffledSubarray(['_HLS_msn=3', '_HLS_part=1'], { minLength: 2 })
    fc.assert(
      fc.property(queries, fc.array(other), fc.nat(2), (directives, others, at) => {
        const pairs = [...directives]
        pairs.splice(at, 0, ...others)
        expect(keyOf(playlist, pairs.join('&'))).toBe(`${playlist}?_HLS_msn=3&_HLS_part=1`)
      }),
    )
  })
})
