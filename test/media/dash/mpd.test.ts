import { describe, expect, test } from 'vitest'
import { type MpdRepresentation, writeMpd } from '../../../media/dash/mpd.ts'

const representation: MpdRepresentation = {
  id: '720p',
  bitsPerSecond: 2_500_000,
  codec: 'avc1.64001f',
  timescale: 90_000,
  mediaTemplate: 'a-1/720p/$Number$.m4s',
  initializationUri: 'a-1/720p/init.mp4',
  startNumber: 5,
  segments: [],
  width: 1280,
  height: 720,
  framesPerSecond: 30,
}
const period = {
  id: 'a-1',
  startSeconds: 10.5,
  mediaStartSeconds: 10.5,
  video: [representation],
  audio: [],
}

test.each([
  [
    'runs of equal segments become one entry',
    [
      [945_000, 180_000],
      [1_125_000, 180_000],
      [1_305_000, 180_000],
    ],
    '<S t="945000" d="180000" r="2"/>',
  ],
  [
    'another length goes on without a time',
    [
      [945_000, 180_000],
      [1_125_000, 90_000],
    ],
    '<S t="945000" d="180000"/><S d="90000"/>',
  ],
  [
    'a hole is followed by a time',
    [
      [945_000, 180_000],
      [1_125_030, 180_000],
    ],
    '<S t="945000" d="180000"/><S t="1125030" d="180000"/>',
  ],
])('%s', (_, list, expected) => {
  const segments = list.map(([startTicks, durationTicks]) => ({
    startTicks: startTicks!,
    durationTicks: durationTicks!,
  }))
  const mpd = writeMpd({
    maxSegmentSeconds: 4,
    durationSeconds: 6,
    periods: [{ ...period, video: [{ ...representation, segments }] }],
  })
  expect(mpd).toContain(`<SegmentTimeline>${expected}</SegmentTimeline>`)
})

test('a live MPD carries its clock and leaves the last Period open', () => {
  const mpd = writeMpd({
    maxSegmentSeconds: 4,
    periods: [period],
    live: {
      availabilityStartTimeMs: Date.UTC(2026, 0, 1),
      publishTimeMs: Date.UTC(2026, 0, 1, 0, 1),
      minimumUpdatePeriodSeconds: 2,
      timeShiftBufferDepthSeconds: 12,
      suggestedPresentationDelaySeconds: 6,
      timeUri: '../../time',
    },
  })
  expect(mpd).toContain('type="dynamic" availabilityStartTime="2026-01-01T00:00:00.000Z"')
  expect(mpd).toContain('<Period id="a-1" start="PT10.5S">')
  expect(mpd).toContain('presentationTimeOffset="945000" startNumber="5"')
  expect(mpd).toContain(
    '<UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-iso:2014" value="../../time"/>',
  )
})

test('a static MPD has its length and no clock', () => {
  const mpd = writeMpd({
    maxSegmentSeconds: 4,
    durationSeconds: 61.25,
    periods: [{ ...period, durationSeconds: 61.25 }],
  })
  expect(mpd).toContain('type="static" mediaPresentationDuration="PT61.25S"')
  expect(mpd).toContain('duration="PT61.25S"')
  expect(mpd).not.toContain('UTCTiming')
})

test.each([
  [30, '30'],
  [29.97, '30000/1001'],
  [59.94, '60000/1001'],
  [12.5, '12500/1000'],
])('%d frames per second are written as %s', (framesPerSecond, written) => {
  const mpd = writeMpd({
    maxSegmentSeconds: 4,
    periods: [{ ...period, video: [{ ...representation, framesPerSecond }] }],
  })
  expect(mpd).toContain(`frameRate="${written}"`)
})

test('text is escaped', () => {
  const mpd = writeMpd({ maxSegmentSeconds: 4, periods: [{ ...period, id: 'a"<&>' }] })
  expect(mpd).toContain('<Period id="a&#34;&#60;&#38;&#62;"')
})

describe('a grid', () => {
  const write = (segmentSeconds: number, timescale: number, offset?: number) => {
    const grid = {
      segmentSeconds,
      ...(offset !== undefined && { availabilityTimeOffsetSeconds: offset }),
    }
    const { segments: _, ...facts } = representation
    const mpd = writeMpd({
      maxSegmentSeconds: 4,
      periods: [{ ...period, video: [{ ...facts, timescale, grid }] }],
    })
    return /<SegmentTemplate [^>]+>/.exec(mpd)![0]
  }

  test('is a duration without a list', () => {
    expect(write(2, 90_000)).toBe(
      '<SegmentTemplate timescale="90000" presentationTimeOffset="945000" duration="180000" ' +
        'startNumber="5" media="a-1/720p/$Number$.m4s" initialization="a-1/720p/init.mp4"/>',
    )
  })

  test('says how early a segment may be asked for, and that it is not whole then', () => {
    expect(write(2, 90_000, 1.4979999)).toContain(
      'availabilityTimeOffset="1.498" availabilityTimeComplete="false" duration=',
    )
  })

  test.each([
    ['2 s of sound at 44.1 kHz', 2, 44_100],
    ['48 frames at 23.976 a second', 2.002, 90_000],
    ['60 frames at 29.97 a second beside 44.1 kHz', 2.002, 44_100],
    ['119 frames at 59.94 a second', (119 * 1001) / 60_000, 90_000],
    ['a rate that nobody has heard of', 2.0123456, 90_000],
  ])('does not drift in a day: %s', (_, segmentSeconds, timescale) => {
    const template = write(segmentSeconds, timescale)
    const of = (name: string) => Number(new RegExp(` ${name}="(\\d+)"`).exec(template)![1])
    const count = 86_400 / segmentSeconds
    const drift = count * (of('duration') / of('timescale') - segmentSeconds)
    expect(Math.abs(drift)).toBeLessThan(0.003)
    expect(of('presentationTimeOffset') / of('timescale')).toBeCloseTo(10.5, 4)
  })
})
