// What publishers do wrong, sent to a real transcoder: what viewers are given stays in order whatever comes in.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  between,
  type Clip,
  clip,
  headersOf,
  later,
  mislabelled,
  play,
  without,
} from '../../support/publisher-clips.ts'
import { RtmpTestClient } from '../../support/rtmp-client.ts'
import { SeenBroadcast, type SeenMedia, shapeOf } from '../../support/seen-broadcast.ts'
import { smallLadder, TranscoderRig } from '../../support/transcoder-rig.ts'

const limitMs = 90_000

let rig: TranscoderRig
let channels = 0

beforeAll(async () => {
  rig = await TranscoderRig.start({
    ladder: smallLadder,
    // All that was listed stays listed, so that nothing is missed; the end comes soon.
    transcoder: { holdMs: 300, windowSegments: 40 },
  })
}, limitMs)

afterAll(async () => {
  await rig?.[Symbol.asyncDispose]()
}, limitMs)

interface Outcome {
  seen: SeenBroadcast
  media: Record<string, SeenMedia[]>
}

/** Publishes, leaves, and answers all that was listed by the end. */
async function outcome(messages: Clip, speed: number): Promise<Outcome> {
  const liveId = `demo-${++channels}`
  const key = await rig.createChannel(liveId, { record: false })
  const { transcoder, streamName } = await rig.grant(key)
  await using client = await RtmpTestClient.publish(transcoder.rtmp, streamName)
  expect(client.statuses.filter((it) => it.level === 'error')).toEqual([])
  await using seen = new SeenBroadcast(`${rig.url}/live/${liveId}`)
  await play(client, messages, speed)
  await client.leave()
  await seen.ended()
  const media: Record<string, SeenMedia[]> = {}
  for (const name of seen.names) media[name] = await seen.media(name)
  await seen.checkMpds()
  expect([...seen.faults]).toEqual([])
  for (const [name, takes] of Object.entries(media)) {
    for (const { take, track, samples, decodedFrames } of takes) {
      if (track.kind === 'video')
        expect([name, take, decodedFrames]).toEqual([name, take, samples.length])
    }
  }
  return { seen, media }
}

function seconds(media: SeenMedia): number {
  const { samples, track } = media
  return samples.reduce((sum, it) => sum + it.duration, 0) / track.timescale
}

describe.concurrent('a publisher', { timeout: limitMs }, () => {
  test('whose time leaps 30 s ahead, 60 s back, and over its 32 bits begins a take each time', async () => {
    const source = await clip({ seconds: 12 })
    const { seen, media } = await outcome(
      [
        ...headersOf(source),
        ...mislabelled(between(source, 0, 3), 40),
        ...mislabelled(between(source, 3, 6), 70),
        ...mislabelled(between(source, 6, 9), 10),
        // So that 32 bits are full on the way.
        ...mislabelled(between(source, 9, 12), 2 ** 32 / 1000 - 10.5),
      ],
      3,
    )
    expect(seen.names).toEqual(['72p', '90p', 'audio'])
    for (const name of seen.names) {
      // The last leap comes within a GOP: the next take waits for a keyframe.
      expect(shapeOf(seen, name)).toBe('AABBCCDE')
      // Nothing else is lost but what the tracks lie apart at each seam.
      const total = media[name]!.reduce((sum, it) => sum + seconds(it), 0)
      expect(total).toBeGreaterThan(11.2)
    }
  })

  test('of sound alone, and one of picture alone, are offered as what they send', async () => {
    const source = await clip({ seconds: 5.5 })
    const [sound, picture] = await Promise.all([
      outcome(without(source, 'video'), 3),
      outcome(without(source, 'audio'), 3),
    ])
    expect(sound.seen.names).toEqual(['audio'])
    expect(shapeOf(sound.seen, 'audio')).toBe('AAA')
    expect(picture.seen.names).toEqual(['72p', '90p'])
    expect(shapeOf(picture.seen, '90p')).toBe('AAA')
    expect(shapeOf(picture.seen, '72p')).toBe('AAA')
  })

  test('whose sound comes 6 s late gets a take with sound', async () => {
    const source = await clip({ seconds: 10 })
    const { seen } = await outcome(
      [
        ...headersOf(source, 'video'),
        ...without(between(source, 0, 6), 'audio'),
        ...headersOf(source, 'audio'),
        ...between(source, 6, 10),
      ],
      2,
    )
    expect(shapeOf(seen, '90p')).toBe('AAABB')
    expect(shapeOf(seen, '72p')).toBe('AAABB')
    expect(shapeOf(seen, 'audio')).toMatch(/^-*BB$/)
  })

  test('whose picture comes 5 s late, and whose sound then goes for 5 s, gets a take each time', async () => {
    const source = await clip({ seconds: 18 })
    const { seen } = await outcome(
      [
        ...headersOf(source, 'audio'),
        ...without(between(source, 0, 5), 'video'),
        ...headersOf(source, 'video'),
        ...between(source, 5, 9),
        ...without(between(source, 9, 14), 'audio'),
        ...between(source, 14, 18),
      ],
      2,
    )
    expect(shapeOf(seen, '90p')).toMatch(/^---B+C+D+$/)
    expect(shapeOf(seen, '72p')).toBe(shapeOf(seen, '90p'))
    expect(shapeOf(seen, 'audio')).toMatch(/^AAAB+-+D+$/)
  })

  test('whose picture stops for 1.2 s and for 5 s while sound goes on leaves gaps', async () => {
    const source = await clip({ seconds: 14, keyframes: 15 })
    const picture = without(source, 'audio').filter(
      (it) => it.dueMs < 2300 || (it.dueMs >= 3500 && it.dueMs < 6000) || it.dueMs >= 11_000,
    )
    const sound = without(source, 'video').filter((it) => it.kind === 'audio')
    const all = [...picture, ...sound].sort((a, b) => a.dueMs - b.dueMs)
    const { seen } = await outcome(all, 1)
    expect(shapeOf(seen, '90p')).toMatch(/^AAA-+BB$/)
    expect(shapeOf(seen, 'audio')).toBe(shapeOf(seen, '90p'))
  })

  test('whose frame rate varies is cut by time', async () => {
    const source = await clip({
      seconds: 8,
      keyframes: [0, 1, 2, 3, 4, 5, 6, 7],
      videoFilter: "select='not(mod(n,1+mod(floor(t),3)))'",
    })
    const { seen } = await outcome(source, 3)
    expect(shapeOf(seen, '90p')).toBe('AAAA')
    expect(shapeOf(seen, '72p')).toBe('AAAA')
  })

  test('whose picture changes its size, and whose sound its rate, begins a take each time', async () => {
    const [first, second, third] = await Promise.all([
      clip({ seconds: 4, bFrames: 2 }),
      clip({ seconds: 4, bFrames: 2, size: '128x96' }),
      clip({ seconds: 4, bFrames: 2, size: '128x96', sampleRate: 44_100 }),
    ])
    const { seen, media } = await outcome([...first!, ...later(second!, 4), ...later(third!, 8)], 3)
    expect(shapeOf(seen, 'audio')).toBe('AABBCC')
    expect(media.audio!.map((it) => it.track.sampleRate)).toEqual([48_000, 48_000, 44_100])
    expect(shapeOf(seen, '72p')).toBe('AABBCC')
    // What the take does not have, another rendition of it stands in for.
    expect(shapeOf(seen, '90p')).toBe('AABBCC')
    expect(media['90p']!.map((it) => it.track.height)).toEqual([90, 96, 96])
  })

  test('with untouched OBS settings is encoded on keyframes of our own', async () => {
    const source = await clip({ seconds: 20, keyframes: 250, bFrames: 2 })
    const { seen, media } = await outcome(source, 3)
    for (const name of ['90p', '72p', 'audio']) {
      expect(shapeOf(seen, name)).toBe('AAAAAAAAAA')
      expect(seconds(media[name]![0]!)).toBeGreaterThan(19.9)
    }
    for (const { seconds } of seen.segments('90p').slice(0, -1)) expect(seconds).toBeCloseTo(2, 1)
  })

  test('whose keyframes become rare on the way is encoded from there on', async () => {
    const source = await clip({ seconds: 16, keyframes: [0, 1, 2, 3, 4, 5, 6], bFrames: 2 })
    const { seen, media } = await outcome(source, 2)
    const own = shapeOf(seen, '90p')
    expect(own).toMatch(/^AAA+BBB+$/)
    for (const name of ['72p', 'audio']) expect(shapeOf(seen, name)).toBe(own)
    for (const name of ['90p', '72p', 'audio']) {
      const total = media[name]!.reduce((sum, it) => sum + seconds(it), 0)
      expect(total).toBeGreaterThan(15.9)
    }
  })

  test('whose keyframes come at scene cuts is cut where they are', async () => {
    const keyframes = [0, 1, 2, 2.7, 4.2, 5, 7.6, 9.3, 9.9, 10.1, 12.5]
    const { seen, media } = await outcome(await clip({ seconds: 14, keyframes }), 3)
    const own = shapeOf(seen, '90p')
    expect(own).toMatch(/^[A-C]+$/)
    for (const name of ['72p', 'audio']) expect(shapeOf(seen, name)).toBe(own)
    for (const name of ['90p', '72p']) {
      const total = media[name]!.reduce((sum, it) => sum + it.samples.length, 0)
      expect(total).toBe(14 * 30)
    }
  })

  test('with B-frames and 44.1 kHz mono loses no frame', async () => {
    const source = await clip({
      ...{ seconds: 8, framesPerSecond: 25, keyframes: 50, bFrames: 3 },
      ...{ sampleRate: 44_100, channels: 1 },
    })
    const { seen, media } = await outcome(source, 3)
    for (const name of ['90p', '72p']) {
      expect(shapeOf(seen, name)).toBe('AAAA')
      expect(media[name]![0]!.samples).toHaveLength(200)
    }
    expect(media.audio![0]!.track).toMatchObject({ sampleRate: 44_100, channels: 1 })
  })

  test('with 12 frames a second and HE-AAC gets sound that plays everywhere', async () => {
    const source = await clip({
      ...{ seconds: 8, framesPerSecond: 12, keyframes: 24, sampleRate: 24_000 },
    })
    // SBR in two channels: 24 kHz of core, 48 kHz of sound (ISO/IEC 14496-3 §1.6.2.1).
    const config = Buffer.from([0x2b, 0x11, 0x88, 0x00])
    const sbr = source.map((it) =>
      it.kind === 'audio' && it.payload[1] === 0
        ? { ...it, payload: Buffer.concat([it.payload.subarray(0, 2), config]) }
        : it,
    )
    const { seen, media } = await outcome(sbr, 2)
    for (const name of seen.names) expect(shapeOf(seen, name)).toBe('AAAA')
    expect(media['90p']![0]!.samples).toHaveLength(96)
    expect(media.audio![0]!.track).toMatchObject({ codec: 'mp4a.40.2', sampleRate: 48_000 })
  })

  test('with a keyframe each half second gets segments of two seconds', async () => {
    const { seen } = await outcome(
      await clip({ seconds: 8, framesPerSecond: 24, keyframes: 12 }),
      3,
    )
    for (const name of ['90p', '72p', 'audio']) {
      expect(shapeOf(seen, name)).toBe('AAAA')
    }
    for (const { seconds } of seen.segments('90p')) expect(seconds).toBeCloseTo(2, 2)
  })
})
