import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { StreamView } from '../../coordinator/api/schemas.ts'
import { CoordinatorFixture, type FakeNode } from './coordinator-fixture.ts'

let fixture: CoordinatorFixture
let transcoder: FakeNode
let gateway: FakeNode
let edges: FakeNode[]

beforeEach(async () => {
  fixture = await CoordinatorFixture.start()
  gateway = await fixture.node('gw-1', 'gateway')
  transcoder = await fixture.node('tc-1', 'transcoder')
  edges = [await fixture.node('pop-1', 'edge'), await fixture.node('pop-2', 'edge')]
  await gateway.granted(await fixture.channel('demo'))
  await transcoder.renew('demo', 1)
})

afterEach(async () => {
  await fixture[Symbol.asyncDispose]()
})

/** The edge tells its count and everybody beats until it is stored. */
async function tell(edge: FakeNode, current: number, total: number): Promise<void> {
  edge.settings.viewers = [{ liveId: 'demo', current, total }]
  for (const node of [gateway, transcoder, ...edges]) await node.beat()
  await transcoder.renew('demo', 1)
  await fixture.clock.advance(1_000)
}

const counts = async () => {
  const { viewers, peakViewers, totalViewers } = await fixture.api<StreamView>(
    'GET',
    '/streams/demo',
  )
  return { viewers, peakViewers, totalViewers }
}

test('viewers are the sum over the edges; the peak and the total stay', async () => {
  await tell(edges[0]!, 3, 3)
  await tell(edges[1]!, 2, 2)
  expect(await counts()).toEqual({ viewers: 5, peakViewers: 5, totalViewers: 5 })
  await tell(edges[0]!, 1, 4)
  expect(await counts()).toEqual({ viewers: 3, peakViewers: 5, totalViewers: 6 })
  const { views } = await fixture.api<{ views: number }>('GET', '/channels/demo')
  expect(views).toBe(6)
})

test('an edge that starts anew counts from nothing, one that stays is not counted twice', async () => {
  await tell(edges[0]!, 3, 3)
  await tell(edges[0]!, 3, 3)
  edges[0]!.instance = randomUUID()
  await tell(edges[0]!, 1, 1)
  expect(await counts()).toMatchObject({ viewers: 1, totalViewers: 4 })
})

test('a restart of the coordinator counts nobody again', async () => {
  await tell(edges[0]!, 3, 3)
  await fixture.restart()
  await tell(edges[0]!, 3, 3)
  await tell(edges[0]!, 4, 4)
  expect(await counts()).toEqual({ viewers: 4, peakViewers: 4, totalViewers: 4 })
})

test('an edge that is gone has no viewers', async () => {
  await tell(edges[0]!, 3, 3)
  await edges[0]!.leave()
  await fixture.clock.advance(1_000)
  expect(await counts()).toMatchObject({ viewers: 0, peakViewers: 3 })
})

test('the numbers of a broadcast are kept when it has ended', async () => {
  await tell(edges[0]!, 3, 7)
  await transcoder.release('demo', 1, 'publisher-left')
  const { broadcasts } = await fixture.api<{ broadcasts: object[] }>('GET', '/broadcasts')
  expect(broadcasts).toMatchObject([{ currentViewers: 0, peakViewers: 3, totalViewers: 7 }])
})
