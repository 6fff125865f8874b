import fc from 'fast-check'
// @ts-expect-error It has no types.
import { parse as parseMpd } from 'mpd-parser'
import { describe, expect, test } from 'vitest'
import type { SegmentLog } from '../../../common/live/segment-log.ts'
import { replayMpd } from '../../../origin/packager/dash-replay.ts'
import { replayMediaPlaylist, replayMultivariant } from '../../../origin/packager/hls-replay.ts'
import { replaySpans } from '../../../origin/packager/replay-spans.ts'
import { readWithHlsParser, readWithM3u8Parser } from '../../support/hls-parsers.ts'
import { readMediaPlaylist } from '../../support/media-playlist.ts'
import {
  addRow,
  addTake,
  audioRendition,
  segmentLog,
  standardRenditions,
  videoRendition,
} from '../../support/segment-logs.ts'

const settings = { targetDurationSeconds: 4 }
const playlistOf = (log: SegmentLog, name = '720p') =>
  readMediaPlaylist(replayMediaPlaylist(log, settings, name)!)
const periodsOf = (log: SegmentLog) => replayMpd(log, settings)!.match(/<Period [^>]+>/g)

/** One take; each row says which renditions it has, `undefined` is a hole in the numbers. */
function holedLog(rows: (readonly string[] | undefined)[], lastSeconds = 2): SegmentLog {
  const log = segmentLog([{ rows: 0, startSeconds: 10 }])
  for (const [index, names] of rows.entries()) {
    if (!names) continue
    const seconds = index === rows.length - 1 ? lastSeconds : 2
    addRow(log, { number: index + 1, startSeconds: 10 + 2 * index, rowSeconds: seconds, names })
  }
  return log
}

const all = ['720p', '360p', 'audio']

describe('a replay playlist', () => {
  test('does not exist before the first row, nor for a rendition that never was', () => {
    expect(replayMediaPlaylist(segmentLog([]), settings, '720p')).toBeUndefined()
    expect(replayMultivariant(segmentLog([]))).toBeUndefined()
    expect(replayMpd(segmentLog([]), settings)).toBeUndefined()
    const pictures = segmentLog([{ rows: 3, startSeconds: 10 }])
    expect(replayMediaPlaylist(pictures, settings, '719p')).toBeUndefined()
  })

  test('lists all rows, dated on the wall clock, and starts without a discontinuity', () => {
    const log = segmentLog(
      [
        { rows: 8, startSeconds: 10 },
        { rows: 2, startSeconds: 60 },
      ],
      { earlierTakes: 3, firstNumber: 50 },
    )
    const playlist = playlistOf(log, '360p')
    expect(playlist).toMatchObject({ isVod: true, isEnded: true, discontinuitySequence: 0 })
    expect(playlist.segments).toHaveLength(10)
    expect(playlist.segments.map((it) => it.hasDiscontinuity).indexOf(true)).toBe(8)
    expect(playlist.segments[0]!.uri).toBe('abcdefgh12-4/360p/50.m4s')
    // Ten seconds of lead, so the first row plays at the start of the broadcast.
    expect(playlist.segments[0]!.programDateTimeMs).toBe(Date.UTC(2026, 0, 1))
  })

  test('goes over a hole in the numbers with a discontinuity, in the same place everywhere', () => {
    const log = holedLog([all, all, undefined, undefined, all])
    for (const name of all) {
      const { segments } = playlistOf(log, name)
      expect(segments.map((it) => it.hasDiscontinuity)).toEqual([false, false, true])
      expect(segments.map((it) => it.isGap)).toEqual([false, false, false])
    }
    expect(periodsOf(log)).toEqual([
      '<Period id="abcdefgh12-1" start="PT0S" duration="PT4S">',
      '<Period id="abcdefgh12-1-5" start="PT4S" duration="PT2S">',
    ])
  })

  test('shows the nearest picture where a row lacks a rung, and a gap where it lacks sound', () => {
    const log = holedLog([all, ['720p', 'audio'], ['720p', '360p']])
    expect(playlistOf(log, '360p').segments.map((it) => it.uri)).toEqual([
      'abcdefgh12-1/360p/1.m4s',
      'abcdefgh12-1/720p/2.m4s',
      'abcdefgh12-1/360p/3.m4s',
    ])
    const sound = playlistOf(log, 'audio').segments
    expect(sound.map((it) => it.isGap)).toEqual([false, false, true])
    expect(sound.map((it) => it.durationSeconds)).toEqual([2, 2, 2])
    const ids = replayMpd(log, settings)!
      .split('<Period ')
      .slice(1)
      .map((period) => [...period.matchAll(/<Representation id="([^"]+)"/g)].map((it) => it[1]))
    expect(ids).toEqual([all, ['720p', 'audio'], ['720p', '360p']])
  })

  test('leaves out a last row of a frame or two, unless there is nothing else', () => {
    const log = holedLog([all, all], 0.04)
    expect(playlistOf(log, 'audio').segments).toHaveLength(1)
    expect(periodsOf(log)).toEqual(['<Period id="abcdefgh12-1" start="PT0S" duration="PT2S">'])
    expect(playlistOf(holedLog([all], 0.04)).segments).toHaveLength(1)
  })

  test('has the target duration of its longest segment, in all renditions', () => {
    const log = segmentLog([{ rows: 1, startSeconds: 10 }])
    addTake(log, { rows: 1, startSeconds: 20, rowSeconds: 8.4, renditions: [videoRendition(720)] })
    for (const name of all) expect(playlistOf(log, name).targetDuration).toBe(8)
    expect(replayMpd(log, settings)).toContain('maxSegmentDuration="PT8S"')
  })
})

describe('a multivariant playlist of a replay', () => {
  test('offers every rendition that ever was, and all codecs of each', () => {
    const log = segmentLog([
      { rows: 2, startSeconds: 10 },
      {
        rows: 1,
        startSeconds: 20,
        renditions: [videoRendition(1080, { codec: 'avc1.640028' }), audioRendition],
      },
    ])
    const text = replayMultivariant(log)!
    expect(text.match(/^\d+p\.m3u8$/gm)).toEqual(['1080p.m3u8', '720p.m3u8', '360p.m3u8'])
    expect(text).toContain('CODECS="avc1.64001f,avc1.640028,mp4a.40.2",RESOLUTION=1280x720')
    // The peak is that of the 1080 kB that stand in, with 10 kB of sound, in two seconds.
    const [, peak, average] = /BANDWIDTH=(\d+),AVERAGE-BANDWIDTH=(\d+),.*1280x720/.exec(text)!
    expect(Number(peak)).toBe(4_320_000 + 40_000)
    expect(Number(average)).toBe((2 * 2_880_000 + 4_320_000) / 3 + 40_000)
  })

  test('announces what an encoder may spend when it has spent less', () => {
    const renditions = [videoRendition(480, { nominalBitsPerSecond: 3_000_000 })]
    const log = segmentLog([{ rows: 1, startSeconds: 10, renditions }])
    expect(replayMultivariant(log)).toContain('BANDWIDTH=3000000,AVERAGE-BANDWIDTH=1920000')
  })

  test('of sound alone is one variant', () => {
    const log = segmentLog([{ rows: 1, startSeconds: 10, renditions: [audioRendition] }])
    expect(replayMultivariant(log)).toContain('audio.m3u8')
    expect(replayMultivariant(log)).not.toContain('RESOLUTION')
  })
})

test('an MPD of a replay leaves out the pauses between takes', () => {
  const log = segmentLog([
    { rows: 8, startSeconds: 10 },
    { rows: 2, startSeconds: 60 },
  ])
  const mpd = replayMpd(log, settings)!
  expect(periodsOf(log)).toEqual([
    '<Period id="abcdefgh12-1" start="PT0S" duration="PT16S">',
    '<Period id="abcdefgh12-2" start="PT16S" duration="PT4S">',
  ])
  expect(mpd).toContain('mediaPresentationDuration="PT20S"')
  expect(mpd).toContain('presentationTimeOffset="5400000" startNumber="9"')
})

test('playlists and MPD agree on every segment, whatever is missing', () => {
  const row = fc.subarray(all).map((names) => (names.length > 0 ? names : undefined))
  const take = fc.record({
    rows: fc.array(row, { minLength: 1, maxLength: 6 }),
    rowSeconds: fc.constantFrom(0.05, 1.9, 2, 4.2),
    pauseSeconds: fc.nat(20),
  })
  fc.assert(
    fc.property(fc.array(take, { minLength: 1, maxLength: 4 }), (takes) => {
      const log = segmentLog([])
      let [startSeconds, number] = [10, 1]
      for (const { rows, rowSeconds, pauseSeconds } of takes) {
        addTake(log, { rows: 0, startSeconds, renditions: standardRenditions })
        for (const names of rows) {
          if (names) addRow(log, { number, startSeconds, rowSeconds, names })
          startSeconds += rowSeconds
          number++
        }
        startSeconds += pauseSeconds
      }
      fc.pre(log.rows.length > 0)
      const spans = replaySpans(log)
      const seconds = spans.reduce((sum, it) => sum + it.durationSeconds, 0)
      const offered = replayMultivariant(log)!.match(/\w+(?=\.m3u8)/g)!
      const listed = new Set<string>()
      for (const name of new Set(offered)) {
        const text = replayMediaPlaylist(log, settings, name)!
        expect(readWithM3u8Parser(text).complaints).toEqual([])
        expect(readWithHlsParser(text).complaints).toEqual([])
        const breaks = text.match(/#EXT-X-DISCONTINUITY$/gm) ?? []
        expect(breaks).toHaveLength(spans.length - 1)
        const durations = [...text.matchAll(/#EXTINF:([\d.]+),/g)].map((it) => Number(it[1]))
        expect(durations.reduce((sum, it) => sum + it, 0)).toBeCloseTo(seconds, 2)
        const media = text.replaceAll(/#EXT-X-GAP\n#EXTINF.*\n.*\n/g, '')
        for (const [uri] of media.matchAll(/^[^#].*m4s$/gm)) listed.add(uri)
      }
      const mpd = parseMpd(replayMpd(log, settings)!, { manifestUri: 'http://a/' })
      const groups = Object.values(mpd.mediaGroups.AUDIO).flatMap((it) =>
        Object.values(it as object),
      )
      const uris = [...mpd.playlists, ...groups.flatMap((it) => it.playlists)]
        .flatMap((it) => it.segments)
        .map((it) => it.uri)
      expect(new Set(uris)).toEqual(listed)
      expect(mpd.duration).toBeCloseTo(seconds, 2)
    }),
  )
})
