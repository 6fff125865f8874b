// A home and its transcoders, with real connections between them and a clock that stands still.
import { randomUUID } from 'node:crypto'
import { expect, it } from 'vitest'
import {
  neededSeconds,
  type PackagingPoint,
  packagingPointSchema,
} from '../../../../common/contract/resume-point.ts'
import { frameBytes } from '../../../../common/live/feed-frames.ts'
import { liveMultivariant } from '../../../../common/live/hls-live.ts'
import { createLogger } from '../../../../common/log.ts'
import { Metrics } from '../../../../common/metrics.ts'
import type { FollowedGrant } from '../../../../origin/gateway/home/home.ts'
import type { HomeBroadcast } from '../../../../origin/gateway/home/home-broadcast.ts'
import { HomeStore } from '../../../../origin/gateway/home/home-store.ts'
import { FeedWriter } from '../../../../origin/transcoder/feed-writer.ts'
import { BroadcastTexts } from '../../../support/broadcast-texts.ts'
import { FakeClock, settle } from '../../../support/fake-clock.ts'
import { firstInstance, LiveStage } from '../../../support/live-road.ts'
import {
  deliver,
  interleave,
  type PackagerRig,
  packagerRig,
  pictures,
  sounds,
  startTake,
  takePlan,
} from '../../../support/packager-rig.ts'
import { ScriptedOrigin } from '../../../support/scripted-origin.ts'
import { broadcast } from '../../../support/segment-logs.ts'
import { until } from '../../../support/until.ts'

const names = ['720p', 'audio']

class House implements AsyncDisposable {
  readonly clock = new FakeClock(Date.UTC(2026, 0, 1, 0, 0, 30))
  readonly metrics = new Metrics('gateway', 'gw-1', '0')
  readonly left: HomeBroadcast[] = []
  readonly lines: string[] = []
  readonly homes: HomeStore

  constructor(memoryBytes?: number) {
    this.homes = new HomeStore({
      gatewayId: 'gw-1',
      authorize: async () => 'node-token',
      clock: this.clock,
      log: createLogger({ name: 'gw-1', destination: { write: (line) => this.lines.push(line) } }),
      metrics: this.metrics,
      memoryBytes,
      onLeft: (it) => this.left.push(it),
    })
  }

  get home(): HomeBroadcast {
    return this.homes.home('demo')!
  }

  follow(
    stage: LiveStage,
    { epoch = 1, instance = firstInstance, ...rest }: Partial<FollowedGrant> = {},
  ) {
    const { broadcastId } = broadcast
    const grant = { liveId: 'demo', broadcastId, epoch, instance, transcoder: { url: stage.url } }
    return this.homes.follow({ ...grant, ...rest } as FollowedGrant)
  }

  refusals(): Promise<number> {
    return this.metric('refused_total')
  }

  async metric(name: string): Promise<number> {
    const metric = this.metrics.registry.getSingleMetric(`nearcast_home_${name}`)!
    return (await metric.get()).values[0]?.value ?? 0
  }

  /** Until the home lists as many as the packager. */
  async hears({ packager }: PackagerRig): Promise<void> {
    await until('the home lists what the packager does', () =>
      names.every((name) => {
        const home = this.homes.home('demo')?.playlist(name)
        return positionOf(home) === positionOf(packager.playlist(name))
      }),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.homes[Symbol.asyncDispose]()
  }
}

function positionOf(playlist: ReturnType<HomeBroadcast['playlist']>): string {
  const last = playlist?.segments.at(-1)
  return `${last?.number} ${last?.isOpen} ${last?.parts.length} ${playlist?.next?.partId}`
}

function media(fromSeconds: number, seconds: number) {
  const isKeyframe = (index: number) => index % 60 === 0
  return interleave({
    '720p': pictures({ framesPerSecond: 30, fromSeconds, seconds, isKeyframe }),
    audio: sounds(48_000, fromSeconds, seconds),
  })
}

/** One that has packaged so much already. */
function rigWith(seconds: number, resume?: PackagingPoint): PackagerRig {
  const rig = packagerRig({ isForgetful: true, ...(resume && { resume }) })
  startTake(rig.packager, takePlan({ name: 'take-1' }), 10)
  deliver(rig, 'take-1', media(10, seconds))
  return rig
}

/** Numbers that are listed, those of gaps negative. */
function numbersOf(home: HomeBroadcast, name: string): number[] {
  return home.playlist(name)!.segments.map(({ number, isGap }) => (isGap ? -number : number))
}

const upTo = (from: number, until: number) =>
  Array.from({ length: until - from + 1 }, (_, index) => from + index)

it('has the whole window at once, then each change, then the end', async () => {
  const rig = rigWith(31.3)
  await using stage = await LiveStage.start({ instead: rig.packager })
  await using house = new House()
  expect(house.follow(stage)).toBe('following')
  expect(house.homes.home('demo')).toBeUndefined()
  await house.hears(rig)
  const made = new BroadcastTexts(rig.packager, house.clock)
  const held = new BroadcastTexts(house.home, house.clock)
  expect(held.at(names)).toEqual(made.at(names))
  for (const delivery of media(41.3, 20)) {
    const version = rig.packager.version
    deliver(rig, 'take-1', [delivery])
    if (rig.packager.version === version) continue
    await house.hears(rig)
    expect(held.at(names)).toEqual(made.at(names))
  }
  expect(held.media(names)).toEqual(made.media(names))
  rig.packager.end()
  await until('the end', () => house.home.isEnded)
  expect(held.at(names)).toEqual(made.at(names))
  expect(held.at(names)['720p.m3u8']).toContain('#EXT-X-ENDLIST')
  const { home } = house
  await house.clock.advance(59_000)
  expect(house.homes.home('demo')).toBe(home)
  await house.clock.advance(1_000)
  expect(house.homes.home('demo')).toBeUndefined()
  expect(house.left).toEqual([home])
  expect(await house.refusals()).toBe(0)
})

it('goes on with a higher epoch from the checkpoint, and keeps what only it has', async () => {
  const first = rigWith(31.3)
  const instance = randomUUID()
  await using stage = await LiveStage.start({ instead: first.packager })
  await using house = new House()
  house.follow(stage)
  await house.hears(first)
  const { home } = house
  const resume = first.packager.checkpoint()
  const second = packagerRig({ isForgetful: true, resume })
  startTake(second.packager, takePlan({ name: 'take-1' }), resume.endSeconds)
  await using next = await LiveStage.start({ instead: second.packager, epoch: 2, instance })
  expect(house.follow(next, { epoch: 2, instance })).toBe('following')
  const all = media(10, 70).filter(({ sample, rendition }) => {
    const seconds = sample.dts / (rendition === 'audio' ? 48_000 : 90_000)
    return seconds >= neededSeconds(resume)! - 0.03
  })
  deliver(second, 'take-1', all.slice(0, 300))
  await house.hears(second)
  expect(home.holder).toEqual({ epoch: 2, instance })
  const numbers = numbersOf(home, '720p')
  expect(numbers).toEqual(upTo(3, 18))
  expect(second.packager.playlist('720p')!.segments[0]!.number).toBe(16)
  const one = rigWith(70)
  deliver(second, 'take-1', all.slice(300))
  await house.hears(second)
  // Long after it is as if one packager had made it all, and has forgotten as much.
  const made = new BroadcastTexts(one.packager, house.clock)
  const held = new BroadcastTexts(home, house.clock)
  for (const name of names) {
    expect(held.at(names)[`${name}.m3u8`]).toBe(made.at(names)[`${name}.m3u8`])
  }
  expect(held.media(['720p'])).toEqual(made.media(['720p']))
  expect(await house.refusals()).toBe(0)
})

it('refuses a lower epoch, and an equal one of another process', async () => {
  const rig = rigWith(6)
  await using stage = await LiveStage.start({ instead: rig.packager, epoch: 3 })
  await using house = new House()
  house.follow(stage, { epoch: 3 })
  await house.hears(rig)
  expect(house.follow(stage, { epoch: 2 })).toBe('fenced')
  expect(house.follow(stage, { epoch: 3, instance: randomUUID() })).toBe('conflict')
  expect(house.follow(stage, { epoch: 3 })).toBe('following')
  deliver(rig, 'take-1', media(16, 3))
  await house.hears(rig)
})

it('refuses other bytes for what is listed, and goes on with what comes after', async () => {
  const first = rigWith(9.2)
  const instance = randomUUID()
  await using stage = await LiveStage.start({ instead: first.packager })
  await using house = new House()
  house.follow(stage)
  await house.hears(first)
  const { home } = house
  const listed = home.segment('take-1', '720p', 5)!.parts.map((it) => it.bytes)
  // One that begins anew, where it should have gone on.
  const second = packagerRig({ isForgetful: true })
  startTake(second.packager, takePlan({ name: 'take-1' }), 10)
  const others = media(10, 15).map(({ rendition, sample }) => ({
    rendition,
    sample: { ...sample, data: Buffer.from([0, 0, 0, 2, 0x65, 1]) },
  }))
  deliver(second, 'take-1', others)
  await using next = await LiveStage.start({ instead: second.packager, epoch: 2, instance })
  house.follow(next, { epoch: 2, instance })
  await until('the next numbers', () => home.playlist('720p')!.segments.at(-1)!.number > 6)
  expect(home.segment('take-1', '720p', 5)!.parts.map((it) => it.bytes)).toEqual(listed)
  expect(home.segment('take-1', '720p', 5)!.isOpen).toBe(false)
  expect(numbersOf(home, '720p')).toEqual(upTo(1, 8))
  expect(await house.refusals()).toBeGreaterThan(0)
})

it('keeps all while the feed is gone, and lists gaps when a playlist may stand still no longer', async () => {
  const rig = rigWith(9.2)
  await using house = new House()
  {
    await using stage = await LiveStage.start({ instead: rig.packager })
    house.follow(stage)
    await house.hears(rig)
  }
  const { home } = house
  await until('the feed is gone', () => house.clock.pending > 1)
  await house.clock.advance(5_900)
  expect(numbersOf(home, '720p')).toEqual(upTo(1, 5))
  expect(home.expectsPart('take-1', '720p', home.playlist('720p')!.next!.partId).kind).toBe(
    'coming',
  )
  await house.clock.advance(200)
  expect(numbersOf(home, '720p')).toEqual([1, 2, 3, 4, 5, -6])
  expect(numbersOf(home, 'audio')).toEqual([1, 2, 3, 4, 5, -6])
  expect(home.takes[0]!.endSeconds).toBe(19)
  await house.clock.advance(2_000)
  expect(numbersOf(home, 'audio').at(-1)).toBe(-7)
  const instance = randomUUID()
  const { openTakes: _, ...rest } = rig.packager.checkpoint()
  const resume = { ...rest, nextNumber: 8, endSeconds: 23.2 }
  const second = packagerRig({ isForgetful: true, resume })
  startTake(second.packager, takePlan({ name: 'take-2', number: 2, epoch: 2 }), 23.2)
  deliver(second, 'take-2', media(23.2, 4.2))
  await using next = await LiveStage.start({ instead: second.packager, epoch: 2, instance })
  house.follow(next, { epoch: 2, instance })
  await house.hears(second)
  expect(numbersOf(home, '720p').slice(0, 8)).toEqual([1, 2, 3, 4, 5, -6, -7, 8])
  await house.clock.advance(2_500)
  expect(numbersOf(home, '720p').filter((it) => it < 0)).toEqual([-6, -7])
  const text = new BroadcastTexts(home, house.clock).at(names)['720p.m3u8']!
  expect(text.match(/#EXT-X-DISCONTINUITY\n/g)).toHaveLength(1)
})

it('comes back to the same holder after a break, without hearing anything twice', async () => {
  const rig = rigWith(9.2)
  await using stage = await LiveStage.start({ instead: rig.packager })
  await using house = new House()
  house.follow(stage)
  await house.hears(rig)
  stage.feeds.letGo(rig.packager)
  await until('the feed is gone', () => stage.feeds.feeds === 0)
  deliver(rig, 'take-1', media(19.2, 3))
  await until('another feed', async () => {
    await house.clock.advance(100)
    return stage.feeds.feeds === 1
  })
  await house.hears(rig)
  const made = new BroadcastTexts(rig.packager, house.clock)
  const held = new BroadcastTexts(house.home, house.clock)
  expect(held.at(names)).toEqual(made.at(names))
  expect(held.media(names)).toEqual(made.media(names))
  expect(await house.refusals()).toBe(0)
})

it('lists nothing of a change that breaks off, and hears it whole when it is back', async () => {
  const rig = rigWith(5)
  await using transcoder = await ScriptedOrigin.start()
  await using house = new House()
  const { broadcastId } = broadcast
  const grant = { liveId: 'demo', broadcastId, epoch: 1, instance: firstInstance, transcoder }
  house.homes.follow(grant)
  const open = { kind: 'open' as const, epoch: 1, instance: firstInstance, facts: broadcast }
  const tell = () => {
    const { bodies, change } = writer.next()
    return Buffer.concat([
      ...bodies.flatMap((body) => frameBytes({ kind: 'body' }, body)),
      ...frameBytes(change),
    ])
  }
  let writer = new FeedWriter(rig.packager)
  const first = await transcoder.next()
  expect(first.req.headers.authorization).toBe('Bearer node-token')
  first.head(200).write(Buffer.concat([...frameBytes(open), tell()]))
  await house.hears(rig)
  const texts = new BroadcastTexts(house.home, house.clock)
  const before = texts.at(names)
  deliver(rig, 'take-1', media(15, 2))
  const bytes = tell()
  first.write(bytes.subarray(0, -1))
  first.cut()
  const again = await until('another try', async () => {
    await house.clock.advance(100)
    return transcoder.requests.length === 2 && (await transcoder.next())
  })
  expect(texts.at(names)).toEqual(before)
  writer = new FeedWriter(rig.packager)
  again.head(200).write(Buffer.concat([...frameBytes(open), tell()]))
  await house.hears(rig)
  expect(texts.at(names)).toEqual(new BroadcastTexts(rig.packager, house.clock).at(names))
})

it('takes a transcoder that is silent for three seconds for gone', async () => {
  await using transcoder = await ScriptedOrigin.start()
  await using house = new House()
  const { broadcastId } = broadcast
  const grant = { liveId: 'demo', broadcastId, epoch: 1, instance: firstInstance, transcoder }
  house.homes.follow(grant)
  const exchange = await transcoder.next()
  exchange.head(200)
  await settle()
  await house.clock.advance(4_500)
  await exchange.abandoned
})

it.each([
  ['that it is the home', { epoch: 1, home: 'gw-1' }, 10_000, true],
  ['nothing of a home', { epoch: 1, home: null }, 10_000, true],
  ['another home in an earlier epoch', { epoch: 0, home: 'gw-2' }, 10_000, true],
  ['another home, right after its own grant', { epoch: 1, home: 'gw-2' }, 1_000, true],
  ['another home', { epoch: 1, home: 'gw-2' }, 5_000, false],
  ['another home in a later epoch', { epoch: 2, home: 'gw-2' }, 1_000, false],
])('told by a route %s', async (_, told, afterMs, stays) => {
  const rig = rigWith(4.2)
  await using stage = await LiveStage.start({ instead: rig.packager })
  await using house = new House()
  house.follow(stage)
  await house.hears(rig)
  await house.clock.advance(afterMs)
  const { broadcastId } = broadcast
  const transcoder = { id: 'tc-1', url: stage.url }
  const { broadcastTag, startedAtMs: startedAt } = broadcast
  const facts = { liveId: 'demo', broadcastId, broadcastTag, startedAt, takes: 1 }
  const route = { ...facts, instance: firstInstance, connection: null, ...told, transcoder }
  house.homes.update({ routes: [route] })
  expect(house.homes.home('demo') !== undefined).toBe(stays)
  expect(house.left).toHaveLength(stays ? 0 : 1)
})

it('forgets a broadcast to which nobody comes back', async () => {
  const rig = rigWith(4.2)
  await using house = new House()
  {
    await using stage = await LiveStage.start({ instead: rig.packager })
    house.follow(stage)
    await house.hears(rig)
  }
  await until('the feed is gone', () => house.clock.pending > 1)
  await house.clock.advance(91_000)
  expect(house.homes.home('demo')).toBeUndefined()
})

/** A house with room for one home and a half, that has had to give up the second. */
async function fullHouse(stack: AsyncDisposableStack) {
  const [one, two] = [rigWith(31.3), rigWith(31.3)]
  const stage = stack.use(await LiveStage.start({ instead: one.packager }))
  const other = stack.use(await LiveStage.start({ instead: two.packager, liveId: 'other' }))
  const empty = stack.use(new House())
  empty.follow(stage)
  await empty.hears(one)
  const alone = await empty.metric('bytes')
  const house = stack.use(new House(Math.floor(alone * 1.5)))
  house.follow(stage)
  await house.hears(one)
  house.follow(other, { liveId: 'other' })
  await until('one home less', async () => (await house.metric('given_up_total')) === 1)
  return { one, two, other, empty, alone, house }
}

it('holds as much as it may, and gives up the home that came last for more', async () => {
  await using stack = new AsyncDisposableStack()
  const { one, other, empty, alone, house } = await fullHouse(stack)
  const listed = one.packager.playlist('720p')!.segments.map(({ sizeBytes }) => sizeBytes)
  expect(alone).toBeGreaterThan(listed.reduce((sum, bytes) => sum + bytes))
  expect(alone).toBe(empty.home.bytes)
  empty.homes.leave('demo')
  expect(await empty.metric('bytes')).toBe(0)

  expect(house.homes.home('other')).toBeUndefined()
  expect(house.homes.home('demo')).toBe(house.home)
  expect(await house.metric('bytes')).toBe(alone)
  deliver(one, 'take-1', media(41.3, 2))
  await house.hears(one)
  expect(await house.metric('bytes')).toBe(house.home.bytes)

  house.homes.leave('demo')
  house.follow(other, { liveId: 'other' })
  await until('room for it', () => house.homes.home('other'))
  expect(await house.metric('given_up_total')).toBe(1)
})

it('takes back the home that it gave up, when there is room again', async () => {
  await using stack = new AsyncDisposableStack()
  const { two, alone, house } = await fullHouse(stack)
  expect(await house.metric('waiting')).toBe(1)
  house.homes.leave('demo')
  await house.clock.advance(29_000)
  expect(await house.metric('taken_back_total')).toBe(0)
  await house.clock.advance(1_000)
  const back = await until('the home', () => house.homes.home('other'))
  expect(await house.metric('taken_back_total')).toBe(1)
  expect(await house.metric('waiting')).toBe(0)
  const made = new BroadcastTexts(two.packager, house.clock)
  const held = new BroadcastTexts(back, house.clock)
  expect(held.at(names)).toEqual(made.at(names))
  expect(house.lines.map((line) => JSON.parse(line))).toContainEqual(
    expect.objectContaining({
      ...{ msg: 'memory for the home of a stream again', liveId: 'other' },
      ...{ heldBytes: 0, limitBytes: Math.floor(alone * 1.5) },
    }),
  )
})

it('waits no more for a home whose stream has ended, also where it is given up again', async () => {
  const [small, large, last] = [rigWith(5), rigWith(31.3), rigWith(31.3)]
  await using stage = await LiveStage.start({ instead: small.packager })
  await using first = await LiveStage.start({ instead: large.packager, liveId: 'first' })
  await using other = await LiveStage.start({ instead: last.packager, liveId: 'other' })
  await using empty = new House()
  empty.follow(first, { liveId: 'first' })
  await until('a home', () => empty.homes.home('first'))
  await using house = new House(Math.floor((await empty.metric('bytes')) * 1.5))
  house.follow(first, { liveId: 'first' })
  house.follow(stage)
  await until('two homes', () => house.homes.home('first') && house.homes.home('demo'))
  house.follow(other, { liveId: 'other' })
  await until('one home less', async () => (await house.metric('given_up_total')) === 1)
  house.homes.leave('first')
  await house.clock.advance(30_000)
  const back = await until('the home', () => house.homes.home('other'))
  last.packager.end()
  await until('its end', () => back.isEnded)
  deliver(small, 'take-1', media(15, 20))
  await until('another home less', async () => (await house.metric('given_up_total')) === 2)
  expect(house.homes.home('other')).toBeUndefined()
  house.homes.leave('demo')
  await until('no timer', () => house.clock.pending === 0)
})

it('says the highest bitrate that there was, also at another home and of another transcoder', async () => {
  const secondsOf = ({ sample, rendition }: ReturnType<typeof media>[number]) =>
    sample.dts / (rendition === 'audio' ? 48_000 : 90_000)
  const all = media(10, 34).map((it) => {
    if (it.rendition === 'audio' || secondsOf(it) > 13) return it
    const data = Buffer.concat([it.sample.data, Buffer.alloc(10_000)])
    return { ...it, sample: { ...it.sample, data } }
  })
  const first = packagerRig({ isForgetful: true })
  await using stage = await LiveStage.start({ instead: first.packager })
  await using house = new House()
  startTake(first.packager, takePlan({ name: 'take-1' }), 10)
  house.follow(stage)
  // Nobody asks for a manifest until that is over by far.
  for (let from = 0; from < 38; from += 2) {
    const next = all.filter((it) => secondsOf(it) >= from && secondsOf(it) < from + 2)
    deliver(first, 'take-1', next)
    await house.hears(first)
  }
  const bandwidthOf = (made: PackagerRig['packager'] | HomeBroadcast) =>
    Number(/:BANDWIDTH=(\d+)/.exec(liveMultivariant(made)!)![1])
  const highest = bandwidthOf(house.home)
  expect(highest).toBeGreaterThan(30 * 10_000 * 8)
  expect(bandwidthOf(first.packager)).toBe(highest)

  await using other = new House()
  other.follow(stage)
  await other.hears(first)
  expect(bandwidthOf(other.home)).toBe(highest)

  const resume = packagingPointSchema.parse(JSON.parse(JSON.stringify(first.packager.checkpoint())))
  const second = packagerRig({ isForgetful: true, resume })
  startTake(second.packager, takePlan({ name: 'take-1' }), resume.endSeconds)
  const needed = neededSeconds(resume)! - 0.03
  deliver(
    second,
    'take-1',
    all.filter((it) => secondsOf(it) >= needed),
  )
  expect(bandwidthOf(second.packager)).toBe(highest)
})
