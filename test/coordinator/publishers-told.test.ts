// What the coordinator keeps of publishers that did not go live: refusals by channel, bandwidth tests.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { BandwidthReport } from '../../common/contract/bandwidth-test.ts'
import type { RefusalReport } from '../../common/contract/refusal-report.ts'
import { digestOf } from '../../coordinator/stream-key.ts'
import { CoordinatorFixture, type FakeNode } from './coordinator-fixture.ts'

let fixture: CoordinatorFixture
let edge: FakeNode
let gateway: FakeNode
let streamKey: string

beforeEach(async () => {
  fixture = await CoordinatorFixture.start()
  edge = await fixture.node('pop-1', 'edge')
  gateway = await fixture.node('gw-1', 'gateway')
  streamKey = await fixture.channel('show')
})

afterEach(() => fixture[Symbol.asyncDispose]())

describe('refusals of a channel', () => {
  type Told = Partial<RefusalReport['refusals'][number]>
  const tell = (node: FakeNode, ...told: Told[]) =>
    node.call('POST', '/refusals', {
      refusals: told.map((one) => ({
        keyDigest: digestOf(streamKey),
        code: 'node-full',
        message: 'Full.',
        count: 1,
        ageMs: 0,
        ...one,
      })),
    })
  const list = async () =>
    (await fixture.api<{ refusals: unknown[] }>('GET', '/channels/show/refusals')).refusals

  test('are added up by reason, the latest first', async () => {
    const at = (ms: number) => new Date(fixture.clock.now() + ms).toISOString()
    const startedAt = at(0)
    await tell(edge, { count: 3, ageMs: 1_000 }, { code: 'codec-unsupported', ageMs: 500 })
    fixture.clock.stepWall(60_000)
    await tell(gateway, { message: 'Full again.', count: 2 })
    expect(await list()).toEqual([
      {
        ...{ code: 'node-full', message: 'Full again.', count: 5, node: 'gw-1' },
        firstAt: new Date(Date.parse(startedAt) - 1_000).toISOString(),
        lastAt: at(0),
      },
      expect.objectContaining({ code: 'codec-unsupported', count: 1, node: 'pop-1' }),
    ])
  })

  test('are found by any key that the channel ever had, and of no other channel', async () => {
    const { streamKey: next } = await fixture.api<{ streamKey: string }>(
      'POST',
      '/channels/show/keys/rotate',
      {},
    )
    await fixture.channel('other')
    await tell(edge, { code: 'key-revoked', ageMs: 1 }, { keyDigest: digestOf(next) })
    await tell(edge, { keyDigest: digestOf('nobody') })
    expect(await list()).toMatchObject([{ code: 'node-full' }, { code: 'key-revoked' }])
    expect(await fixture.api('GET', '/channels/other/refusals')).toEqual({ refusals: [] })
    expect((await fixture.call('GET', '/api/v1/channels/nobody/refusals')).status).toBe(404)
  })

  test('age within a day, and are counted anew then', async () => {
    await tell(edge, { count: 7 })
    fixture.clock.stepWall(24 * 60 * 60_000)
    expect(await list()).toEqual([])
    await tell(edge, {})
    expect(await list()).toMatchObject([{ count: 1 }])
  })

  test('are taken from edges and gateways alone', async () => {
    const transcoder = await fixture.node('tc-1', 'transcoder')
    expect((await tell(transcoder, {})).status).toBe(403)
    expect((await tell(edge, { code: 'no-such-code' as 'node-full' })).status).toBe(400)
    expect((await tell(edge, {})).status).toBe(204)
  })
})

describe('a bandwidth test', () => {
  const measure: BandwidthReport['measure'] = {
    durationMs: 12_000,
    bytes: 6_000_000,
    medianBitsPerSecond: 4_000_000,
    lowestBitsPerSecond: 3_500_000,
    stalls: 0,
    longestStallMs: 0,
  }
  const begin = (key = streamKey, pop: string | null = 'pop-1') => {
    const { connection, keyDigest, clientAddress } = gateway.publishRequest(key)
    const request = { connection, keyDigest, clientAddress, gateway: 'gw-1', pop }
    return gateway
      .call<{ liveId: string; code?: string }>('POST', '/bandwidth-tests', request)
      .then(({ status, body }) => ({ status, body, id: connection }))
  }
  const report = (node: FakeNode, id: string, end: BandwidthReport['end'] = 'left') =>
    node.call('PUT', `/bandwidth-tests/${id}`, { end, measure })
  const read = (id: string) => fixture.api('GET', `/bandwidth-tests/${id}`)

  test('is told by its POP and its gateway, and makes nothing live', async () => {
    await fixture.node('tc-1', 'transcoder')
    const { id, body } = await begin()
    expect(body).toEqual({ liveId: 'show' })
    expect(await read(id)).toMatchObject({ state: 'running', end: null, atPop: null })
    expect((await report(gateway, id)).status).toBe(204)
    expect(await read(id)).toMatchObject({ state: 'running', atGateway: measure })
    await report(edge, id, 'time-limit')
    expect(await read(id)).toEqual({
      ...{ id, liveId: 'show', state: 'done', end: 'time-limit', clientAddress: '192.0.2.7' },
      startedAt: new Date(fixture.clock.now()).toISOString(),
      ...{ pop: { id: 'pop-1' }, gateway: { id: 'gw-1' }, atPop: measure, atGateway: measure },
    })
    expect(await fixture.api('GET', '/streams')).toEqual({ streams: [] })
    expect(await fixture.api('GET', '/broadcasts')).toEqual({ broadcasts: [] })
    expect(await fixture.coordinator.leaseStore.epochOf('show')).toBe(0)
    expect(JSON.parse(await fixture.snapshot()).routes).toEqual([])
  })

  test('without a POP is over when its gateway says so', async () => {
    const { id } = await begin(streamKey, null)
    await report(gateway, id)
    expect(await read(id)).toMatchObject({ state: 'done', pop: null, atPop: null })
  })

  test('needs a key that may publish', async () => {
    expect(await begin('nc_wrong')).toMatchObject({ status: 403, body: { code: 'key-unknown' } })
    await fixture.api('POST', '/channels/show/ban')
    expect(await begin()).toMatchObject({ status: 403, body: { code: 'channel-banned' } })
    expect(await fixture.api('GET', '/bandwidth-tests?liveId=show')).toEqual({ bandwidthTests: [] })
  })

  test('is believed of nobody who is not on its way', async () => {
    const stranger = await fixture.node('pop-2', 'edge')
    const { id } = await begin()
    expect((await report(stranger, id)).status).toBe(404)
    expect((await report(edge, 'x'.repeat(16))).status).toBe(404)
    expect(await read(id)).toMatchObject({ state: 'running' })
  })

  test('that nobody tells of is lost; ten of a channel are kept, for a day', async () => {
    const { id } = await begin()
    fixture.clock.stepWall(90_001)
    expect(await read(id)).toMatchObject({ state: 'lost' })
    const ids = []
    for (let i = 0; i < 10; i++) ids.push((await begin()).id)
    const list = () =>
      fixture.api<{ bandwidthTests: { id: string }[] }>('GET', '/bandwidth-tests?liveId=show')
    expect((await list()).bandwidthTests.map((test) => test.id)).toEqual(ids.toReversed())
    expect((await fixture.call('GET', `/api/v1/bandwidth-tests/${id}`)).status).toBe(404)
    fixture.clock.stepWall(24 * 60 * 60_000)
    expect((await list()).bandwidthTests).toEqual([])
  })
})
