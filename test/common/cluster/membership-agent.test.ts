// A node's tie to a real coordinator, over real sockets.
import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import { createClusterAuth } from '../../../common/cluster/cluster-auth.ts'
import { CoordinatorClient } from '../../../common/cluster/coordinator-client.ts'
import { MembershipAgent, snapshotFileName } from '../../../common/cluster/membership-agent.ts'
import { NodeHeartbeat } from '../../../common/cluster/node-heartbeat.ts'
import { type ClusterSnapshot, clusterSnapshotSchema } from '../../../common/contract/membership.ts'
import { silentLogger } from '../../../common/log.ts'
import type { RunningRole } from '../../../common/role-process.ts'
import { coordinatorConfigSchema } from '../../../config/schema.ts'
import { startCoordinator } from '../../../coordinator/coordinator-node.ts'

const secret = `ncs_${'s'.repeat(40)}`
const place = { region: null, latitude: null, longitude: null, weight: 1 }

let dir: string
let stack: AsyncDisposableStack

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nearcast-agent-'))
  stack = new AsyncDisposableStack()
  stack.defer(() => rm(dir, { recursive: true, force: true }))
})

afterEach(async () => {
  await stack.disposeAsync()
})

async function coordinator(port = 0): Promise<RunningRole & { url: string }> {
  const config = coordinatorConfigSchema.parse({
    role: 'coordinator',
    node: { id: 'coordinator' },
    dataDir: join(dir, 'coordinator'),
    cluster: { secret },
    listen: { port },
    admin: { port: 0 },
  })
  const role = await startCoordinator(
    {
      ...config,
      cluster: { secret },
      adminTokenFile: join(dir, 'coordinator', 'admin-token'),
    },
    silentLogger,
  )
  return Object.assign(role, { url: String(role.endpoints.url) })
}

function agent(url: string, id: string, clusterSecret = secret) {
  const client = stack.use(
    new CoordinatorClient({
      url,
      auth: createClusterAuth(clusterSecret),
      nodeId: id,
      role: 'edge',
      log: silentLogger,
    }),
  )
  const self = new NodeHeartbeat('edge', place, systemClock)
  const made = stack.use(
    new MembershipAgent({
      client,
      clock: systemClock,
      log: silentLogger,
      dataDir: join(dir, id),
      intervalMs: 200,
      heartbeat: () =>
        self.beat({ urls: {}, draining: false, streams: 0, bytesIn: 0, bytesOut: 0 }),
    }),
  )
  return { client, agent: made }
}

/** The first snapshot, now or later, that is as asked. */
function when(of: MembershipAgent, isSo: (snapshot: ClusterSnapshot) => boolean) {
  return new Promise<ClusterSnapshot>((resolve) => {
    if (of.known && isSo(of.snapshot)) return resolve(of.snapshot)
    const stop = of.onSnapshot((snapshot) => {
      if (!isSo(snapshot)) return
      stop()
      resolve(snapshot)
    })
  })
}

const has = (...ids: string[]) => {
  return ({ nodes }: ClusterSnapshot) => ids.every((id) => nodes.some((node) => node.id === id))
}

test('a node is told of itself and of others, and when they leave', async () => {
  const { url } = stack.use(await coordinator())
  const one = agent(url, 'pop-1')
  await one.agent.start()
  await when(one.agent, has('pop-1'))
  expect(one.agent.connected).toBe(true)
  const two = agent(url, 'pop-2')
  await two.agent.start()
  await Promise.all([when(one.agent, has('pop-2')), when(two.agent, has('pop-1', 'pop-2'))])
  await two.agent[Symbol.asyncDispose]()
  await when(one.agent, (snapshot) => !has('pop-2')(snapshot))
})

test('a process that hands over is replaced without having left', async () => {
  const { url } = stack.use(await coordinator())
  const witness = agent(url, 'pop-9')
  const former = agent(url, 'pop-1')
  await Promise.all([witness.agent.start(), former.agent.start()])
  await when(witness.agent, has('pop-1', 'pop-9'))
  const instances: (string | undefined)[] = []
  witness.agent.onSnapshot(({ nodes }) => {
    instances.push(nodes.find(({ id }) => id === 'pop-1')?.instance)
  })
  const next = agent(url, 'pop-1')
  await next.agent.follow()
  await when(next.agent, has('pop-1'))
  const before = next.agent.snapshot.nodes.find(({ id }) => id === 'pop-1')!.instance
  await former.agent.handOver()
  await next.agent.startBeats()
  await when(witness.agent, ({ nodes }) => {
    return nodes.some(({ id, instance }) => id === 'pop-1' && instance !== before)
  })
  // Neither a late heartbeat nor a goodbye of the former one is heard.
  await former.agent.beat()
  await former.agent[Symbol.asyncDispose]()
  const last = agent(url, 'pop-3')
  await last.agent.start()
  await when(witness.agent, has('pop-1', 'pop-3'))
  expect(instances).not.toContain(undefined)
  const changes = instances.filter((instance, i) => i > 0 && instance !== instances[i - 1])
  expect(changes.length).toBeLessThanOrEqual(1)
})

test('what is known stays while the coordinator is away, and is followed again when it is back', async () => {
  const first = await coordinator()
  const { agent: one } = agent(first.url, 'pop-1')
  await one.start()
  const before = await when(one, has('pop-1'))
  await first[Symbol.asyncDispose]()
  expect(one.snapshot.nodes).toEqual(before.nodes)
  const port = Number(new URL(first.url).port)
  const pushed = new Promise<ClusterSnapshot>((resolve) => one.onSnapshot(resolve))
  const second = stack.use(await coordinator(port))
  expect(second.url).toBe(first.url)
  const after = await pushed
  expect(has('pop-1')(after)).toBe(true)
  expect(after.generation).toBeGreaterThan(before.generation)
})

test('a node starts from its file while the coordinator is away', async () => {
  const first = await coordinator()
  const { agent: one } = agent(first.url, 'pop-1')
  await one.start()
  await when(one, has('pop-1'))
  await first[Symbol.asyncDispose]()
  await one[Symbol.asyncDispose]()
  const { agent: again } = agent(first.url, 'pop-1')
  await again.start()
  expect(again.known).toBe(true)
  expect(again.connected).toBe(false)
  expect(has('pop-1')(again.snapshot)).toBe(true)
  const stored = await readFile(join(dir, 'pop-1', snapshotFileName), 'utf8')
  expect(has('pop-1')(clusterSnapshotSchema.parse(JSON.parse(stored)))).toBe(true)
})

// Its route names neither the process nor the connection.
const ofAnOlderVersion = JSON.stringify({
  generation: 1,
  nodes: [],
  routes: [
    {
      liveId: 'demo',
      broadcastId: randomUUID(),
      epoch: 1,
      home: null,
      transcoder: { id: 'tc-1', url: 'http://tc-1.test' },
    },
  ],
})

test.each([
  ['damaged', '{"generation":'],
  ['foreign', '[]'],
  ['empty', ''],
  ['older', ofAnOlderVersion],
])('a %s snapshot file is as good as none', async (_name, text) => {
  const { agent: one } = agent('http://127.0.0.1:9', 'pop-1')
  await mkdir(join(dir, 'pop-1'))
  await writeFile(join(dir, 'pop-1', snapshotFileName), text)
  await one.start()
  expect(one.known).toBe(false)
  expect(one.snapshot).toEqual({ generation: 0, nodes: [], routes: [] })
})

test('a node with another secret learns nothing', async () => {
  const { url } = stack.use(await coordinator())
  const { agent: stranger, client } = agent(url, 'pop-9', `ncs_${'z'.repeat(40)}`)
  await stranger.start()
  expect(stranger.known).toBe(false)
  expect((await client.channelStatus('demo')).status).toBe(401)
})

test('a client whose coordinator is away answers values', async () => {
  const { client } = agent('http://127.0.0.1:9', 'gw-1')
  const lease = { epoch: 1, instance: randomUUID() }
  expect(
    await client.publish({
      keyDigest: 'a'.repeat(64),
      gateway: 'gw-1',
      pop: null,
      clientAddress: '::1',
      connection: 'c'.repeat(16),
      attempt: 1,
      nonce: 'n'.repeat(16),
    }),
  ).toMatchObject({ refused: { code: 'coordinator-away' } })
  expect(await client.releaseLease('demo', { ...lease, reason: 'stopped' })).toMatchObject({
    outcome: 'error',
  })
  expect((await client.channelStatus('demo')).status).toBe(503)
  expect(await client.recordingLocation(randomUUID())).toHaveProperty('error')
  expect(await client.deleteRecording(randomUUID())).toBe(false)
})
