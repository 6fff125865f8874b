// A banned channel: its keys are refused, what is live ends, and taking the ban back is all it takes.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { CoordinatorFixture, type FakeNode } from './coordinator-fixture.ts'

let fixture: CoordinatorFixture
let gateway: FakeNode
let transcoder: FakeNode
let streamKey: string

beforeEach(async () => {
  fixture = await CoordinatorFixture.start()
  gateway = await fixture.node('gw-1', 'gateway')
  transcoder = await fixture.node('tc-1', 'transcoder')
  streamKey = await fixture.channel('show')
})

afterEach(() => fixture[Symbol.asyncDispose]())

const ban = () => fixture.api<{ bannedAt: string | null }>('POST', '/channels/show/ban')
const unban = () => fixture.api<{ bannedAt: string | null }>('POST', '/channels/show/unban')

test('is refused with every key, until the ban is taken back', async () => {
  const other = await fixture.api<{ streamKey: string }>('POST', '/channels/show/keys', {})
  expect((await ban()).bannedAt).toBe(new Date(fixture.clock.now()).toISOString())
  for (const key of [streamKey, other.streamKey]) {
    expect(await gateway.publish(key)).toMatchObject({ code: 'channel-banned' })
  }
  await fixture.restart()
  // What was let in meanwhile is heard first.
  await fixture.clock.advance(6_000)
  await Promise.all([gateway.beat(), transcoder.beat()])
  expect(await gateway.publish(streamKey)).toMatchObject({ code: 'channel-banned' })
  expect((await unban()).bannedAt).toBeNull()
  expect((await gateway.granted(streamKey)).liveId).toBe('show')
})

test('ends what is live by the next renewal of its transcoder', async () => {
  const { epoch } = await gateway.granted(streamKey)
  expect((await transcoder.renew('show', epoch)).body.stop).toBe(false)
  await ban()
  expect((await transcoder.renew('show', epoch)).body).toMatchObject({
    outcome: 'held',
    stop: true,
  })
  await transcoder.release('show', epoch, 'stopped')
  expect(await gateway.publish(streamKey)).toMatchObject({ code: 'channel-banned' })
  expect(await fixture.api('GET', '/streams')).toEqual({ streams: [] })
})

test('gives no way back in to the publisher whose broadcast it ended', async () => {
  const request = gateway.publishRequest(streamKey)
  const { epoch, instance } = await gateway.granted(streamKey, null, request)
  await ban()
  const away = { epoch, instance }
  const again = await gateway.publish(streamKey, null, { ...request, attempt: 2, away })
  expect(again).toMatchObject({ code: 'channel-banned' })
})

test('keeps out a publish whose key was looked at just before the ban', async () => {
  const { publishes } = fixture.coordinator.parts('', '')
  for (let i = 0; i < 3; i++) {
    await unban()
    const [outcome] = await Promise.all([
      publishes.publish(gateway.publishRequest(streamKey)),
      ban(),
    ])
    const { epoch } = 'granted' in outcome ? outcome.granted : { epoch: 0 }
    // Either it came too late, or the ban ended it.
    if (epoch > 0) expect((await transcoder.renew('show', epoch)).body.stop).toBe(true)
    if (epoch > 0) await transcoder.release('show', epoch, 'stopped')
    expect(await fixture.api('GET', '/streams')).toEqual({ streams: [] })
  }
})

test('banning twice keeps the first time; an unknown channel is a problem', async () => {
  const first = await ban()
  fixture.clock.stepWall(60_000)
  expect(await ban()).toEqual(first)
  expect((await fixture.call('POST', '/api/v1/channels/nobody/ban')).status).toBe(404)
})
