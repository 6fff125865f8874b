// When modelled viewers ask for what: held against the clock of a playlist.
import { describe, expect, test } from 'vitest'
import {
  type LiveTimeline,
  scheduleOf,
  timelineOf,
  type ViewerKind,
} from '../../bench/support/viewer-schedule.ts'

const beginsAtMs = Date.parse('2026-01-01T00:00:00.000Z')
/** Segments of 2 s with parts of 0.5 s; number 10 begins with part 37. */
const timeline: LiveTimeline = {
  folder: 'tag-1/720p/',
  segmentMs: 2_000,
  partMs: 500,
  partsEach: 4,
  number: 10,
  beginsAtMs,
  firstPartId: 37,
}

function asked(kind: ViewerKind, phase: number, seconds = 4) {
  const fromMs = beginsAtMs + 10_000
  const untilMs = fromMs + seconds * 1000
  const options = { timeline, rendition: '720p', fromMs, untilMs, phase }
  return scheduleOf(kind, options).map(({ what, path, dueMs, availableMs }) => {
    return { what, path, due: dueMs - fromMs, available: availableMs - fromMs }
  })
}

describe('timelineOf', () => {
  const playlist = `#EXTM3U
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:9
#EXT-X-PART-INF:PART-TARGET=0.5
#EXT-X-PROGRAM-DATE-TIME:2025-12-31T23:59:58.000Z
#EXTINF:2.00000,
tag-1/720p/9.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z
#EXT-X-PART:DURATION=0.5,URI="tag-1/720p/p37.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.5,URI="tag-1/720p/p38.m4s"
#EXT-X-PART:DURATION=0.5,URI="tag-1/720p/p39.m4s"
#EXT-X-PART:DURATION=0.5,URI="tag-1/720p/p40.m4s"
#EXTINF:2.00000,
tag-1/720p/10.m4s
#EXT-X-PART:DURATION=0.5,URI="tag-1/720p/p41.m4s",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="tag-1/720p/p42.m4s"
`

  test('reads the newest whole segment that has parts', () => {
    expect(timelineOf(playlist)).toEqual(timeline)
  })

  test('refuses a playlist of no low latency', () => {
    expect(() => timelineOf(playlist.replaceAll(/^#EXT-X-PART:.*\n/gm, ''))).toThrow('low latency')
  })
})

describe('a viewer of low latency', () => {
  test('asks for the next reload with each part, a part time before it can be answered', () => {
    const all = asked('LL-HLS', 0)
    const reloads = all.filter(({ what }) => what === 'reload')
    expect(reloads[0]).toEqual({
      what: 'reload',
      path: '720p.m3u8?_HLS_msn=15&_HLS_part=0',
      due: 20,
      available: 500,
    })
    expect(reloads.map(({ path }) => path.slice(-1)).slice(0, 5)).toEqual(['0', '1', '2', '3', '0'])
    expect(reloads).toHaveLength(8)
  })

  test('fetches each part once it is there, none twice and none left out', () => {
    const parts = asked('LL-HLS', 1).filter(({ what }) => what === 'part')
    expect(parts.map(({ due }) => due)).toEqual([70, 570, 1070, 1570, 2070, 2570, 3070, 3570])
    expect(parts[0]!.path).toBe('tag-1/720p/p56.m4s')
    expect(new Set(parts.map(({ path }) => path)).size).toBe(parts.length)
  })
})

test('a viewer of HLS reloads once a segment and fetches the newest whole one', () => {
  expect(asked('HLS', 0.5)).toEqual([
    { what: 'playlist', path: '720p.m3u8', due: 1_000, available: 1_000 },
    { what: 'segment', path: 'tag-1/720p/14.m4s', due: 1_045, available: 1_045 },
    { what: 'playlist', path: '720p.m3u8', due: 3_000, available: 3_000 },
    { what: 'segment', path: 'tag-1/720p/15.m4s', due: 3_045, available: 3_045 },
  ])
})

test('a viewer of DASH fetches a segment when the clock says that it is there', () => {
  const segments = asked('DASH', 0).filter(({ what }) => what === 'segment')
  expect(segments.map(({ path, due }) => [path, due])).toEqual([
    ['tag-1/720p/14.m4s', 20],
    ['tag-1/720p/15.m4s', 2_020],
  ])
})

test.each(['LL-HLS', 'HLS', 'DASH'] as const)('nothing of %s lies outside its time', (kind) => {
  for (const phase of [0, 0.3, 0.99]) {
    const all = asked(kind, phase)
    expect(all.length).toBeGreaterThan(0)
    expect(all.every(({ due, available }) => due >= 0 && due < 4_000 && available >= due)).toBe(
      true,
    )
    expect(all).toEqual(all.toSorted((a, b) => a.due - b.due))
  }
})
