import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ChannelStatus } from '../../common/contract/channel.ts'
import type { RecordingReport } from '../../common/contract/placement.ts'
import { CoordinatorFixture, type FakeNode } from './coordinator-fixture.ts'

let fixture: CoordinatorFixture
let gateway: FakeNode
let transcoder: FakeNode
let broadcastId: string

beforeEach(async () => {
  fixture = await CoordinatorFixture.start()
  gateway = await fixture.node('gw-1', 'gateway')
  transcoder = await fixture.node('tc-1', 'transcoder')
  const key = await fixture.channel('demo', { title: 'First show' })
  broadcastId = (await gateway.granted(key)).broadcastId
  await transcoder.renew('demo', 1)
})

afterEach(async () => {
  await fixture[Symbol.asyncDispose]()
})

const report = (node: FakeNode, more: Partial<RecordingReport> = {}): RecordingReport => ({
  liveId: 'demo',
  broadcastId,
  transcoder: node.id,
  startedAt: fixture.clock.now(),
  durationMs: 60_000,
  sizeBytes: 1_000,
  renditions: [],
  ...more,
})
const put = (node: FakeNode, id: string, more: Partial<RecordingReport> = {}) =>
  node.call('PUT', `/recordings/${id}`, report(node, more))
const replayId = async () =>
  (await gateway.call<ChannelStatus>('GET', '/channels/demo/status')).body.replayId

test('a replay is offered when the show has ended, not while it runs', async () => {
  const id = randomUUID()
  expect((await put(transcoder, id)).status).toBe(204)
  expect(await replayId()).toBeNull()
  await transcoder.release('demo', 1, 'publisher-left')
  expect(await replayId()).toBe(id)
})

test('a part that was kept before the show went on is not listed', async () => {
  const list = () => fixture.api<{ recordings: object[] }>('GET', '/recordings')
  await put(transcoder, randomUUID())
  expect((await list()).recordings).toEqual([])
  await transcoder.release('demo', 1, 'publisher-left')
  expect((await list()).recordings).toHaveLength(1)
})

test('a gateway is told where a replay is, also while the transcoder is away', async () => {
  const id = randomUUID()
  await put(transcoder, id)
  const where = () => gateway.call('GET', `/recordings/${id}`)
  expect((await where()).body).toEqual({ id, transcoder: { id: 'tc-1', url: 'http://tc-1.test' } })
  await transcoder.leave()
  expect((await where()).body).toEqual({ id, transcoder: { id: 'tc-1', url: null } })
})

test('a deleted one is hidden at once, and gone when the transcoder has deleted the files', async () => {
  const id = randomUUID()
  await put(transcoder, id)
  expect((await fixture.call('DELETE', `/api/v1/recordings/${id}`)).status).toBe(204)
  expect((await gateway.call('GET', `/recordings/${id}`)).status).toBe(404)
  // Caches would play on what they have.
  expect(JSON.parse(await fixture.snapshot()).purges).toMatchObject([{ prefix: `/replay/${id}/` }])
  expect((await put(transcoder, id)).status).toBe(410)
  expect((await transcoder.beat()).body).toMatchObject({ recordingsToDelete: [id] })
  expect((await gateway.beat()).body).toMatchObject({ recordingsToDelete: [] })
  expect((await transcoder.call('DELETE', `/recordings/${id}`)).status).toBe(204)
  expect((await transcoder.beat()).body).toMatchObject({ recordingsToDelete: [] })
})

test('of two parts of one broadcast the longer one is the replay', async () => {
  const other = await fixture.node('tc-2', 'transcoder')
  const id = randomUUID()
  await put(transcoder, id, { durationMs: 60_000 })
  expect((await put(other, id, { durationMs: 30_000 })).status).toBe(409)
  expect((await put(other, id, { durationMs: 90_000 })).status).toBe(204)
  const { body } = await gateway.call('GET', `/recordings/${id}`)
  expect(body).toMatchObject({ transcoder: { id: 'tc-2' } })
})

test('a transcoder reports and deletes only its own', async () => {
  const other = await fixture.node('tc-2', 'transcoder')
  const id = randomUUID()
  await put(transcoder, id)
  expect((await other.call('PUT', `/recordings/${id}`, report(transcoder))).status).toBe(403)
  expect((await other.call('DELETE', `/recordings/${id}`)).status).toBe(404)
})

test('bears the title of its show, or the one that the channel sets for replays', async () => {
  await put(transcoder, randomUUID())
  await fixture.api('PATCH', '/channels/demo', { replayTitle: 'Best of' })
  await fixture.clock.advance(1)
  await put(transcoder, randomUUID())
  await transcoder.release('demo', 1, 'publisher-left')
  const { recordings } = await fixture.api<{ recordings: object[] }>(
    'GET',
    '/recordings?liveId=demo',
  )
  expect(recordings).toMatchObject([{ title: 'Best of' }, { title: 'First show' }])
})

test.each([
  ['keep', 1],
  ['delete', 0],
])('deleting the channel with recordings=%s leaves %i', async (choice, left) => {
  await put(transcoder, randomUUID())
  await fixture.api('DELETE', `/channels/demo?recordings=${choice}`)
  const { recordings } = await fixture.api<{ recordings: object[] }>('GET', '/recordings')
  expect(recordings).toHaveLength(left)
})
