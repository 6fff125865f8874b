// A transcoder that is lost in the middle of a segment: the next one goes on there, from what the home has heard, as if
// there had been but one.
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import { silentLogger } from '../../../common/log.ts'
import { Metrics } from '../../../common/metrics.ts'
import type { HomeBroadcast } from '../../../origin/gateway/home/home-broadcast.ts'
import { HomeStore } from '../../../origin/gateway/home/home-store.ts'
import { LiveStage } from '../../support/live-road.ts'
import { between, type Clip, clip, headersOf, play } from '../../support/publisher-clips.ts'
import { RtmpTestClient } from '../../support/rtmp-client.ts'
import { SeenBroadcast, type SeenMedia } from '../../support/seen-broadcast.ts'
import { smallLadder, TranscoderRig } from '../../support/transcoder-rig.ts'
import { until } from '../../support/until.ts'

const limitMs = 90_000
const connection = 'connection-of-one-publisher'
/** Of publishers: faster than life, as nothing here depends on. */
const speed = 2

async function boot(): Promise<TranscoderRig> {
  const rig = await TranscoderRig.start({
    ladder: smallLadder,
    transcoder: { holdMs: 2_000, windowSegments: 40 },
  })
  await rig.addTranscoder('tc-2')
  return rig
}

class Gateway implements AsyncDisposable {
  readonly refused: object[] = []
  readonly homes = new HomeStore({
    gatewayId: 'gw-1',
    authorize: async () => 'trusted by its address',
    clock: systemClock,
    log: { ...silentLogger, error: (what: object) => this.refused.push(what) } as never,
    metrics: new Metrics('gateway', 'gw-1', 'test'),
    onLeft: () => {},
  })

  /** Once there is something in it. */
  async home(liveId: string): Promise<HomeBroadcast> {
    await until('a home', () => this.homes.home(liveId) !== undefined)
    return this.homes.home(liveId)!
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.homes[Symbol.asyncDispose]()
  }
}

/** What a relay sends that kept the media from a keyframe on. */
function replayOf(messages: Clip, fromSeconds: number): Clip {
  const kept = [...headersOf(messages), ...between(messages, fromSeconds, Infinity)]
  return kept.map((it) => ({ ...it, dueMs: 0 }))
}

function fingerprints({ samples }: SeenMedia): string[] {
  return samples.map(({ data }) => createHash('sha256').update(data).digest('hex').slice(0, 16))
}

const cases = [
  { name: 'copied', clip: { seconds: 9, keyframes: 60 }, lostAt: 5.1, from: 4 },
  { name: 'reordered', clip: { seconds: 9, keyframes: 60, bFrames: 2 }, lostAt: 5.1, from: 2 },
  { name: 'encoded sound', clip: { seconds: 9, keyframes: 60, channels: 6 }, lostAt: 5.1, from: 2 },
  { name: 'sound alone', clip: { seconds: 9, video: false }, lostAt: 5.1, from: 2 },
  { name: 'keyframes of our own', clip: { seconds: 14, keyframes: 240 }, lostAt: 11.1, from: 8 },
]

describe.concurrent('a transcoder that is lost', { timeout: limitMs }, () => {
  test.each(cases)('is followed inside the open segment: $name', async (it) => {
    await using rig = await boot()
    await using gateway = new Gateway()
    const { homes } = gateway
    const media = await clip(it.clip)

    const whole = await rig.grant(await rig.createChannel('whole'))
    await using wholeClient = await RtmpTestClient.publish(whole.transcoder.rtmp, whole.streamName)
    homes.follow(whole)
    const wholePlayed = play(wholeClient, media, speed).then(() => wholeClient.leave())

    const key = await rig.createChannel('demo')
    const first = await rig.grant(key, { connection })
    await using client = await RtmpTestClient.publish(first.transcoder.rtmp, first.streamName)
    homes.follow(first)
    await play(client, [...headersOf(media), ...between(media, 0, it.lostAt)], speed)
    const home = await gateway.home('demo')
    await until('a resume point', () => home.resumePoint !== undefined)
    const open = home.resumePoint!.packaging.openTakes![0]!
    const { epoch, instance } = first
    const second = await rig.grant(key, { connection, attempt: 2, away: { epoch, instance } })
    expect(second.transcoder.id).not.toBe(first.transcoder.id)
    await homes.handOver(second)
    client.socket.resetAndDestroy()
    await using again = await RtmpTestClient.publish(
      second.transcoder.rtmp,
      `${second.streamName}&age=${Math.round(((it.lostAt - it.from) / speed) * 1000)}`,
    )
    homes.follow(second)
    await play(again, replayOf(media, it.from))
    await again.leave()
    await wholePlayed
    const wholeHome = await gateway.home('whole')
    await until('the ends', () => home.isEnded && wholeHome.isEnded, 30_000)

    await using stage = await LiveStage.start({ instead: home })
    await using wholeStage = await LiveStage.start({ instead: wholeHome })
    await using seen = new SeenBroadcast(`${stage.url}/live/demo`)
    await using wholeSeen = new SeenBroadcast(`${wholeStage.url}/live/demo`)
    await Promise.all([seen.ended(), wholeSeen.ended()])
    expect(seen.names).toEqual(wholeSeen.names)
    for (const name of seen.names) {
      const segments = seen.segments(name)
      const theirs = wholeSeen.segments(name)
      expect(segments.map(({ number, isGap }) => [number, isGap])).toEqual(
        theirs.map(({ number, isGap }) => [number, isGap]),
      )
      expect(seen.takes(name).length).toBe(wholeSeen.takes(name).length)
      expect(seen.takes(name)).toContain(open.plan.name)
      const all = await seen.media(name)
      const wholeAll = await wholeSeen.media(name)
      for (const [index, own] of all.entries()) {
        const other = wholeAll[index]!
        expect(own.samples.length).toBe(other.samples.length)
        expect(own.decodedFrames).toBe(other.decodedFrames)
        const times = ({ samples }: SeenMedia) => samples.map(({ dts }) => dts - samples[0]!.dts)
        expect(times(own)).toEqual(times(other))
        const { isSource } = open.plan.renditions.find((planned) => planned.name === name)!
        if (isSource && open.plan.cutting !== 'own-keyframes') {
          expect(fingerprints(own)).toEqual(fingerprints(other))
        }
      }
    }
    expect([...seen.faults]).toEqual([])
    expect(gateway.refused).toEqual([])
  })

  test('is followed by a new take where what would be needed does not come', async () => {
    await using rig = await boot()
    await using gateway = new Gateway()
    const { homes } = gateway
    const media = await clip({ seconds: 9, keyframes: 60 })
    const key = await rig.createChannel('demo')
    const first = await rig.grant(key, { connection })
    await using client = await RtmpTestClient.publish(first.transcoder.rtmp, first.streamName)
    homes.follow(first)
    await play(client, [...headersOf(media), ...between(media, 0, 5.1)], speed)
    const home = await gateway.home('demo')
    await until('a resume point', () => home.resumePoint !== undefined)
    const { epoch, instance } = first
    const second = await rig.grant(key, { connection, attempt: 2, away: { epoch, instance } })
    await homes.handOver(second)
    client.socket.resetAndDestroy()
    await using again = await RtmpTestClient.publish(second.transcoder.rtmp, second.streamName)
    homes.follow(second)
    await play(again, replayOf(media, 6))
    await again.leave()
    await until('the end', () => home.isEnded, 30_000)
    await using stage = await LiveStage.start({ instead: home })
    await using seen = new SeenBroadcast(`${stage.url}/live/demo`)
    await seen.ended()
    for (const name of seen.names) {
      const numbers = seen.segments(name).map((it) => it.number)
      expect(numbers).toEqual(numbers.map((_, at) => numbers[0]! + at))
      expect(seen.takes(name).length).toBe(2)
      const [, last] = await seen.media(name)
      expect(last!.samples.length).toBeGreaterThanOrEqual(name === 'audio' ? 138 : 90)
    }
    expect([...seen.faults]).toEqual([])
    expect(gateway.refused).toEqual([])
  })
})
