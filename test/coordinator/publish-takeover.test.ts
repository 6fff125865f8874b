// What a relay that comes again is given: its lease, another transcoder, or the reason why not.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Route } from '../../common/contract/membership.ts'
import { CoordinatorFixture, type FakeNode } from './coordinator-fixture.ts'

const connection = 'connection-of-one'
const newcomer = 'connection-of-two'

let fixture: CoordinatorFixture
let gateway: FakeNode
let transcoders: FakeNode[]
let key: string

beforeEach(async () => {
  fixture = await CoordinatorFixture.start()
  gateway = await fixture.node('gw-1', 'gateway')
  transcoders = []
  for (const id of ['tc-1', 'tc-2', 'tc-3']) {
    transcoders.push(await fixture.node(id, 'transcoder'))
  }
  key = await fixture.channel('demo')
})

afterEach(() => fixture[Symbol.asyncDispose]())

const granted = (more: object = {}) => gateway.granted(key, null, { connection, ...more })
const refused = async (more: object = {}) =>
  (await gateway.publish(key, null, { connection, ...more })) as { code: string }
const holderOf = ({ epoch, instance }: { epoch: number; instance: string }) => ({ epoch, instance })
const nodeOf = (grant: { transcoder: { id: string } }) =>
  transcoders.find(({ id }) => id === grant.transcoder.id)!
const routes = async () => JSON.parse(await fixture.snapshot()).routes as Route[]
const streams = async () =>
  (await fixture.api<{ streams: { liveId: string }[] }>('GET', '/ring')).streams

describe('the same connection', () => {
  test('joins its holder again under the same epoch, with a new ticket that names it', async () => {
    const first = await granted({ nonce: 'n'.repeat(16) })
    const again = await granted({ attempt: 2, nonce: 'm'.repeat(16) })
    expect(again).toMatchObject({ ...holderOf(first), transcoder: first.transcoder })
    expect(await fixture.auth.verifyTicket(again.ticket)).toMatchObject({
      ...holderOf(first),
      connection,
      nonce: 'm'.repeat(16),
    })
  })

  test('is refused under an attempt that a later one has overtaken', async () => {
    await granted({ attempt: 2 })
    expect(await refused({ attempt: 1 })).toMatchObject({ code: 'already-publishing' })
  })

  test('goes elsewhere when its holder failed, though heartbeats of that still come', async () => {
    const first = await granted()
    const failed = nodeOf(first)
    await failed.renew('demo', 1)
    const second = await granted({ away: holderOf(first) })
    expect(second).toMatchObject({ epoch: 2, broadcastId: first.broadcastId })
    expect(second.transcoder.id).not.toBe(first.transcoder.id)
    expect(await failed.renew('demo', 1)).toMatchObject({
      status: 409,
      body: { outcome: 'lost', epoch: 2 },
    })
    expect((await nodeOf(second).renew('demo', 2)).body).toMatchObject({ outcome: 'held' })
  })

  test('is given every other transcoder before one that failed it a moment ago', async () => {
    const first = await granted()
    const second = await granted({ away: holderOf(first) })
    const third = await granted({ away: holderOf(second) })
    expect(new Set([first, second, third].map((grant) => grant.instance)).size).toBe(3)
    expect(third.epoch).toBe(3)
    const fourth = await granted({ away: holderOf(third) })
    expect(fourth).toMatchObject({ epoch: 4 })
    expect(fourth.instance).not.toBe(third.instance)
  })

  test('that names a holder of the past joins who has the lease now', async () => {
    const first = await granted()
    const second = await granted({ away: holderOf(first) })
    expect(await granted({ attempt: 2, away: holderOf(first) })).toMatchObject(holderOf(second))
  })

  test('gets the same holder where nobody else can take it, and a new epoch once that has restarted', async () => {
    const first = await granted()
    for (const node of transcoders) if (node !== nodeOf(first)) await node.leave()
    expect(await granted({ away: holderOf(first) })).toMatchObject(holderOf(first))
    await nodeOf(first).restart()
    expect(await granted({ away: holderOf(first) })).toMatchObject({
      epoch: 2,
      instance: nodeOf(first).instance,
    })
  })

  test('keeps a holder of weight 0 where nobody else can take it', async () => {
    const first = await granted()
    for (const node of transcoders) if (node !== nodeOf(first)) await node.leave()
    nodeOf(first).settings.weight = 0
    await nodeOf(first).beat()
    expect(await granted({ away: holderOf(first) })).toMatchObject(holderOf(first))
  })

  test.each([
    ['above', 5],
    ['at', 1],
  ])('that saw a holder %s the known epoch gets one above both', async (_name, epoch) => {
    await granted()
    const instance = crypto.randomUUID()
    expect((await granted({ away: { epoch, instance } })).epoch).toBe(epoch + 1)
  })

  test('never begins a broadcast anew that the operator has ended', async () => {
    const first = await granted()
    await nodeOf(first).renew('demo', 1)
    await nodeOf(first).leave()
    await fixture.call('DELETE', '/api/v1/streams/demo')
    expect(await refused({ attempt: 2 })).toMatchObject({ code: 'broadcast-stopped' })
    expect((await granted({ connection: newcomer })).epoch).toBe(2)
  })

  test('does not take a stream elsewhere that its operator is ending', async () => {
    const first = await granted()
    await nodeOf(first).renew('demo', 1)
    await fixture.call('DELETE', '/api/v1/streams/demo')
    const answer = await refused({ away: holderOf(first) })
    expect(answer).toMatchObject({ code: 'broadcast-stopped' })
    expect(await streams()).toEqual([])
  })
})

describe('a holder that is draining', () => {
  const drain = async (node: FakeNode) => {
    node.settings.draining = true
    await node.beat()
  }

  test('keeps its stream where nobody else can take it, and gets no other', async () => {
    const first = await granted()
    await nodeOf(first).renew('demo', 1)
    for (const node of transcoders) if (node !== nodeOf(first)) await node.leave()
    await drain(nodeOf(first))
    expect(await granted({ attempt: 2 })).toMatchObject(holderOf(first))
    expect(await granted({ attempt: 3, away: holderOf(first) })).toMatchObject(holderOf(first))
    await nodeOf(first).renew('demo', 1, { state: 'held' })
    expect(await granted({ connection: newcomer })).toMatchObject(holderOf(first))
    const other = await gateway.publish(await fixture.channel('other'))
    expect(other).toMatchObject({ code: 'no-transcoder' })
  })

  test('is left for one that failed the stream a while ago', async () => {
    const first = await granted()
    const second = await granted({ away: holderOf(first) })
    for (const node of transcoders) {
      if (node !== nodeOf(first) && node !== nodeOf(second)) await node.leave()
    }
    await drain(nodeOf(second))
    expect(await granted({ attempt: 2 })).toMatchObject({ epoch: 3, instance: first.instance })
  })

  test('is not joined by who saw a holder that nobody knows', async () => {
    const first = await granted()
    for (const node of transcoders) if (node !== nodeOf(first)) await node.leave()
    await drain(nodeOf(first))
    const away = { epoch: 5, instance: crypto.randomUUID() }
    expect(await refused({ away })).toMatchObject({ code: 'no-transcoder' })
  })
})

describe('a newer connection', () => {
  test('takes the channel under the same epoch, and the older is refused from then on', async () => {
    const first = await granted()
    await nodeOf(first).renew('demo', 1)
    expect(await granted({ connection: newcomer })).toMatchObject(holderOf(first))
    await nodeOf(first).renew('demo', 1)
    expect(await refused({ attempt: 2 })).toMatchObject({ code: 'already-publishing' })
    expect(await refused({ attempt: 3, away: holderOf(first) })).toMatchObject({
      code: 'already-publishing',
    })
  })

  test('is refused for a while once the channel has changed hands three times', async () => {
    const names = Array.from({ length: 6 }, (_, i) => `connection-number-${i}`)
    const first = await granted({ connection: names[0] })
    const takeOver = async (name: string) => {
      await nodeOf(first).renew('demo', 1)
      return (await gateway.publish(key, null, { connection: name })) as { code?: string }
    }
    for (const name of names.slice(1, 4)) expect(await takeOver(name)).toHaveProperty('ticket')
    expect(await takeOver(names[4]!)).toMatchObject({ code: 'takeover-too-often' })
    await fixture.clock.advance(5_000)
    expect(await takeOver(names[4]!)).toHaveProperty('ticket')
    expect(await takeOver(names[5]!)).toMatchObject({ code: 'takeover-too-often' })
  })

  test('replaces nobody before its transcoder has let it in', async () => {
    const first = await granted()
    const { nonces } = fixture
    const nonce = nonces.get('demo')!
    await nodeOf(first).renew('demo', 1)
    const other = await fixture.node('gw-2', 'gateway')
    await other.granted(key, 'pop-2', { connection: newcomer })
    await nodeOf(first).renew('demo', 1, { nonce })
    expect(await routes()).toMatchObject([{ connection, home: 'gw-1' }])
    expect(await granted({ attempt: 2 })).toMatchObject(holderOf(first))
    expect(await refused({ attempt: 1 })).toMatchObject({ code: 'already-publishing' })
    await nodeOf(first).renew('demo', 1)
    expect(await granted({ attempt: 3 })).toMatchObject(holderOf(first))
    await other.granted(key, 'pop-2', { connection: newcomer, attempt: 2 })
    await nodeOf(first).renew('demo', 1)
    expect(await routes()).toMatchObject([{ connection: newcomer, home: 'gw-2' }])
    expect(await refused({ attempt: 4 })).toMatchObject({ code: 'already-publishing' })
  })

  test('that took the channel elsewhere and was not let in there leaves it to the older one', async () => {
    const first = await granted()
    await nodeOf(first).renew('demo', 1)
    await nodeOf(first).leave()
    const second = await granted({ connection: newcomer })
    expect(second.epoch).toBe(2)
    expect(await granted({ attempt: 2, away: holderOf(first) })).toMatchObject(holderOf(second))
    await nodeOf(second).renew('demo', 2)
    expect(await refused({ connection: newcomer, attempt: 1 })).toHaveProperty('ticket')
  })

  test('is let in with the first renewal that can name it, and who waited before it still may be', async () => {
    const first = await granted()
    await nodeOf(first).renew('demo', 1)
    await granted({ connection: newcomer })
    const waited = fixture.nonces.get('demo')!
    const third = 'connection-of-three'
    await granted({ connection: third })
    await nodeOf(first).renew('demo', 1)
    expect(await routes()).toMatchObject([{ connection: third }])
    await nodeOf(first).renew('demo', 1, { nonce: waited })
    expect(await routes()).toMatchObject([{ connection: newcomer }])
    expect(await refused({ connection: third, attempt: 2 })).toMatchObject({
      code: 'already-publishing',
    })
  })
})

test('nodes are told who has the stream, and what they need to follow it', async () => {
  const grant = await granted()
  await nodeOf(grant).renew('demo', 1, { takes: 2 })
  const ticket = await fixture.auth.verifyTicket(grant.ticket)
  expect(await routes()).toEqual([
    {
      liveId: 'demo',
      broadcastId: grant.broadcastId,
      broadcastTag: ticket!.broadcastTag,
      startedAt: ticket!.broadcastStartedAt,
      takes: 2,
      epoch: 1,
      instance: grant.instance,
      connection,
      home: 'gw-1',
      transcoder: { id: grant.transcoder.id, url: grant.transcoder.url },
    },
  ])
})
