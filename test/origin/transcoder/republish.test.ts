// A publisher's connection that comes to the transcoder by another way, since a node before it was lost: the media
// goes on as if nothing had been.
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import type { Progress } from '../../../common/contract/progress.ts'
import { silentLogger } from '../../../common/log.ts'
import { ProgressClients } from '../../../common/relay/progress-clients.ts'
import { readTag } from '../../../origin/transcoder/input-tracks.ts'
import {
  between,
  type Clip,
  type ClipMessage,
  clip,
  headersOf,
  play,
} from '../../support/publisher-clips.ts'
import { RtmpTestClient } from '../../support/rtmp-client.ts'
import { SeenBroadcast, type SeenMedia, shapeOf } from '../../support/seen-broadcast.ts'
import { smallLadder, TranscoderRig } from '../../support/transcoder-rig.ts'
import { until } from '../../support/until.ts'

const limitMs = 60_000
const frameMs = 1000 / 30
const connection = 'connection-of-one-publisher'
/** Of publishers, where nothing is dated: faster than life. */
const speed = 2

function boot(): Promise<TranscoderRig> {
  return TranscoderRig.start({
    ladder: smallLadder,
    transcoder: { holdMs: 2_000, windowSegments: 40 },
  })
}

/** What a relay sends that kept the media from a keyframe on. */
function replayOf(messages: Clip, fromSeconds: number, untilSeconds: number): Clip {
  const kept = [...headersOf(messages), ...between(messages, fromSeconds, untilSeconds)]
  return kept.map((it) => ({ ...it, dueMs: 0 }))
}

function fingerprints({ samples }: SeenMedia): string[] {
  return samples.map(({ data }) => createHash('sha256').update(data).digest('hex').slice(0, 16))
}

function isKeyframe(message: ClipMessage): boolean {
  const content = readTag(message)
  return content.kind === 'video' && content.isKeyframe
}

function firstDate(text: string): number {
  return Date.parse(/#EXT-X-PROGRAM-DATE-TIME:(.*)/.exec(text)![1]!)
}

describe.concurrent('a connection that is published again', { timeout: limitMs }, () => {
  test('goes on in the same run: no sample is missing, none comes twice', async ({ expect }) => {
    await using rig = await boot()
    const media = await clip({ seconds: 8 })
    const whole = await rig.grant(await rig.createChannel('whole'))
    await using wholeSeen = new SeenBroadcast(`${rig.url}/live/whole`)
    await using wholeClient = await RtmpTestClient.publish(whole.transcoder.rtmp, whole.streamName)
    const wholePlayed = play(wholeClient, media, speed).then(() => wholeClient.leave())

    const key = await rig.createChannel('demo')
    const first = await rig.grant(key, { connection })
    await using seen = new SeenBroadcast(`${rig.url}/live/demo`)
    await using client = await RtmpTestClient.publish(first.transcoder.rtmp, first.streamName)
    await play(client, [...headersOf(media), ...between(media, 0, 4.6)], speed)
    // A gateway that died: what it had not passed on is lost with it.
    client.socket.resetAndDestroy()
    const second = await rig.grant(key, { connection, attempt: 2 })
    expect([second.epoch, second.broadcastId]).toEqual([first.epoch, first.broadcastId])
    await using again = await RtmpTestClient.publish(
      second.transcoder.rtmp,
      `${second.streamName}&age=450`,
    )
    expect(again.isStarted).toBe(true)
    await play(again, replayOf(media, 4, 9))
    await again.leave()
    await wholePlayed
    await Promise.all([seen.ended(), wholeSeen.ended()])

    for (const name of ['90p', '72p', 'audio']) {
      // One take of the rung is one ffmpeg.
      expect(shapeOf(seen, name)).toMatch(/^A+-*$/)
      expect(shapeOf(seen, name)).not.toContain('A-A')
      const numbers = seen.segments(name).map((it) => it.number)
      expect(numbers).toEqual(numbers.map((_, at) => numbers[0]! + at))
    }
    for (const name of ['90p', 'audio']) {
      const [mine] = await seen.media(name)
      const [theirs] = await wholeSeen.media(name)
      expect(mine!.samples.length).toBeGreaterThan(200)
      expect(fingerprints(mine!)).toEqual(fingerprints(theirs!))
      const times = (samples: typeof mine) =>
        samples!.samples.map((it) => it.dts - samples!.samples[0]!.dts)
      expect(times(mine)).toEqual(times(theirs))
    }
    const [rung] = await seen.media('72p')
    expect([rung!.samples.length, rung!.decodedFrames]).toEqual([240, 240])
    expect([...seen.faults]).toEqual([])
  })

  test('beside its older way takes its place, which is closed without a word', async ({
    expect,
  }) => {
    await using rig = await boot()
    const key = await rig.createChannel('demo')
    const media = await clip({ seconds: 4 })
    const first = await rig.grant(key, { connection })
    await using seen = new SeenBroadcast(`${rig.url}/live/demo`)
    await using client = await RtmpTestClient.publish(first.transcoder.rtmp, first.streamName)
    await play(client, [...headersOf(media), ...between(media, 0, 2.5)], speed)
    const second = await rig.grant(key, { connection, attempt: 2 })
    await using again = await RtmpTestClient.publish(second.transcoder.rtmp, second.streamName)
    await play(again, replayOf(media, 2, 5))
    await client.closed()
    expect(client.statuses.filter((it) => it.level === 'error')).toEqual([])
    await again.leave()
    await seen.ended()
    const [source, ...more] = await seen.media('90p')
    expect(more).toEqual([])
    expect([source!.samples.length, source!.decodedFrames]).toEqual([120, 120])
  })

  test('by another encoder is a takeover: the older one hears it, and a new take begins', async ({
    expect,
  }) => {
    await using rig = await boot()
    const key = await rig.createChannel('demo')
    const media = await clip({ seconds: 4 })
    const first = await rig.grant(key)
    await using seen = new SeenBroadcast(`${rig.url}/live/demo`)
    await using client = await RtmpTestClient.publish(first.transcoder.rtmp, first.streamName)
    await play(client, media, speed)
    const second = await rig.grant(key)
    await using other = await RtmpTestClient.publish(second.transcoder.rtmp, second.streamName)
    await client.closed()
    expect(client.statuses.at(-1)).toMatchObject({
      level: 'error',
      description: expect.stringMatching(/\(already-publishing\)$/),
    })
    await play(other, media, speed)
    await other.leave()
    await seen.ended()
    expect(seen.takes('90p')).toHaveLength(2)
  })
})

test('a replay is dated by when its media was made, however fast it comes', {
  timeout: limitMs,
}, async () => {
  await using rig = await boot()
  const media = await clip({ seconds: 5 })
  const live = await rig.grant(await rig.createChannel('live'))
  await using client = await RtmpTestClient.publish(live.transcoder.rtmp, live.streamName)
  const startedMs = performance.now()
  await play(client, media)
  const late = await rig.grant(await rig.createChannel('late'))
  const ageMs = Math.round(performance.now() - startedMs)
  const name = `${late.streamName}&age=${ageMs}`
  await using replay = await RtmpTestClient.publish(late.transcoder.rtmp, name)
  await play(replay, media, 10)
  const [liveText, lateText] = await Promise.all(
    ['live', 'late'].map((id) => until(id, () => rig.text(`/live/${id}/90p.m3u8`))),
  )
  expect(Math.abs(firstDate(lateText!) - firstDate(liveText!))).toBeLessThan(frameMs)
})

test.concurrent('a relay hears how far its media has got, and from which keyframe it is needed', {
  timeout: limitMs,
}, async () => {
  await using rig = await boot()
  const media = await clip({ seconds: 6 })
  const key = await rig.createChannel('demo')
  const { transcoder, streamName, epoch } = await rig.grant(key, { connection })
  await using progress = new ProgressClients({
    authorize: async () => 'nobody asks on this network',
    clock: systemClock,
    log: silentLogger,
  })
  const heard: Progress[] = []
  using _watch = progress.at(transcoder.url).watch(connection, (it) => heard.push(it))
  await using client = await RtmpTestClient.publish(transcoder.rtmp, streamName)
  await play(client, media, speed)
  const lastMs = Math.max(...media.map((it) => it.timestampMs))
  const last = await until('the last message', () => heard.find((it) => it.takenMs === lastMs))
  expect(last).toMatchObject({ epoch, liveId: 'demo' })
  // Before the first keyframe everything is.
  const keyframes = [0, ...media.filter(isKeyframe).map((it) => it.timestampMs)]
  for (const { neededMs, takenMs } of heard) {
    expect(keyframes).toContain(neededMs)
    expect(neededMs).toBeLessThanOrEqual(takenMs)
  }
  expect(last.neededMs).toBeGreaterThan(0)
})
