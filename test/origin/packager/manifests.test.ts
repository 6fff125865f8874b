import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { liveMpd, replayMpd } from '../../../origin/packager/dash-manifests.ts'
import {
  liveMediaPlaylist,
  liveMultivariant,
  replayMediaPlaylist,
  replayMultivariant,
} from '../../../origin/packager/hls-manifests.ts'
import type { SegmentLog } from '../../../origin/packager/segment-log.ts'
import { assertSuccessor, readMediaPlaylist } from '../../support/media-playlist.ts'
import {
  addTake,
  audioRendition,
  segmentLog,
  standardRenditions,
  videoRendition,
} from '../../support/segment-logs.ts'

const settings = { targetDurationSeconds: 4, windowRows: 6, segmentSeconds: 2 }
const live = (log: SegmentLog, name = '720p') =>
  readMediaPlaylist(liveMediaPlaylist(log, settings, name)!)

describe('a live playlist', () => {
  test('does not exist before the first row, nor for a rendition that never was', () => {
    expect(liveMediaPlaylist(segmentLog([]), settings, '720p')).toBeUndefined()
    const log = segmentLog([{ rows: 3, startSeconds: 10, renditions: [audioRendition] }])
    expect(liveMediaPlaylist(log, settings, '720p')).toBeUndefined()
    const pictures = segmentLog([{ rows: 3, startSeconds: 10 }])
    expect(liveMediaPlaylist(pictures, settings, '719p')).toBeUndefined()
    expect(liveMultivariant(segmentLog([]), settings)).toBeUndefined()
  })

  test('lists the newest rows, dated on the wall clock', () => {
    const playlist = live(segmentLog([{ rows: 10, startSeconds: 10 }]))
    expect(playlist.mediaSequence).toBe(5)
    expect(playlist.segments).toHaveLength(6)
    expect(playlist.segments[0]!.uri).toBe('abcdefgh12-1/720p/5.m4s')
    // Ten seconds of lead, so the first row plays at the start of the broadcast.
    expect(playlist.segments[0]!.programDateTimeMs).toBe(Date.UTC(2026, 0, 1) + 8_000)
  })

  test('never falls below three target durations', () => {
    const playlist = live(segmentLog([{ rows: 40, startSeconds: 10, rowSeconds: 1 }]))
    expect(playlist.segments).toHaveLength(12)
  })

  test('counts the discontinuities that have left it', () => {
    const log = segmentLog([
      { rows: 3, startSeconds: 10 },
      { rows: 5, startSeconds: 30 },
    ])
    expect(live(log).discontinuitySequence).toBe(0)
    expect(live(log).segments.filter((it) => it.hasDiscontinuity)).toHaveLength(1)
    addTake(log, { rows: 1, startSeconds: 60 })
    // The window now opens with the first row of the second take, whose tag still stands there.
    expect(live(log).discontinuitySequence).toBe(0)
    expect(live(log).segments[0]!.hasDiscontinuity).toBe(true)
    addTake(log, { rows: 1, startSeconds: 70 })
    expect(live(log).discontinuitySequence).toBe(1)
    expect(live(log).segments.filter((it) => it.hasDiscontinuity)).toHaveLength(2)
  })

  test('goes on where an earlier transcoder has stopped', () => {
    const log = segmentLog([{ rows: 2, startSeconds: 100 }], { firstNumber: 90, earlierTakes: 2 })
    const playlist = live(log)
    expect(playlist).toMatchObject({ mediaSequence: 90, discontinuitySequence: 1 })
    expect(playlist.segments[0]).toMatchObject({
      hasDiscontinuity: true,
      uri: 'abcdefgh12-3/720p/90.m4s',
    })
  })

  test('keeps its name when a take lacks the rendition: the nearest picture stands in', () => {
    const log = segmentLog([
      { rows: 2, startSeconds: 10 },
      {
        rows: 2,
        startSeconds: 20,
        renditions: [videoRendition(1080), videoRendition(480), audioRendition],
      },
    ])
    const playlist = live(log, '720p')
    expect(playlist.segments.map((it) => it.uri)).toEqual([
      'abcdefgh12-1/720p/1.m4s',
      'abcdefgh12-1/720p/2.m4s',
      'abcdefgh12-2/480p/3.m4s',
      'abcdefgh12-2/480p/4.m4s',
    ])
  })

  test('tells a gap where a take has no sound', () => {
    const log = segmentLog([
      { rows: 2, startSeconds: 10 },
      { rows: 1, startSeconds: 20, renditions: [videoRendition(720)] },
    ])
    expect(live(log, 'audio').segments.map((it) => it.isGap)).toEqual([false, false, true])
  })

  test('ends when the broadcast has ended', () => {
    const log = segmentLog([{ rows: 2, startSeconds: 10 }])
    log.end()
    expect(live(log)).toMatchObject({ isEnded: true, isVod: false })
  })

  test('holds to the rules over any sequence of takes', () => {
    const take = fc.record({
      rows: fc.integer({ min: 1, max: 12 }),
      rowSeconds: fc.constantFrom(0.5, 1.9, 2, 2.5, 4),
      pauseSeconds: fc.integer({ min: 0, max: 50 }),
      renditions: fc.constantFrom(
        standardRenditions,
        [videoRendition(720), audioRendition],
        [videoRendition(1080), videoRendition(720), videoRendition(360), audioRendition],
      ),
    })
    fc.assert(
      fc.property(fc.array(take, { minLength: 1, maxLength: 5 }), (takes) => {
        const log = segmentLog([])
        let before: ReturnType<typeof live> | undefined
        let startSeconds = 10
        for (const { rows, rowSeconds, pauseSeconds, renditions } of takes) {
          addTake(log, { rows, rowSeconds, startSeconds, renditions })
          startSeconds += rows * rowSeconds + pauseSeconds
          const now = live(log)
          if (before) assertSuccessor(before, now)
          const lost = log.takes.findIndex((it) => now.segments[0]!.uri.startsWith(`${it.name}/`))
          const tagged = now.segments[0]!.hasDiscontinuity ? 1 : 0
          expect(now.discontinuitySequence).toBe(lost - tagged)
          before = now
        }
        const numbers = log.rows.map((row) => row.number)
        expect(numbers).toEqual(numbers.map((_, index) => index + 1))
      }),
    )
  })
})

describe('a multivariant playlist', () => {
  test('offers what is made now, with the sound in every bandwidth', () => {
    const log = segmentLog([
      { rows: 2, startSeconds: 10 },
      { rows: 1, startSeconds: 20, renditions: [videoRendition(480), audioRendition] },
    ])
    const text = liveMultivariant(log, settings)!
    expect(text.match(/^\d+p\.m3u8$/gm)).toEqual(['480p.m3u8'])
    // 480 kB and 10 kB in two seconds.
    expect(text).toContain('BANDWIDTH=1960000,')
  })

  test('announces what an encoder may spend when it has spent less so far', () => {
    const renditions = [videoRendition(480, { nominalBitsPerSecond: 3_000_000 })]
    const log = segmentLog([{ rows: 1, startSeconds: 10, renditions }])
    expect(liveMultivariant(log, settings)).toContain('BANDWIDTH=3000000,AVERAGE-BANDWIDTH=1920000')
  })

  test('of a replay offers every rendition that ever was, and all codecs of each', () => {
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
  })
})

describe('a replay playlist', () => {
  test('lists all rows and starts without a discontinuity', () => {
    const log = segmentLog(
      [
        { rows: 8, startSeconds: 10 },
        { rows: 2, startSeconds: 60 },
      ],
      { earlierTakes: 3, firstNumber: 50 },
    )
    const playlist = readMediaPlaylist(replayMediaPlaylist(log, settings, '360p')!)
    expect(playlist).toMatchObject({ isVod: true, isEnded: true, discontinuitySequence: 0 })
    expect(playlist.segments).toHaveLength(10)
    expect(playlist.segments.map((it) => it.hasDiscontinuity).indexOf(true)).toBe(8)
  })
})

describe('an MPD', () => {
  const log = segmentLog([
    { rows: 8, startSeconds: 10 },
    { rows: 2, startSeconds: 60 },
  ])

  test('has one Period per listed take, each at its own start for ever', () => {
    const mpd = liveMpd(log, settings, 0)!
    const [first, second] = mpd.match(/<Period [^>]+>/g)!
    // Four rows of the first take are listed; it began at second 10 all the same.
    expect(first).toBe('<Period id="abcdefgh12-1" start="PT10S" duration="PT16S">')
    expect(second).toBe('<Period id="abcdefgh12-2" start="PT60S">')
    expect(mpd).toContain('presentationTimeOffset="900000" startNumber="5"')
    expect(mpd).toContain('<S t="1620000" d="180000" r="3"/>')
    expect(mpd).toContain('availabilityStartTime="2025-12-31T23:59:50.000Z"')
    expect(mpd).toContain('timeShiftBufferDepth="PT12S"')
  })

  test('of an ended broadcast is static on the same timeline', () => {
    const ended = segmentLog([{ rows: 3, startSeconds: 10 }])
    ended.end()
    const mpd = liveMpd(ended, settings, 0)!
    expect(mpd).toContain('type="static" mediaPresentationDuration="PT16S"')
    expect(mpd).toContain('start="PT10S" duration="PT6S"')
  })

  test('of a replay leaves out the pauses between takes', () => {
    const mpd = replayMpd(log, settings)!
    expect(mpd.match(/<Period [^>]+>/g)).toEqual([
      '<Period id="abcdefgh12-1" start="PT0S" duration="PT16S">',
      '<Period id="abcdefgh12-2" start="PT16S" duration="PT4S">',
    ])
    expect(mpd).toContain('mediaPresentationDuration="PT20S"')
    expect(mpd).toContain('presentationTimeOffset="5400000" startNumber="9"')
  })
})
