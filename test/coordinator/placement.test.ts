import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ChannelStatus } from '../../common/contract/channel.ts'
import type { PublishGrant } from '../../common/contract/placement.ts'
import { CoordinatorFixture, type FakeNode } from './coordinator-fixture.ts'

let fixture: CoordinatorFixture
let gateway: FakeNode
let key: string

beforeEach(async () => {
  fixture = await CoordinatorFixture.start()
  gateway = await fixture.node('gw-1', 'gateway')
  key = await fixture.channel('demo')
})

afterEach(async () => {
  await fixture[Symbol.asyncDispose]()
})

const statusOf = async (liveId: string) =>
  (await gateway.call<ChannelStatus>('GET', `/channels/${liveId}/status`)).body

/** Turns time while these nodes keep beating and their streams are renewed. */
async function live(ms: number, nodes: FakeNode[], renew: () => Promise<unknown> = async () => {}) {
  for (let passed = 0; passed < ms; passed += 2_000) {
    for (const node of nodes) await node.beat()
    await renew()
    await fixture.clock.advance(2_000)
  }
}

describe('a publish', () => {
  test('is placed on a transcoder, with a ticket that opens just that process', async () => {
    const transcoder = await fixture.node('tc-1', 'transcoder')
    const grant = await gateway.granted(key, 'pop-1')
    expect(grant).toMatchObject({
      liveId: 'demo',
      epoch: 1,
      transcoder: { id: 'tc-1', rtmp: 'rtmp://tc-1.test/live', url: 'http://tc-1.test' },
    })
    expect(await fixture.auth.verifyTicket(grant.ticket)).toMatchObject({
      liveId: 'demo',
      broadcastId: grant.broadcastId,
      epoch: 1,
      transcoder: 'tc-1',
      instance: transcoder.instance,
      record: true,
      takes: 0,
    })
  })

  test.each<[string, () => Promise<string>, string, number]>([
    ['an unknown key', async () => 'nc_nobody', 'key-unknown', 403],
    [
      'a revoked key',
      async () => {
        const { keys } = await fixture.api<{ keys: { id: string }[] }>('GET', '/channels/demo/keys')
        await fixture.api('POST', `/channels/demo/keys/${keys[0]!.id}/revoke`)
        return key
      },
      'key-revoked',
      403,
    ],
    [
      'an expired key',
      async () => {
        const expiresAt = new Date(fixture.clock.now() + 1_000).toISOString()
        const made = await fixture.api<{ streamKey: string }>('POST', '/channels/demo/keys', {
          expiresAt,
        })
        await fixture.clock.advance(1_000)
        return made.streamKey
      },
      'key-expired',
      403,
    ],
  ])('with %s is refused with the reason', async (_name, streamKey, code) => {
    await fixture.node('tc-1', 'transcoder')
    expect(await gateway.publish(await streamKey())).toMatchObject({ code })
  })

  test('finds no transcoder where none is here, is draining or has weight 0', async () => {
    expect(await gateway.publish(key)).toMatchObject({ code: 'no-transcoder' })
    await fixture.node('tc-1', 'transcoder', { draining: true })
    await fixture.node('tc-2', 'transcoder', { weight: 0 })
    expect(await gateway.publish(key)).toMatchObject({ code: 'no-transcoder' })
  })

  test('of many channels at once spreads within the bound', async () => {
    for (const id of ['tc-1', 'tc-2', 'tc-3', 'tc-4']) await fixture.node(id, 'transcoder')
    const keys = await Promise.all(
      Array.from({ length: 20 }, (_, i) => fixture.channel(`channel-${i}`)),
    )
    const grants = await Promise.all(keys.map((streamKey) => gateway.granted(streamKey)))
    const perNode = Object.groupBy(grants, (grant) => grant.transcoder.id)
    const counts = Object.values(perNode).map((list) => list!.length)
    expect(Math.max(...counts)).toBeLessThanOrEqual(Math.ceil((1.25 * 20) / 4))
  })

  test('only a gateway may ask for, and only in its own name', async () => {
    await fixture.node('tc-1', 'transcoder')
    const edge = await fixture.node('pop-1', 'edge')
    expect(await edge.publish(key)).toMatchObject({ status: 403 })
  })
})

describe('a second publish of a channel', () => {
  test('keeps transcoder, epoch and broadcast while the process lives, and the newest wins', async () => {
    const transcoder = await fixture.node('tc-1', 'transcoder')
    const first = await gateway.granted(key)
    await transcoder.renew('demo', 1)
    const second = await gateway.granted(key)
    expect(second).toMatchObject({ epoch: 1, broadcastId: first.broadcastId })
    const [one, two] = await Promise.all(
      [first, second].map((grant) => fixture.auth.verifyTicket(grant.ticket)),
    )
    expect(two!.nonce).not.toBe(one!.nonce)
    expect(two!.takes).toBe(1)
  })

  test('comes back to the same transcoder within the hold, also when others have joined', async () => {
    const transcoder = await fixture.node('tc-1', 'transcoder')
    const first = await gateway.granted(key)
    const others: FakeNode[] = []
    for (let i = 2; i < 12; i++) others.push(await fixture.node(`tc-${i}`, 'transcoder'))
    await live(20_000, [gateway, transcoder, ...others], () =>
      transcoder.renew('demo', 1, { state: 'held' }),
    )
    expect(await statusOf('demo')).toMatchObject({ state: 'held', broadcastId: first.broadcastId })
    const second = await gateway.granted(key)
    expect(second).toMatchObject({
      epoch: 1,
      broadcastId: first.broadcastId,
      transcoder: { id: 'tc-1' },
    })
  })

  test.each<[string, (holder: FakeNode) => Promise<unknown>]>([
    ['has started anew', (holder) => holder.restart()],
    ['has left', (holder) => holder.leave()],
    [
      'has missed three heartbeats',
      async () => {
        for (let i = 0; i < 4; i++) {
          await fixture.clock.advance(2_000)
          await gateway.beat()
        }
      },
    ],
    [
      'is draining',
      (holder) => {
        holder.settings.draining = true
        return holder.beat()
      },
    ],
  ])('is placed anew, one epoch higher, when its transcoder %s', async (_name, change) => {
    const transcoder = await fixture.node('tc-1', 'transcoder')
    const first = await gateway.granted(key)
    await transcoder.renew('demo', 1)
    const before = transcoder.instance
    await change(transcoder)
    const spare = await fixture.node('tc-2', 'transcoder')
    const second = await gateway.granted(key)
    expect(second).toMatchObject({ epoch: 2, broadcastId: first.broadcastId })
    if (second.transcoder.id === 'tc-2') {
      expect((await spare.renew('demo', 2)).body).toMatchObject({ outcome: 'held', epoch: 2 })
    }
    const late = await transcoder.renew('demo', 1, { instance: before })
    expect(late).toMatchObject({ status: 409, body: { outcome: 'lost', epoch: 2 } })
  })

  test('fences the transcoder that had it before', async () => {
    const transcoder = await fixture.node('tc-1', 'transcoder')
    await gateway.granted(key)
    await transcoder.renew('demo', 1)
    transcoder.settings.draining = true
    await transcoder.beat()
    await fixture.node('tc-2', 'transcoder')
    await gateway.granted(key)
    const answer = await transcoder.renew('demo', 1)
    expect(answer).toMatchObject({ status: 409, body: { outcome: 'lost', epoch: 2 } })
    expect((await transcoder.release('demo', 1, 'publisher-left')).status).toBe(409)
    expect(await statusOf('demo')).toMatchObject({ state: 'held' })
  })
})

describe('a renewal', () => {
  const outcome = async (answer: Promise<{ body: { outcome: string } }>) =>
    (await answer).body.outcome

  test('under an older epoch is lost, also for the process that has the newer one', async () => {
    const transcoder = await fixture.node('tc-1', 'transcoder')
    await gateway.granted(key)
    await transcoder.renew('demo', 1)
    await transcoder.release('demo', 1, 'publisher-left')
    await gateway.granted(key)
    expect(await outcome(transcoder.renew('demo', 1))).toBe('lost')
    expect(await outcome(transcoder.renew('demo', 2))).toBe('held')
  })

  test('by another process is lost, also under the same epoch', async () => {
    const transcoder = await fixture.node('tc-1', 'transcoder')
    await gateway.granted(key)
    const instance = crypto.randomUUID()
    expect(await outcome(transcoder.renew('demo', 1, { instance }))).toBe('lost')
    expect(await outcome(transcoder.renew('demo', 1))).toBe('held')
  })

  test('of what was never live is lost', async () => {
    const transcoder = await fixture.node('tc-1', 'transcoder')
    expect((await transcoder.renew('demo', 1)).body).toEqual({
      outcome: 'lost',
      epoch: 0,
      stop: false,
    })
  })

  test('measures the cost by which the next broadcast of the channel is placed', async () => {
    const transcoder = await fixture.node('tc-1', 'transcoder')
    const costs = async () => {
      const { streams } = await fixture.api<{ streams: { cost: number }[] }>('GET', '/ring')
      return streams.map(({ cost }) => cost)
    }
    await gateway.granted(key)
    await transcoder.renew('demo', 1, { cost: 0 })
    expect(await costs()).toEqual([1280 * 720 * 30])
    await transcoder.renew('demo', 1, { cost: 5_000 })
    await transcoder.release('demo', 1, 'publisher-left')
    await gateway.granted(key)
    expect(await costs()).toEqual([5_000])
  })
})

describe('a broadcast', () => {
  let transcoder: FakeNode
  let grant: PublishGrant

  beforeEach(async () => {
    transcoder = await fixture.node('tc-1', 'transcoder')
    grant = await gateway.granted(key)
  })

  const broadcasts = async () =>
    (await fixture.api<{ broadcasts: Record<string, unknown>[] }>('GET', '/broadcasts')).broadcasts

  test('is offline to viewers until the transcoder has confirmed it', async () => {
    expect(await statusOf('demo')).toMatchObject({ state: 'offline', broadcastId: null })
    await transcoder.renew('demo', 1)
    expect(await statusOf('demo')).toMatchObject({
      state: 'live',
      broadcastId: grant.broadcastId,
      takes: 1,
    })
  })

  test('ends with its reason when the transcoder gives it back', async () => {
    await transcoder.renew('demo', 1)
    expect((await transcoder.release('demo', 1, 'publisher-left')).body).toMatchObject({
      outcome: 'held',
    })
    expect(await statusOf('demo')).toMatchObject({ state: 'offline', broadcastId: null })
    expect(await broadcasts()).toMatchObject([
      { id: grant.broadcastId, endReason: 'publisher-left' },
    ])
    const next = await gateway.granted(key)
    expect(next.epoch).toBe(2)
    expect(next.broadcastId).not.toBe(grant.broadcastId)
  })

  test('goes on elsewhere when its transcoder stops or fails', async () => {
    await transcoder.renew('demo', 1)
    await transcoder.release('demo', 1, 'transcoder-failed')
    expect(await statusOf('demo')).toMatchObject({ state: 'held' })
    expect(await gateway.granted(key)).toMatchObject({ epoch: 2, broadcastId: grant.broadcastId })
  })

  test('ends when its transcoder is gone and nobody has come back within the hold', async () => {
    await transcoder.renew('demo', 1)
    await live(64_000, [gateway])
    expect(await statusOf('demo')).toMatchObject({ state: 'held' })
    await live(6_000, [gateway])
    expect(await statusOf('demo')).toMatchObject({ state: 'offline' })
    expect(await broadcasts()).toMatchObject([{ endReason: 'transcoder-lost' }])
  })

  test('that never began leaves nothing behind', async () => {
    await live(10_000, [gateway, transcoder])
    expect(await broadcasts()).toEqual([])
    expect((await gateway.granted(key)).epoch).toBe(2)
  })

  test('that was refused leaves nothing behind', async () => {
    await transcoder.renew('demo', 1, { takes: 0 })
    await transcoder.release('demo', 1, 'refused')
    expect(await broadcasts()).toEqual([])
  })

  test('is ended by the operator through the next renewal', async () => {
    await transcoder.renew('demo', 1)
    expect((await fixture.call('DELETE', '/api/v1/streams/demo')).status).toBe(202)
    expect((await transcoder.renew('demo', 1)).body).toMatchObject({ outcome: 'held', stop: true })
    await transcoder.release('demo', 1, 'stopped')
    expect((await fixture.call('DELETE', '/api/v1/streams/demo')).status).toBe(404)
  })

  test('is ended by the operator at once where no transcoder is left to tell', async () => {
    await transcoder.renew('demo', 1)
    await transcoder.leave()
    expect((await fixture.call('DELETE', '/api/v1/streams/demo')).status).toBe(202)
    expect(await broadcasts()).toMatchObject([{ endReason: 'stopped' }])
  })

  test('ends with its channel, and a channel of the same live id gets a higher epoch', async () => {
    await transcoder.renew('demo', 1)
    await fixture.api('DELETE', '/channels/demo')
    expect((await transcoder.renew('demo', 1)).body).toEqual({
      outcome: 'lost',
      epoch: 1,
      stop: false,
    })
    expect((await gateway.granted(await fixture.channel('demo'))).epoch).toBe(2)
  })
})

describe('a restart of the coordinator', () => {
  test('keeps nodes, channels, keys, epochs and live leases', async () => {
    const transcoder = await fixture.node('tc-1', 'transcoder')
    const first = await gateway.granted(key)
    await transcoder.renew('demo', 1)
    await fixture.restart()
    expect((await transcoder.renew('demo', 1)).body).toMatchObject({ outcome: 'held', epoch: 1 })
    expect(await gateway.granted(key)).toMatchObject({
      epoch: 1,
      broadcastId: first.broadcastId,
      transcoder: { id: 'tc-1' },
    })
  })

  test('after a long absence ends nothing that still runs', async () => {
    const transcoder = await fixture.node('tc-1', 'transcoder')
    await gateway.granted(key)
    await transcoder.renew('demo', 1)
    await fixture.coordinator[Symbol.asyncDispose]()
    fixture.clock.stepWall(10 * 60_000)
    await fixture.restart()
    await fixture.clock.advance(2_000)
    expect((await transcoder.renew('demo', 1)).body).toMatchObject({ outcome: 'held' })
    expect(await statusOf('demo')).toMatchObject({ state: 'live' })
  })
})

test('a machine that slept blames nobody for the silence', async () => {
  const transcoder = await fixture.node('tc-1', 'transcoder')
  await gateway.granted(key)
  await transcoder.renew('demo', 1)
  await fixture.coordinator[Symbol.asyncDispose]()
  const asleep = fixture.coordinator.membership
  await fixture.clock.advance(3_600_000)
  expect(await asleep.sweep()).toBe(true)
  expect(asleep.isAlive('tc-1', transcoder.instance)).toBe(true)
})
