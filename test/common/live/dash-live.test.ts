import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { latencyService, liveMpd } from '../../../common/live/dash-live.ts'
import { canCheckSchema, readWithMpdParser, schemaFaults } from '../../support/mpd-readers.ts'
import { ScriptedBroadcast, type ScriptedOptions } from '../../support/scripted-broadcast.ts'
import { audioRendition, standardRenditions, videoRendition } from '../../support/segment-logs.ts'

const nowMs = Date.UTC(2026, 0, 1, 0, 1)

function live(segments: number, options?: ScriptedOptions): ScriptedBroadcast {
  const broadcast = new ScriptedBroadcast(options)
  broadcast.beginTake()
  broadcast.addSegments(segments)
  return broadcast
}

const number = (broadcast: ScriptedBroadcast) =>
  liveMpd(broadcast, { addressing: 'number', nowMs })!
const timeline = (broadcast: ScriptedBroadcast) =>
  liveMpd(broadcast, { addressing: 'timeline', nowMs })!
const periods = (mpd: string) => mpd.match(/<Period [^>]+>/g) ?? []
const templates = (mpd: string, name = '720p') =>
  (mpd.match(/<SegmentTemplate [^>]+>/g) ?? []).filter((it) => it.includes(`/${name}/`))

function attribute(tag: string, name: string): string {
  return new RegExp(` ${name}="([^"]*)"`).exec(tag)?.[1] ?? ''
}

describe('an MPD addressed by number', () => {
  test('does not exist before the first take has media in all its renditions', () => {
    const broadcast = new ScriptedBroadcast()
    const write = () => liveMpd(broadcast, { addressing: 'number', nowMs })
    expect(write()).toBeUndefined()
    broadcast.beginTake({ isComplete: false })
    broadcast.addParts()
    expect(write()).toBeUndefined()
    broadcast.completeTake()
    expect(periods(write()!)).toEqual(['<Period id="abcdefgh12-1" start="PT10S">'])
  })

  test('lets segments be asked for a part after they have begun', () => {
    const [template] = templates(number(live(3)))
    expect(template).toContain('availabilityTimeOffset="1.5" availabilityTimeComplete="false"')
    expect(template).toContain('duration="180000" startNumber="1" media="abcdefgh12-1/720p/$Number')
  })

  test('never changes the start, offset and first number of a Period', () => {
    const broadcast = live(1)
    const fixed = (mpd: string) => [periods(mpd)[0], ...templates(mpd), ...templates(mpd, 'audio')]
    const first = fixed(number(broadcast))
    broadcast.addSegments(20)
    expect(fixed(number(broadcast))).toEqual(first)
  })

  test('names its clock, when media was made, and what to aim at, and no other delay', () => {
    const mpd = number(live(2))
    expect(mpd).toContain('minimumUpdatePeriod="PT2S" timeShiftBufferDepth="PT12S"')
    expect(mpd).toContain('maxSegmentDuration="PT2S"')
    expect(mpd).not.toContain('suggestedPresentationDelay')
    expect(mpd).toContain('<Latency referenceId="1" target="1200" max="3200" min="600"/>')
    expect(mpd).toContain(
      '<ProducerReferenceTime id="1" type="encoder" wallClockTime="2026-01-01T00:00:00.000Z" ' +
        'presentationTime="900000"><UTCTiming ',
    )
    expect(mpd).toContain('http://www.dashif.org/guidelines/low-latency-live-v5')
    expect(readWithMpdParser(mpd, nowMs).timeUrl).toBe('https://edge.example/time')
  })

  test('gives each take a Period that ends with its media, and leaves the pause empty', () => {
    const broadcast = live(3)
    for (const { name } of standardRenditions) broadcast.addGap(name)
    broadcast.beginTake({ startSeconds: 30 })
    broadcast.addSegments(1)
    const mpd = number(broadcast)
    expect(periods(mpd)).toEqual([
      '<Period id="abcdefgh12-1" start="PT10S" duration="PT6S">',
      '<Period id="abcdefgh12-2" start="PT30S">',
    ])
    expect(templates(mpd)[1]).toContain('presentationTimeOffset="2700000"')
    expect(templates(mpd)[1]).toContain('startNumber="5"')
  })

  test('keeps what was there last while nothing but gaps is in the window', () => {
    const broadcast = live(3)
    const before = number(broadcast)
    broadcast.addGaps(9)
    const fixed = (mpd: string) => [periods(mpd), ...templates(mpd), ...templates(mpd, 'audio')]
    expect(fixed(number(broadcast))).toEqual(fixed(before))
    expect(periods(timeline(broadcast))).toEqual(periods(before))
  })

  test('tells the end of a take, until what follows fills the window', () => {
    const broadcast = live(3)
    broadcast.addGaps(9)
    broadcast.beginTake()
    broadcast.addSegments(1)
    const both = [
      '<Period id="abcdefgh12-1" start="PT10S" duration="PT6S">',
      '<Period id="abcdefgh12-2" start="PT34S">',
    ]
    expect(periods(number(broadcast))).toEqual(both)
    expect(periods(timeline(broadcast))).toEqual(both)
    broadcast.addSegments(4)
    expect(periods(number(broadcast))).toHaveLength(2)
    broadcast.addSegments(1)
    expect(periods(number(broadcast))).toEqual(both.slice(1))
  })

  test('reaches back over a pause to where the media ended, for a picture that stands still there', () => {
    const broadcast = live(3)
    const depthAt = (nowMs: number) =>
      /timeShiftBufferDepth="(\w+)"/.exec(liveMpd(broadcast, { addressing: 'number', nowMs })!)![1]
    // The epoch of the broadcast lies ten seconds in front of its first sample.
    const endMs = Date.UTC(2026, 0, 1) + 6_000
    broadcast.addGaps(9)
    broadcast.endTake()
    expect(depthAt(endMs + 4_000)).toBe('PT12S')
    expect(depthAt(endMs + 18_000)).toBe('PT22S')
  })

  test('is asked for twice as often while nobody publishes, so that the next Period is known early', () => {
    const broadcast = live(3)
    expect(number(broadcast)).toContain('minimumUpdatePeriod="PT2S"')
    broadcast.endTake()
    expect(number(broadcast)).toContain('minimumUpdatePeriod="PT1S"')
    broadcast.beginTake()
    broadcast.addSegments(1)
    expect(number(broadcast)).toContain('minimumUpdatePeriod="PT2S"')
  })

  test('leaves out a take until all its renditions are known, and the end of the one before', () => {
    const broadcast = live(3)
    broadcast.beginTake({ isComplete: false })
    broadcast.addParts(2)
    // A player that reads an end here stops for good.
    expect(periods(number(broadcast))).toEqual(['<Period id="abcdefgh12-1" start="PT10S">'])
    broadcast.completeTake()
    expect(periods(number(broadcast))).toEqual([
      '<Period id="abcdefgh12-1" start="PT10S" duration="PT6S">',
      '<Period id="abcdefgh12-2" start="PT16S">',
    ])
  })

  test('drops a take when the playlists do', () => {
    const broadcast = live(3)
    broadcast.beginTake()
    broadcast.addSegments(5)
    expect(periods(number(broadcast))).toHaveLength(2)
    broadcast.addSegments(1)
    expect(periods(number(broadcast))).toEqual(['<Period id="abcdefgh12-2" start="PT16S">'])
  })

  test('claims no number beyond the last one where a take ends late', () => {
    const broadcast = live(2)
    broadcast.addParts(4)
    // A last frame that lies a little over the grid.
    for (const { name } of standardRenditions) broadcast.addPart(name, { seconds: 0.033 })
    broadcast.endTake()
    broadcast.beginTake()
    broadcast.addSegments(1)
    expect(periods(number(broadcast))[0]).toContain('duration="PT6S"')
  })

  test('lists an irregular take with the times of its segments, without low latency', () => {
    const broadcast = new ScriptedBroadcast()
    broadcast.beginTake({ isRegular: false })
    broadcast.addSegments(2)
    broadcast.addParts(2)
    const mpd = number(broadcast)
    expect(mpd).toBe(timeline(broadcast))
    expect(mpd).not.toContain('availabilityTimeOffset')
    expect(mpd).toContain('suggestedPresentationDelay="PT6S"')
    expect(mpd).toContain('<S t="900000" d="180000" r="1"/>')
  })

  test('offers sound alone', () => {
    const broadcast = new ScriptedBroadcast()
    broadcast.beginTake({ renditions: [audioRendition] })
    broadcast.addSegments(2)
    const mpd = number(broadcast)
    expect(mpd).not.toContain('contentType="video"')
    expect(mpd).toContain('<ProducerReferenceTime id="1"')
  })

  test('never lowers a bandwidth', () => {
    const broadcast = new ScriptedBroadcast()
    broadcast.beginTake()
    const bandwidth = () =>
      Number(attribute(number(broadcast).match(/<Representation id="720p"[^>]+>/)![0], 'bandwidth'))
    broadcast.addPart('720p', { seconds: 2, bytes: Buffer.alloc(100_000) })
    broadcast.addPart('360p', { seconds: 2 })
    broadcast.addPart('audio', { seconds: 2 })
    broadcast.closeSegments()
    const high = bandwidth()
    broadcast.addSegments(20)
    expect(high).toBe(400_000)
    expect(bandwidth()).toBe(high)
  })

  test('gives every time the number of the segment that holds it', () => {
    const rates = fc.constantFrom(12, 15, 24, 24_000 / 1001, 25, 30_000 / 1001, 30, 50, 60)
    const grid = fc.record({
      framesPerSecond: rates,
      gopSeconds: fc.constantFrom(1.9, 2, 2.5, 4, 6),
      sampleRate: fc.constantFrom(44_100, 48_000),
      startSeconds: fc.integer({ min: 0, max: 6 * 3600 * 1000 }).map((ms) => 10 + ms / 1000),
      firstNumber: fc.integer({ min: 1, max: 100_000 }),
      /** How far each segment begins from its place, in quarters of its length. */
      shifts: fc.array(fc.double({ min: -0.99, max: 0.99, noNaN: true }), {
        minLength: 1,
        maxLength: 20,
      }),
    })
    fc.assert(
      fc.property(grid, ({ framesPerSecond, gopSeconds, sampleRate, startSeconds, ...rest }) => {
        const frame = 1 / framesPerSecond
        const segmentSeconds = Math.round(gopSeconds * framesPerSecond) * frame
        const broadcast = new ScriptedBroadcast({
          facts: { firstNumber: rest.firstNumber },
          settings: { segmentSeconds, targetDurationSeconds: 8, windowSegments: 30 },
        })
        const sound = { ...audioRendition, timescale: sampleRate, sampleRate }
        broadcast.beginTake({ startSeconds, renditions: [videoRendition(720), sound] })
        const starts = [0, ...rest.shifts.map((it, i) => i + 1 + it / 4)]
        for (const name of ['720p', 'audio']) {
          for (const [i, from] of starts.slice(0, -1).entries()) {
            broadcast.addPart(name, { seconds: (starts[i + 1]! - from) * segmentSeconds })
            broadcast.closeSegment(name)
          }
        }
        const mpd = number(broadcast)
        const [period] = periods(mpd)
        const periodStart = Number(attribute(period!, 'start').slice(2, -1))
        for (const name of ['720p', 'audio']) {
          const [template] = templates(mpd, name)
          const of = (attributeName: string) => Number(attribute(template!, attributeName))
          const timescale = of('timescale')
          // Media time and presentation time are the same, to a tick.
          expect(Math.abs(of('presentationTimeOffset') / timescale - periodStart)).toBeLessThan(
            1e-4,
          )
          const numberAt = (seconds: number) =>
            of('startNumber') + Math.floor(((seconds - periodStart) * timescale) / of('duration'))
          for (const it of broadcast.playlist(name)!.segments) {
            const start = it.startTicks / it.rendition.timescale
            const end = start + it.durationTicks / it.rendition.timescale
            const quarter = segmentSeconds / 4 + 0.001
            expect(numberAt(start + quarter)).toBe(it.number)
            expect(numberAt(Math.max(start + quarter, end - quarter - 0.001))).toBe(it.number)
          }
        }
      }),
    )
  })
})

describe('an MPD addressed by timeline', () => {
  test('lists the window of whole segments with the number of the first', () => {
    const broadcast = live(9)
    broadcast.addParts(2)
    const mpd = timeline(broadcast)
    expect(templates(mpd)[0]).toContain('presentationTimeOffset="900000" startNumber="4"')
    expect(mpd).toContain('<S t="1440000" d="180000" r="5"/>')
    expect(mpd).not.toContain('availabilityTimeOffset')
    expect(mpd).not.toContain('ServiceDescription')
  })

  test('lists a take once a segment of each kind is whole', () => {
    const broadcast = live(2)
    broadcast.beginTake()
    broadcast.addParts(4)
    broadcast.closeSegment('720p')
    expect(periods(timeline(broadcast))).toHaveLength(1)
    broadcast.closeSegment('audio')
    const mpd = timeline(broadcast)
    expect(periods(mpd)).toHaveLength(2)
    expect(templates(mpd, '360p')).toHaveLength(1)
  })

  test('numbers segments truly where a rendition has gaps', () => {
    const broadcast = live(1)
    const round = (has360p: boolean) => {
      for (const { name } of standardRenditions) {
        if (name === '360p' && !has360p) broadcast.addGap(name)
        else for (let i = 0; i < 4; i++) broadcast.addPart(name)
      }
      broadcast.closeSegments()
    }
    round(false)
    const before = templates(timeline(broadcast), '360p')[0]!
    expect(attribute(before, 'startNumber')).toBe('1')
    round(true)
    const listed = readWithMpdParser(timeline(broadcast), nowMs).segments
    expect(listed['360p']).toEqual(['abcdefgh12-1/360p/3.m4s'])
    expect(listed['720p']).toEqual([1, 2, 3].map((it) => `abcdefgh12-1/720p/${it}.m4s`))
  })
})

describe('after the end', () => {
  test('an MPD is static on the same timeline', () => {
    const broadcast = live(3)
    broadcast.end()
    const mpd = number(broadcast)
    expect(mpd).toContain('type="static" mediaPresentationDuration="PT16S"')
    expect(periods(mpd)).toEqual(['<Period id="abcdefgh12-1" start="PT10S" duration="PT6S">'])
    expect(mpd).not.toMatch(/UTCTiming|availability|minimumUpdatePeriod|ServiceDescription/)
  })

  test('an MPD names what was there last where the window holds nothing but gaps', () => {
    const broadcast = live(3)
    broadcast.addGaps(9)
    broadcast.end()
    const mpd = number(broadcast)
    expect(mpd).toContain('type="static" mediaPresentationDuration="PT16S"')
    expect(periods(mpd)).toEqual(['<Period id="abcdefgh12-1" start="PT10S" duration="PT6S">'])
    expect(mpd).toContain('startNumber="3"')
    expect(mpd).toContain('<S t="1260000" d="180000"/>')
  })

  test('lists the window where the first segments have left it', () => {
    const broadcast = live(9)
    broadcast.end()
    const mpd = number(broadcast)
    expect(mpd).toContain('<S t="1440000" d="180000" r="5"/>')
    expect(mpd).toContain('startNumber="4"')
  })
})

/** Four MPDs of a show with a reconnect in it. */
const golden: [string, () => string][] = [
  ['number.mpd', () => number(live(3))],
  ['timeline.mpd', () => timeline(live(9))],
  [
    'takes.mpd',
    () => {
      const broadcast = live(3)
      for (const { name } of standardRenditions) broadcast.addGap(name)
      broadcast.beginTake({ startSeconds: 30, isRegular: false })
      broadcast.addSegments(1)
      return number(broadcast)
    },
  ],
  [
    'static.mpd',
    () => {
      const broadcast = live(3)
      broadcast.beginTake({ startSeconds: 30 })
      broadcast.addSegments(2)
      broadcast.end()
      return number(broadcast)
    },
  ],
]

describe.each(golden)('golden %s', (name, write) => {
  test('is as it was', async () => {
    await expect(write()).toMatchFileSnapshot(`golden/dash-live/${name}`)
  })

  test('is read by mpd-parser', () => {
    const { complaints, segments, isStatic } = readWithMpdParser(write(), nowMs)
    expect(complaints).toEqual([])
    expect(Object.keys(segments).sort()).toEqual(['360p', '720p', 'audio'])
    expect(isStatic).toBe(name === 'static.mpd')
  })

  test.runIf(canCheckSchema())('holds to the schema', () => {
    expect(schemaFaults(write())).toEqual([])
    expect(schemaFaults(write().replace('<Period ', '<Period colour="" '))).not.toEqual([])
  })
})

test('a reader of the static MPD finds every segment that was published', () => {
  const { segments } = readWithMpdParser(golden[3]![1]())
  const takes = [1, 1, 1, 2, 2]
  expect(segments['720p']).toEqual(takes.map((take, i) => `abcdefgh12-${take}/720p/${i + 1}.m4s`))
})

test.each([
  [0.2, 900],
  [0.5, 1200],
  [1, 2200],
])('parts of %d s aim at %d ms', (partTargetSeconds, targetLatencyMs) => {
  const service = latencyService(partTargetSeconds)
  expect(service.targetLatencyMs).toBe(targetLatencyMs)
  expect(service.minLatencyMs).toBeLessThan(targetLatencyMs)
})
