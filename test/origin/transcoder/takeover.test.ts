// Takeovers that follow on each other, and those where nothing can be gone on with: what players are told stays in
// order, nothing comes twice, and there is one discontinuity at most.
import { expect, test } from 'vitest'
import type { Ladder } from '../../../config/ladder.ts'
import { encoderOutput } from '../../support/encoder-clock.ts'
import { timescaleOf } from '../../support/packager-rig.ts'
import { type Clip, clip } from '../../support/publisher-clips.ts'
import { RelayedStream, sourceOnly } from '../../support/relayed-stream.ts'
import { until } from '../../support/until.ts'

const media = encoderOutput({ seconds: 16 })
const between = (fromMs: number, untilMs: number, clip: Clip = media) =>
  clip.filter((it) => it.dueMs >= fromMs && it.dueMs < untilMs)
/** What is in samples of a clip. */
const bodies = (clip: Clip, kind: 'video' | 'audio') =>
  clip
    .filter((it) => it.kind === kind)
    .slice(1)
    .map(({ payload }) => payload.subarray(kind === 'video' ? 5 : 2).toString('hex'))

/** Names of its takes. Throws where something is out of order in them, or comes twice, but from then on. */
function takesOf(stream: RelayedStream, twiceFromSeconds = Infinity): string[] {
  expect(stream.refused).toEqual([])
  expect(stream.refusals).toEqual([])
  const listed = stream.listed()
  const takes = Object.entries(listed).map(([name, samples]) => {
    const { segments } = stream.home.playlist(name)!
    const numbers = segments.map((it) => it.number)
    expect(numbers).toEqual(numbers.map((_, at) => numbers[0]! + at))
    const once = samples.filter(({ dts }) => dts < twiceFromSeconds * timescaleOf(name))
    const data = once.map((it) => it.data)
    expect(new Set(data).size).toBe(data.length)
    for (const take of new Set(samples.map((it) => it.take))) {
      const times = samples.filter((it) => it.take === take).map((it) => it.dts)
      expect(times).toEqual(times.toSorted((a, b) => a - b))
    }
    return [...new Set(segments.map(({ take }) => take.name))]
  })
  expect(takes.every((it) => `${it}` === `${takes[0]}`)).toBe(true)
  return takes[0]!
}

/** Counts what is missing up to the last that is listed. */
function missing(stream: RelayedStream, clip: Clip): { video: number; audio: number } {
  const { audio = [], '360p': video = [] } = stream.listed()
  const count = (sent: string[], seen: { data: string }[]) => {
    const there = new Set(seen.map((it) => it.data))
    const last = sent.findLastIndex((it) => there.has(it))
    return sent.slice(0, last).filter((it) => !there.has(it)).length
  }
  return {
    video: count(bodies(clip, 'video'), video),
    audio: count(bodies(clip, 'audio'), audio),
  }
}

/** Where the segment that is open begins. */
function openSince({ home }: RelayedStream): number {
  const segments = home.playlistNames.map((name) => home.playlist(name)!.segments.at(-1)!)
  return Math.min(...segments.map(({ startTicks, rendition }) => startTicks / rendition.timescale))
}

const none = { video: 0, audio: 0 }

test('a second death before the publisher has come: the third goes on in the same take', async () => {
  await using stream = await RelayedStream.publish()
  await stream.send(between(0, 5_100))
  const { point } = stream
  stream.kill()
  await stream.place({ isPublished: false })
  await stream.send(between(5_100, 5_900))
  expect(stream.point).toEqual(point)
  stream.kill()
  await stream.place()
  await stream.send(between(5_900, 16_000))
  await stream.end()
  expect(takesOf(stream)).toHaveLength(1)
  expect(missing(stream, media)).toEqual(none)
})

test.each([1, 4, 20, 60, 90])(
  'a second death after %d messages of the replay: the third goes on in the same take',
  async (messages) => {
    await using stream = await RelayedStream.publish()
    await stream.send(between(0, 5_100))
    stream.kill()
    await stream.place({ isPublished: false })
    await stream.replay(messages)
    expect(stream.point).toBeDefined()
    stream.kill()
    await stream.place()
    await stream.send(between(5_100, 16_000))
    await stream.end()
    expect(takesOf(stream)).toHaveLength(1)
    expect(missing(stream, media)).toEqual(none)
  },
)

test('a death every two seconds: all of them go on in the same take', async () => {
  await using stream = await RelayedStream.publish()
  for (let ms = 0; ms < 16_000; ms += 2_100) {
    await stream.send(between(ms, ms + 2_100))
    if (ms < 3_000 || ms > 12_000) continue
    stream.kill()
    await stream.place()
  }
  await stream.end()
  expect(takesOf(stream)).toHaveLength(1)
  expect(missing(stream, media)).toEqual(none)
})

test('one that was told nothing begins a new take with the segment that was open', async () => {
  await using stream = await RelayedStream.publish()
  await stream.send(between(0, 5_100))
  const twiceFrom = openSince(stream)
  stream.kill()
  await stream.place({ isTold: false })
  await stream.send(between(5_100, 16_000))
  await stream.end()
  expect(takesOf(stream, twiceFrom)).toHaveLength(2)
  expect(missing(stream, media)).toEqual(none)
})

test('one that was told nothing, and dies before it has listed anything, is as if it had not been', async () => {
  await using stream = await RelayedStream.publish()
  await stream.send(between(0, 5_100))
  stream.kill()
  await stream.place({ isTold: false, isPublished: false })
  stream.kill()
  await stream.place()
  await stream.send(between(5_100, 16_000))
  await stream.end()
  expect(takesOf(stream)).toHaveLength(1)
  expect(missing(stream, media)).toEqual(none)
})

test('one that was told nothing, and dies in the new take, is gone on with there', async () => {
  await using stream = await RelayedStream.publish()
  await stream.send(between(0, 5_100))
  const twiceFrom = openSince(stream)
  stream.kill()
  await stream.place({ isTold: false })
  await stream.send(between(5_100, 9_100))
  stream.kill()
  await stream.place()
  await stream.send(between(9_100, 16_000))
  await stream.end()
  expect(takesOf(stream, twiceFrom)).toHaveLength(2)
  expect(missing(stream, media)).toEqual(none)
})

test('a publisher that was away and is back, then a death: the new take goes on', async () => {
  const back = encoderOutput({ seconds: 10, dueMs: 9_000, firstNumber: 10_000 })
  await using stream = await RelayedStream.publish()
  await stream.send(between(0, 5_100))
  await stream.turnTo(9_000)
  await stream.comeBack()
  await stream.send(between(9_000, 13_100, back))
  expect(stream.point?.connection).toBe('connection-2')
  stream.kill()
  await stream.place()
  await stream.send(between(13_100, 19_000, back))
  await stream.end()
  expect(takesOf(stream)).toHaveLength(2)
})

test('a publisher that is just back when its transcoder dies begins one new take', async () => {
  const back = encoderOutput({ seconds: 10, dueMs: 9_000, firstNumber: 10_000 })
  await using stream = await RelayedStream.publish()
  await stream.send(between(0, 5_100))
  await stream.turnTo(9_000)
  await stream.comeBack()
  await stream.send(between(9_000, 9_200, back))
  stream.kill()
  await stream.place()
  await stream.send(between(9_200, 19_000, back))
  await stream.end()
  expect(takesOf(stream)).toHaveLength(2)
})

const rung = { height: 72, videoBitsPerSecond: 100_000 }
const oneRung: Ladder = { ...sourceOnly, name: 'one', rungs: [rung] }

/** All of the media so far is listed, up to the last part. */
async function settled(stream: RelayedStream): Promise<void> {
  await until('the rung', () => {
    const ends = ['360p', '72p'].map((name) => {
      const last = stream.home.playlist(name)?.segments.at(-1)
      return last && (last.startTicks + last.durationTicks) / last.rendition.timescale
    })
    return ends[0] !== undefined && ends[1]! > ends[0] - 0.6 && stream.point !== undefined
  })
}

test('one with fewer rungs ends the take with what is listed, and begins a new one', async () => {
  const clipped = await clip({ seconds: 12, keyframes: 60, size: '640x360' })
  await using stream = await RelayedStream.publish({ ladder: oneRung })
  await stream.send(between(0, 5_100, clipped))
  await settled(stream)
  stream.kill()
  await stream.place()
  await stream.send(between(5_100, 12_000, clipped))
  await stream.end()
  expect(takesOf(stream)).toHaveLength(2)
  // A copied source begins with a keyframe: that of 6 s.
  const { video, audio } = missing(stream, clipped)
  expect(video).toBeLessThanOrEqual(60)
  expect(audio).toBeLessThanOrEqual(94)
})

test('a rung that was given up before goes on in gaps at the one after the next', async () => {
  const clipped = await clip({ seconds: 12, keyframes: 60, size: '640x360' })
  await using stream = await RelayedStream.publish({ ladder: oneRung })
  await stream.send(between(0, 3_100, clipped))
  await settled(stream)
  stream.kill()
  await stream.place()
  await stream.send(between(3_100, 7_100, clipped))
  stream.kill()
  await stream.place()
  await stream.send(between(7_100, 12_000, clipped))
  await stream.end()
  expect(takesOf(stream)).toHaveLength(2)
  const numbers = ['360p', '72p'].map((name) => {
    const segments = stream.home.playlist(name)!.segments
    return segments.map((it) => [it.number, it.take.name])
  })
  expect(numbers[1]).toEqual(numbers[0])
})

test('one with more rungs goes on with those that there are', async () => {
  await using stream = await RelayedStream.publish()
  await stream.send(between(0, 5_100))
  stream.kill()
  await stream.place({ ladder: oneRung })
  await stream.send(between(5_100, 16_000))
  await stream.end()
  expect(takesOf(stream)).toHaveLength(1)
  expect(missing(stream, media)).toEqual(none)
  expect(stream.home.playlist('72p')).toBeUndefined()
})
