import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { CoordinatorFixture, type FakeNode } from './coordinator-fixture.ts'

let fixture: CoordinatorFixture

beforeEach(async () => {
  fixture = await CoordinatorFixture.start()
})

afterEach(async () => {
  await fixture[Symbol.asyncDispose]()
})

const healthOf = async (id: string) => {
  const { nodes } = await fixture.api<{ nodes: { id: string; health: string }[] }>('GET', '/nodes')
  return nodes.find((node) => node.id === id)?.health
}

async function pass(ms: number, ...beating: FakeNode[]): Promise<void> {
  for (let passed = 0; passed < ms; passed += 1_000) {
    for (const node of beating) await node.beat()
    await fixture.clock.advance(1_000)
  }
}

test('a node is late, then gone after three missed heartbeats, then forgotten', async () => {
  await fixture.node('pop-1', 'edge')
  expect(await healthOf('pop-1')).toBe('ok')
  await pass(4_000)
  expect(await healthOf('pop-1')).toBe('late')
  await pass(4_000)
  expect(await healthOf('pop-1')).toBe('gone')
  await pass(11 * 60_000)
  expect(await healthOf('pop-1')).toBeUndefined()
})

test('a node that says goodbye has left, and is ok when it comes back', async () => {
  const node = await fixture.node('pop-1', 'edge')
  await node.leave()
  expect(await healthOf('pop-1')).toBe('left')
  await node.beat()
  expect(await healthOf('pop-1')).toBe('ok')
})

test('of two processes with one id the newer stays and the older is told', async () => {
  const older = await fixture.node('pop-1', 'edge')
  const newer = await fixture.node('pop-1', 'edge')
  expect(await older.beat()).toMatchObject({ status: 409 })
  expect((await newer.beat()).status).toBe(200)
  await pass(8_000)
  expect((await older.beat()).status).toBe(200)
})

test('an id does not change its role while the node is here', async () => {
  await fixture.node('n-1', 'edge')
  const other = await fixture.node('n-1', 'gateway')
  expect((await other.beat()).status).toBe(409)
})

test.each<[string, (node: FakeNode) => Promise<{ status: number }>]>([
  ['another id', (node) => node.call('PUT', '/nodes/pop-2', node.heartbeat())],
  [
    'another role',
    (node) => node.call('PUT', '/nodes/pop-1', { ...node.heartbeat(), role: 'gateway' }),
  ],
  ['the goodbye of another', (node) => node.call('DELETE', '/nodes/pop-2')],
])('a node may not speak for %s', async (_name, call) => {
  const node = await fixture.node('pop-1', 'edge')
  expect((await call(node)).status).toBe(403)
})

test.each([
  ['no token', undefined],
  ['the admin token', `nct_${'t'.repeat(32)}`],
  ['nonsense', 'x.y.z'],
])('with %s nothing internal is answered', async (_name, token) => {
  for (const [method, path] of [
    ['PUT', '/internal/v1/nodes/pop-1'],
    ['POST', '/internal/v1/publishes'],
    ['GET', '/internal/v1/events'],
    ['GET', '/internal/v1/channels/demo/status'],
  ] as const) {
    const body = method === 'GET' ? undefined : {}
    expect((await fixture.fetch(method, path, token, body)).status).toBe(401)
  }
})

test('a heartbeat that is no heartbeat is told what is wrong', async () => {
  const node = await fixture.node('pop-1', 'edge')
  const answer = await node.call<{ detail: string }>('PUT', '/nodes/pop-1', {
    ...node.heartbeat(),
    instance: randomUUID(),
    weight: -1,
  })
  expect(answer.status).toBe(400)
  expect(answer.body.detail).toContain('body.weight')
})

test('nodes of before a restart are here until they miss their heartbeats', async () => {
  await fixture.node('pop-1', 'edge')
  await fixture.restart()
  expect(await healthOf('pop-1')).toBe('ok')
  await pass(8_000)
  expect(await healthOf('pop-1')).toBe('gone')
})
