// What is read of a playlist's text, against what its packager knows, and what is read of nonsense: nothing.
import { describe, expect, it } from 'vitest'
import { liveIframePlaylist, liveMediaPlaylist } from '../../../common/live/hls-live.ts'
import { deltaUpdate } from '../../../media/hls/playlist-delta.ts'
import { readMediaPlaylist } from '../../../media/hls/playlist-reader.ts'
import { playlistFaults } from '../../support/hls-rules.ts'
import { readLivePlaylist } from '../../support/hls-text.ts'
import { ScriptedBroadcast } from '../../support/scripted-broadcast.ts'
import { show } from '../../support/scripted-show.ts'
import { Mutator, randomNumbers } from '../mutations.ts'

const names = ['720p', '360p', '480p', 'audio']

function sample(): string {
  const broadcast = new ScriptedBroadcast()
  broadcast.beginTake()
  broadcast.addSegments(4)
  broadcast.addParts(2)
  return liveMediaPlaylist(broadcast, '720p')!
}

describe('readMediaPlaylist', () => {
  it('tells how far each version of a show has got, and what comes next', () => {
    let versions = 0
    let hints = 0
    show((broadcast) => {
      for (const name of names) {
        const text = liveMediaPlaylist(broadcast, name)
        if (text === undefined) continue
        versions++
        const expected = readLivePlaylist(text)
        const open = expected.segments.filter(({ uri }) => uri === undefined)
        const complete = expected.segments.filter(({ uri }) => uri !== undefined)
        const last = complete.at(-1)
        const read = readMediaPlaylist(text)!
        expect(read).toMatchObject({
          targetDurationSeconds: 4,
          partTargetSeconds: 0.5,
          mediaSequence: expected.mediaSequence,
          discontinuities:
            expected.discontinuitySequence! +
            expected.segments.filter((it) => it.hasDiscontinuity).length,
          lastNumber: last?.number ?? expected.mediaSequence - 1,
          lastSegmentParts: last?.parts.length ?? 0,
          openParts: open[0]?.parts.length ?? 0,
          isEnded: broadcast.isEnded,
          canBlockReload: true,
          skipUntilSeconds: 24,
          newestSegmentUri: complete.findLast((it) => !it.isGap)?.uri,
          mapUri: expected.segments.findLast((it) => it.mapUri !== undefined)?.mapUri,
        })
        const parts = (open[0] ?? last)?.parts.filter((it) => !it.isGap).map((it) => it.uri) ?? []
        expect(read.newestPartUris).toEqual(parts)
        expect(read.hintUri).toBe(expected.hints[0]?.URI)
        if (read.hintUri !== undefined) hints++
      }
    })
    expect(versions).toBeGreaterThan(200)
    expect(hints).toBeGreaterThan(100)
  })

  it('knows a playlist of keyframes', () => {
    const broadcast = new ScriptedBroadcast()
    broadcast.beginTake()
    broadcast.addSegments(3)
    expect(readMediaPlaylist(liveIframePlaylist(broadcast, '720p')!)).toMatchObject({
      hasOnlyKeyframes: true,
      partTargetSeconds: undefined,
      lastNumber: 3,
      newestSegmentUri: undefined,
    })
  })

  const text = sample()
  it.each([
    ['nothing at all', ''],
    ['another document', '<html></html>\n'],
    ['a text that breaks off', text.slice(0, -1)],
    ['a segment without its duration', text.replace(/#EXTINF.*\n/, '')],
    ['a duration without its segment', `${text}#EXTINF:2.0,\n`],
    ['a multivariant playlist', '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n720p.m3u8\n'],
    ['a delta update', text.replace('#EXT-X-MAP', '#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXT-X-MAP')],
    ['no target duration', text.replace(/#EXT-X-TARGETDURATION.*\n/, '')],
    ['two target durations', text.replace(/(#EXT-X-TARGETDURATION.*\n)/, '$1$1')],
    ['a target duration of zero', text.replace(/(TARGETDURATION:).*/, '$10')],
    ['a media sequence that is no number', text.replace(/(MEDIA-SEQUENCE:).*/, '$1-1')],
    ['a media sequence behind the first segment', `${text}#EXT-X-MEDIA-SEQUENCE:7\n`],
    [
      'a number beyond what can be counted',
      text.replace(/(MEDIA-SEQUENCE:).*/, '$11234567890123456'),
    ],
    ['a part without its URI', text.replace(/(#EXT-X-PART:DURATION=[\d.]+).*/, '$1')],
    ['an attribute twice', text.replace('CAN-BLOCK-RELOAD=YES', '$&,CAN-BLOCK-RELOAD=NO')],
    ['a list with an open quote', text.replace(/(#EXT-X-PART:DURATION=[\d.]+,URI="[^"]+)"/, '$1')],
    ['a text too long', `${text}${'#\n'.repeat(600_000)}`],
  ])('reads nothing of %s', (_what, damaged) => {
    expect(damaged).not.toBe(text)
    expect(readMediaPlaylist(damaged)).toBeUndefined()
  })

  it('takes lines that end as on Windows, comments and unknown tags', () => {
    const other = text.replace('#EXT-X-MAP', '# said\n#EXT-X-NEW-TAG:A=1\n\n#EXT-X-MAP')
    expect(readMediaPlaylist(other.replaceAll('\n', '\r\n'))).toEqual(readMediaPlaylist(text))
  })

  it('throws on nothing, and neither does the delta', () => {
    const mutator = new Mutator([Buffer.from(text), Buffer.from(longShow())])
    const random = randomNumbers(7)
    let read = 0
    for (let i = 0; i < 20_000; i++) {
      const damaged = mutator.next(random).toString('latin1')
      const facts = readMediaPlaylist(damaged)
      if (!facts) continue
      read++
      expect(facts.lastNumber).toBeGreaterThanOrEqual(facts.mediaSequence - 1)
      deltaUpdate(damaged, facts.skipUntilSeconds ?? 24)
    }
    expect(read).toBeGreaterThan(500)
  })
})

/** Long enough for a delta. */
function longShow(): string {
  const broadcast = new ScriptedBroadcast({ settings: { windowSegments: 20 } })
  broadcast.beginTake()
  broadcast.addSegments(20)
  broadcast.addParts(1)
  return liveMediaPlaylist(broadcast, '720p')!
}

describe('deltaUpdate', () => {
  it('writes what the packager writes, byte for byte, over a whole show', () => {
    let shorter = 0
    show((broadcast) => {
      if (broadcast.isEnded) return
      for (const write of [liveMediaPlaylist, liveIframePlaylist]) {
        for (const name of names) {
          const whole = write(broadcast, name)
          if (whole === undefined) continue
          const delta = deltaUpdate(whole, readMediaPlaylist(whole)!.skipUntilSeconds!)
          expect(delta).toBe(write(broadcast, name, { skip: 'v2' }))
          if (delta === whole) continue
          shorter++
          if (write === liveMediaPlaylist) expect(playlistFaults(delta)).toEqual([])
        }
      }
    })
    expect(shorter).toBeGreaterThan(100)
  })

  it('is the whole text where the boundary reaches beyond the first segment', () => {
    expect(deltaUpdate(sample(), 24)).toBe(sample())
  })

  it('leaves what has rules of its own alone', () => {
    const text = longShow()
    const dated = text.replace('#EXT-X-MAP', '#EXT-X-DATERANGE:ID="a"\n#EXT-X-MAP')
    expect(deltaUpdate(text, 24).length).toBeLessThan(text.length)
    expect(deltaUpdate(dated, 24)).toBe(dated)
  })
})
