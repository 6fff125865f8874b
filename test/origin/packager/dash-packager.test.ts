// The packager and the MPDs together: media of all kinds in, and every version that a viewer could get names the
// segments that there are, at their times.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { liveMpd } from '../../../common/live/dash-live.ts'
import type { LiveBroadcast, PackagedSegment } from '../../../common/live/live-broadcast.ts'
import {
  type ListedPeriod,
  type ListedRepresentation,
  readLiveMpd,
} from '../../support/live-mpd.ts'
import {
  deliver,
  interleave,
  packagerRig,
  pictures,
  sounds,
  startTake,
  takePlan,
} from '../../support/packager-rig.ts'

const show = fc.record({
  framesPerSecond: fc.constantFrom(12, 24, 25, 30_000 / 1001, 30, 50, 60),
  gopSeconds: fc.constantFrom(0.5, 1, 2, 2.5, 4),
  /** Every so many GOPs one is cut short by so much of it. */
  shortGops: fc.constantFrom(undefined, { every: 5, by: 0.5 }),
  sampleRate: fc.constantFrom(44_100, 48_000),
  inMilliseconds: fc.boolean(),
  reordered: fc.boolean(),
  takes: fc.array(
    fc.record({
      seconds: fc.integer({ min: 5, max: 40 }),
      pauseSeconds: fc.constantFrom(0, 0.3, 2.5, 20),
      isFilled: fc.boolean(),
      names: fc.constantFrom(['720p', 'audio'], ['720p', '360p', 'audio'], ['720p', '360p']),
    }),
    { minLength: 1, maxLength: 3 },
  ),
})

test('the last media stays in memory, and in the MPD, however long the publisher is away', () => {
  const rig = packagerRig()
  const { packager } = rig
  const isKeyframe = (frame: number) => frame % 60 === 0
  const picture = pictures({ framesPerSecond: 30, fromSeconds: 10, seconds: 6, isKeyframe })
  startTake(packager, takePlan(), 10)
  deliver(rig, 'take-1', interleave({ '720p': picture, audio: sounds(48_000, 10, 6) }))
  packager.endTake('take-1')
  const periods = () => {
    const mpd = liveMpd(packager, { addressing: 'number', nowMs: 0 })
    return mpd?.match(/<Period [^>]+>|type="[a-z]+"/g)?.slice(0, 2)
  }
  const before = periods()
  for (let seconds = 18; seconds <= 78; seconds += 2) packager.fillGaps(seconds)
  expect(packager.playlist('720p')!.segments[0]).toMatchObject({ number: 3, isGap: false })
  expect(periods()).toEqual(before)
  packager.end()
  expect(periods()).toEqual(['type="static"', before![1]!.replace('>', ' duration="PT6S">')])
})

test('the media in front of a long pause stays until what follows fills the window', () => {
  const rig = packagerRig()
  const { packager } = rig
  const isKeyframe = (frame: number) => frame % 60 === 0
  const play = (name: string, fromSeconds: number, seconds: number) => {
    startTake(packager, takePlan({ name }), fromSeconds)
    const picture = pictures({ framesPerSecond: 30, fromSeconds, seconds, isKeyframe })
    deliver(rig, name, interleave({ '720p': picture, audio: sounds(48_000, fromSeconds, seconds) }))
  }
  const periodIds = () => {
    const mpd = liveMpd(packager, { addressing: 'number', nowMs: 0 })!
    return [...mpd.matchAll(/<Period id="([^"]+)"/g)].map(([, id]) => id)
  }
  play('take-1', 10, 6)
  packager.endTake('take-1')
  for (let seconds = 18; seconds <= 78; seconds += 2) packager.fillGaps(seconds)
  play('take-2', 80, 8)
  expect(periodIds()).toEqual(['take-1', 'take-2'])
  expect(packager.segment('take-1', '720p', 3)).toMatchObject({ isGap: false })
  packager.endTake('take-2')
  play('take-3', 88, 30)
  expect(periodIds()).toEqual(['take-3'])
  expect(packager.segment('take-1', '720p', 3)).toBeUndefined()
})

test('whatever media comes, every version of every MPD names what there is', () => {
  fc.assert(
    fc.property(show, ({ framesPerSecond, gopSeconds, shortGops, sampleRate, takes, ...rest }) => {
      const rig = packagerRig()
      const faults = watchMpds(rig.packager)
      const gopFrames = Math.round(gopSeconds * framesPerSecond)
      const keyframes = new Set<number>()
      for (let frame = 0, gop = 1; frame < 100 * framesPerSecond; gop++) {
        keyframes.add(frame)
        const isShort = shortGops && gop % shortGops.every === 0
        frame += isShort ? Math.ceil(gopFrames * (1 - shortGops.by)) : gopFrames
      }
      let fromSeconds = 10
      for (const [index, { seconds, pauseSeconds, isFilled, names }] of takes.entries()) {
        const name = `take-${index + 1}`
        startTake(
          rig.packager,
          takePlan({ name, number: index + 1, names, framesPerSecond }),
          fromSeconds,
          sampleRate,
        )
        const tracks = names.map((it) => {
          const isKeyframe = (frame: number) => keyframes.has(frame)
          const options = { ...rest, framesPerSecond, fromSeconds, seconds, isKeyframe }
          return [it, it === 'audio' ? sounds(sampleRate, fromSeconds, seconds) : pictures(options)]
        })
        deliver(rig, name, interleave(Object.fromEntries(tracks), sampleRate))
        rig.packager.endTake(name)
        fromSeconds += seconds + pauseSeconds
        if (isFilled) rig.packager.fillGaps(fromSeconds)
      }
      rig.packager.end()
      expect([...faults]).toEqual([])
    }),
    { numRuns: 25 },
  )
}, 60_000)

/** The set grows as faults are found. */
function watchMpds(broadcast: LiveBroadcast): ReadonlySet<string> {
  const faults = new Set<string>()
  /** What may never change, by what it is of. */
  const fixed = new Map<string, string>()
  const ends = new Map<string, number>()
  const look = (addressing: 'number' | 'timeline') => {
    const text = liveMpd(broadcast, { addressing, nowMs: 0 })
    if (text === undefined) return
    const { periods } = readLiveMpd(text)
    const add = (fault: string) => faults.add(`${addressing}: ${fault}`)
    const keep = (key: string, value: string) => {
      const before = fixed.get(key) ?? value
      if (before !== value) add(`${key} was ${before} and is ${value}`)
      fixed.set(key, value)
    }
    for (const [index, period] of periods.entries()) {
      const next = periods[index + 1]
      const { startSeconds, durationSeconds } = period
      keep(`${addressing} start of ${period.id}`, String(startSeconds))
      const end = ends.get(`${addressing} ${period.id}`) ?? durationSeconds
      if (end !== undefined) ends.set(`${addressing} ${period.id}`, end)
      if (end !== undefined && !(Math.abs(durationSeconds! - end) < 0.05)) {
        add(`${period.id} ended after ${end} s and ends after ${durationSeconds} s`)
      }
      if (next && !(startSeconds + durationSeconds! <= next.startSeconds + 0.001)) {
        add(`${period.id} reaches into ${next.id}`)
      }
      for (const it of period.representations) {
        if (it.duration !== undefined && !text.includes('static')) {
          keep(`grid of ${it.media}`, `${it.startNumber} ${it.presentationTimeOffset}`)
        }
        for (const fault of representationFaults(broadcast, period, it)) add(fault)
      }
    }
  }
  broadcast.onChange(() => {
    look('number')
    look('timeline')
  })
  return faults
}

function* representationFaults(
  broadcast: LiveBroadcast,
  period: ListedPeriod,
  it: ListedRepresentation,
): Generator<string> {
  const kept = (broadcast.playlist(it.id)?.segments ?? []).filter(
    (segment) =>
      segment.take.name === period.id && segment.rendition.name === it.id && !segment.isGap,
  )
  const startOf = ({ startTicks, rendition }: PackagedSegment) => startTicks / rendition.timescale
  const endOf = (segment: PackagedSegment) =>
    startOf(segment) + segment.durationTicks / segment.rendition.timescale
  for (const { number, time, duration } of it.timeline) {
    const segment = kept.find((candidate) => candidate.number === number)
    if (!segment || segment.isOpen) yield `${it.media} lists ${number}, which is not there`
    else if (time !== segment.startTicks || duration !== segment.durationTicks) {
      yield `${it.media} gives ${number} another time`
    }
  }
  if (it.duration === undefined) return
  const length = it.duration / it.timescale
  const numberAt = (seconds: number) =>
    it.startNumber + Math.floor((seconds - period.startSeconds) / length + 1e-6)
  for (const segment of kept) {
    // Between the tolerances of both ends, where the segment is that long.
    const inside = startOf(segment) + length / 4 + 0.03
    if (inside < endOf(segment) - length / 4 - 0.03 && numberAt(inside) !== segment.number) {
      yield `${it.media} takes ${numberAt(inside)} for ${segment.number}`
    }
  }
  const last = kept.at(-1)
  if (period.durationSeconds === undefined || !last) return
  const lastAsked = numberAt(period.startSeconds + period.durationSeconds - 0.001)
  if (lastAsked > last.number) yield `${it.media} asks for ${lastAsked}, which never was`
}
