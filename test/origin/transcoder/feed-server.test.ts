// The feed of one broadcast over a real connection.
import { expect, it } from 'vitest'
import { FeedFrameReader } from '../../../common/live/feed-frames.ts'
import { HomeBroadcast } from '../../../origin/gateway/home/home-broadcast.ts'
import { parseFeedTarget } from '../../../origin/transcoder/feed-server.ts'
import { BroadcastTexts } from '../../support/broadcast-texts.ts'
import { type ViewedAnswer, type ViewOptions, view } from '../../support/http-viewer.ts'
import { firstInstance, LiveStage } from '../../support/live-road.ts'
import { until } from '../../support/until.ts'

const names = ['720p', '360p', 'audio']

function feed(stage: LiveStage, options: ViewOptions & { liveId?: string; epoch?: number } = {}) {
  const { liveId = 'demo', epoch = 1, ...rest } = options
  const path = `/internal/v1/broadcasts/${liveId}/feed?epoch=${epoch}`
  return view('h1', stage.url, path, rest)
}

function framesOf(answer: ViewedAnswer) {
  const { frames, fault } = new FeedFrameReader().push(answer.received)
  expect(fault).toBeUndefined()
  return frames
}

const changesOf = (answer: ViewedAnswer) =>
  framesOf(answer).filter((it) => it.head.kind === 'change').length

it.each([
  ['/internal/v1/broadcasts/demo/feed?epoch=7', { liveId: 'demo', epoch: 7 }],
  ['/internal/v1/broadcasts/demo/feed', undefined],
  ['/internal/v1/broadcasts/demo/feed?epoch=0', undefined],
  ['/internal/v1/broadcasts/demo/feed?epoch=1&more=1', undefined],
  ['/internal/v1/broadcasts/De%6do/feed?epoch=1', undefined],
])('%s', (target, parsed) => {
  expect(parseFeedTarget(target)).toEqual(parsed)
})

it('is there for what is live, in its epoch', async () => {
  await using stage = await LiveStage.start({ epoch: 2 })
  expect((await feed(stage, { liveId: 'nobody' })).status).toBe(404)
  expect((await feed(stage, { epoch: 1 })).status).toBe(409)
  const answer = await feed(stage, { epoch: 2 })
  expect(answer.status).toBe(200)
  await until('the window', () => changesOf(answer) === 1)
  expect(framesOf(answer)[0]!.head).toMatchObject({
    kind: 'open',
    epoch: 2,
    instance: firstInstance,
  })
  answer.leave()
})

it('pings each second, and ends with the broadcast', async () => {
  await using stage = await LiveStage.start()
  const answer = await feed(stage)
  await until('the window', () => changesOf(answer) === 1)
  await stage.clock.advance(2_000)
  await until('pings', () => framesOf(answer).filter((it) => it.head.kind === 'ping').length === 2)
  stage.broadcast.end()
  expect((await answer.rest()).end).toBe('clean')
  expect(framesOf(answer).at(-1)!.head).toMatchObject({ kind: 'change', isEnded: true })
  expect(stage.feeds.feeds).toBe(0)
})

it('is over without an end when the broadcast goes on elsewhere', async () => {
  await using stage = await LiveStage.start()
  const answer = await feed(stage)
  await until('a feed', () => stage.feeds.feeds === 1)
  stage.server.letGo(stage.broadcast)
  await answer.rest()
  const heads = framesOf(answer).map((it) => it.head)
  expect(heads.filter((it) => it.kind === 'change' && it.isEnded)).toEqual([])
  expect(stage.feeds.feeds).toBe(0)
})

it('keeps nothing for a connection that takes nothing, and then tells what is there', async () => {
  await using stage = await LiveStage.start({ keptSegments: 12 })
  const { broadcast } = stage
  broadcast.beginTake()
  const answer = await feed(stage, { isPaused: true })
  const bytes = Buffer.alloc(400_000, 'x')
  const segments = 40
  for (let i = 0; i < segments; i++) {
    for (const name of names) broadcast.addPart(name, { bytes })
    broadcast.closeSegments()
    // The kernel takes what it takes.
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
  answer.resume()
  const home = new HomeBroadcast({ facts: broadcast.facts, onRefused: () => {} })
  const reader = new FeedFrameReader()
  let read = 0
  await until('the newest segment', () => {
    const all = answer.received
    const { frames } = reader.push(all.subarray(read))
    read = all.length
    for (const frame of frames) {
      expect(home.accept(frame, { epoch: 1, instance: firstInstance })).toBe('accepted')
    }
    return home.playlist('720p')?.segments.at(-1)?.number === segments
  })
  expect(read).toBeLessThan(segments * names.length * bytes.length)
  const [made, held] = [broadcast, home].map((it) => new BroadcastTexts(it, stage.clock).at(names))
  expect(held!['720p.m3u8']).toBe(made!['720p.m3u8'])
  answer.leave()
})
