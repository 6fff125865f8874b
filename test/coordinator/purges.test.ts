// Purges of all caches: who is told when, what is believed done, and what becomes of those that come late.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ClusterSnapshot } from '../../common/contract/membership.ts'
import type { PurgeOrder } from '../../common/contract/purge.ts'
import type { PurgeView } from '../../coordinator/api/schemas.ts'
import { type Answer, CoordinatorFixture, type FakeNode } from './coordinator-fixture.ts'

let fixture: CoordinatorFixture
let orders: PurgeOrder[]

beforeEach(async () => {
  fixture = await CoordinatorFixture.start()
  orders = []
  fixture.coordinator.parts('', '').snapshotFeed.follow((text) => {
    orders = (JSON.parse(text) as ClusterSnapshot).purges ?? []
  })
})
afterEach(() => fixture[Symbol.asyncDispose]())

const passes = () => orders.at(-1)?.passes

async function ask(target: object): Promise<{ answer: Promise<Answer<PurgeView>> }> {
  const answer = fixture.call<PurgeView>('POST', '/api/v1/purges', target)
  await fixture.clock.advance(0)
  return { answer }
}

async function report(node: FakeNode, purged: number): Promise<void> {
  const { id, passes } = orders.at(-1)!
  const pass = passes[node.role as 'edge' | 'gateway']
  const { status } = await node.call('POST', `/purges/${id}/done`, { pass, purged })
  expect(status).toBe(204)
  await fixture.clock.advance(0)
}

describe('a purge', () => {
  test('goes to the gateway, then to the edges, and tells how much each has dropped', async () => {
    const gateway = await fixture.node('gw-1', 'gateway')
    const edges = [await fixture.node('pop-1', 'edge'), await fixture.node('pop-2', 'edge')]
    await fixture.node('tc-1', 'transcoder')
    const { answer } = await ask({ liveId: 'demo' })
    expect(orders).toMatchObject([{ prefix: '/live/demo/', passes: { gateway: 1, edge: 0 } }])
    await report(gateway, 7)
    expect(passes()).toEqual({ gateway: 1, edge: 1 })
    for (const edge of edges) await report(edge, 3)
    expect((await answer).body).toMatchObject({
      prefix: '/live/demo/',
      complete: true,
      milliseconds: 0,
      nodes: [
        { id: 'gw-1', role: 'gateway', outcome: 'purged', objects: 7 },
        { id: 'pop-1', role: 'edge', outcome: 'purged', objects: 3 },
        { id: 'pop-2', role: 'edge', outcome: 'purged', objects: 3 },
      ],
    })
  })

  test('is not done while a worker of an edge is late, which is named', async () => {
    const edge = await fixture.node('pop-1', 'edge')
    const { answer } = await ask({ liveId: 'demo' })
    const path = `/purges/${orders[0]!.id}/done`
    const late = await edge.call('POST', path, { pass: 0, purged: 3, late: [2] })
    expect(late.status).toBe(204)
    await fixture.clock.advance(900)
    const first = (await answer).body
    expect(first).toMatchObject({
      complete: false,
      nodes: [{ id: 'pop-1', outcome: 'not-reached', objects: 3, lateWorkers: [2] }],
    })
    await report(edge, 4)
    const now = await fixture.api<PurgeView>('GET', `/purges/${first.id}`)
    expect(now.complete).toBe(true)
    expect(now.nodes).toEqual([{ id: 'pop-1', role: 'edge', outcome: 'purged', objects: 4 }])
  })

  test('goes to several gateways twice, since they fetch from each other', async () => {
    const gateways = [await fixture.node('gw-1', 'gateway'), await fixture.node('gw-2', 'gateway')]
    await ask({ liveId: 'demo' })
    await report(gateways[0]!, 1)
    expect(passes()).toEqual({ gateway: 1, edge: 0 })
    await report(gateways[1]!, 1)
    expect(passes()).toEqual({ gateway: 2, edge: 0 })
    for (const gateway of gateways) await report(gateway, 1)
    expect(passes()).toEqual({ gateway: 2, edge: 1 })
  })

  test('does not wait for who says nothing, and names it; it is in order when that one is back', async () => {
    const gateway = await fixture.node('gw-1', 'gateway')
    const edge = await fixture.node('pop-1', 'edge')
    const { answer } = await ask({ liveId: 'demo' })
    await fixture.clock.advance(350)
    expect(passes()).toEqual({ gateway: 1, edge: 1 })
    await report(edge, 2)
    const first = (await answer).body
    expect(first).toMatchObject({
      complete: false,
      nodes: [
        { id: 'gw-1', outcome: 'not-reached' },
        { id: 'pop-1', outcome: 'purged' },
      ],
    })
    // The edge may have got the old object from this gateway meanwhile.
    await report(gateway, 5)
    expect(passes()).toEqual({ gateway: 2, edge: 1 })
    await report(gateway, 5)
    expect(passes()).toEqual({ gateway: 2, edge: 2 })
    await report(edge, 4)
    const now = await fixture.api<PurgeView>('GET', `/purges/${first.id}`)
    expect(now).toMatchObject({ complete: true, nodes: [{ objects: 5 }, { objects: 4 }] })
  })

  test('answers within a second when nobody does', async () => {
    await fixture.node('gw-1', 'gateway')
    await fixture.node('gw-2', 'gateway')
    await fixture.node('pop-1', 'edge')
    const { answer } = await ask({ liveId: 'demo' })
    await fixture.clock.advance(900)
    expect((await answer).body).toMatchObject({ complete: false, milliseconds: 900 })
  })

  test('names an edge that is cut off, which may still serve viewers', async () => {
    await fixture.node('pop-1', 'edge')
    await fixture.clock.advance(10_000)
    const { answer } = await ask({ liveId: 'demo' })
    expect((await answer).body).toMatchObject({
      complete: false,
      nodes: [{ id: 'pop-1', outcome: 'away', objects: 0 }],
    })
  })

  test('is not done by the word of a process that has been replaced', async () => {
    const edge = await fixture.node('pop-1', 'edge')
    const { answer } = await ask({ liveId: 'demo' })
    await report(edge, 1)
    const { id } = (await answer).body
    await edge.restart()
    expect(await fixture.api('GET', `/purges/${id}`)).toMatchObject({ complete: false })
    await report(edge, 0)
    expect(await fixture.api('GET', `/purges/${id}`)).toMatchObject({ complete: true })
  })

  test('stands in the snapshot for ten minutes', async () => {
    await (await ask({ liveId: 'demo' })).answer
    await fixture.clock.advance(599_000)
    expect(JSON.parse(await fixture.snapshot()).purges).toHaveLength(1)
    await fixture.clock.advance(2_000)
    expect(JSON.parse(await fixture.snapshot()).purges).toBeUndefined()
  })

  test('of a recording is one of its folder', async () => {
    const id = crypto.randomUUID()
    await (await ask({ recordingId: id })).answer
    expect(orders).toMatchObject([{ prefix: `/replay/${id}/` }])
  })

  test('is answered for by edges and gateways alone', async () => {
    await fixture.node('pop-1', 'edge')
    await ask({ liveId: 'demo' })
    const transcoder = await fixture.node('tc-1', 'transcoder')
    const path = `/purges/${orders[0]!.id}/done`
    expect((await transcoder.call('POST', path, { pass: 1, purged: 0 })).status).toBe(403)
  })
})

describe('what is purged by a URL', () => {
  test.each([
    [
      'https://pop-1.example.com/live/demo/720p.m3u8?_HLS_msn=4&token=x#top',
      '/live/demo/720p.m3u8',
    ],
    ['/live/demo/abcdef12-1/720p/7.m4s', '/live/demo/abcdef12-1/720p/7.m4s'],
    ['/t/abc.def/live/demo/index.m3u8', '/live/demo/index.m3u8'],
    ['https://pop-1.example.com/live/demo/', '/live/demo/'],
    ['/live/demo', '/live/demo/'],
  ])('%s is %s', async (url, prefix) => {
    expect((await (await ask({ url })).answer).body).toMatchObject({ prefix })
  })

  test.each([
    [{ url: '/' }, 'Media is below'],
    [{ url: '/live/Demo/index.m3u8' }, '"Demo" is no live id'],
    [{ url: '/live/demo/%69ndex.m3u8' }, 'percent-encoded'],
    [{ url: '/live/demo/../other/index.m3u8' }, 'dots'],
    [{}, 'needs one of url, liveId and recordingId'],
    [{ liveId: 'demo', url: '/live/demo/' }, 'needs one of url'],
  ])('%j is refused with the reason', async (target, reason) => {
    const { status, body } = await (await ask(target)).answer
    expect(status).toBe(400)
    expect(body).toMatchObject({ detail: expect.stringContaining(reason) })
    expect(orders).toEqual([])
  })
})
