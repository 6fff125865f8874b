// Gateways that ask transcoders in place of the coordinator, over real HTTP.
import { createServer, type Server } from 'node:http'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import { createClusterAuth } from '../../../common/cluster/cluster-auth.ts'
import type { ClusterSnapshot } from '../../../common/contract/membership.ts'
import type { Holder, PublishRequest } from '../../../common/contract/placement.ts'
import type { KnownKey } from '../../../common/contract/stand-in.ts'
import { silentLogger } from '../../../common/log.ts'
import { listen } from '../../../common/net/listen.ts'
import { StandIns } from '../../../origin/gateway/stand-ins.ts'
import { StandIn, type StandingBroadcast } from '../../../origin/transcoder/stand-in.ts'
import { heartbeatOf } from '../../support/heartbeats.ts'
import { routeTo } from '../../support/routes.ts'

const auth = createClusterAuth('s'.repeat(40))
const digest = 'd'.repeat(64)
let stack: AsyncDisposableStack
let servers: Map<string, Server>
let standings: Map<string, StandingBroadcast>
let snapshot: ClusterSnapshot
let holder: Holder | undefined

beforeEach(async () => {
  stack = new AsyncDisposableStack()
  servers = new Map()
  standings = new Map()
  holder = undefined
  snapshot = { generation: 1, routes: [], nodes: [] }
  for (const id of ['tc-1', 'tc-2', 'tc-3']) await transcoder(id)
})

afterEach(() => stack.disposeAsync())

async function transcoder(id: string): Promise<void> {
  const instance = crypto.randomUUID()
  const standIn = new StandIn({
    ...{ nodeId: id, instance, auth, clock: systemClock, log: silentLogger },
    urls: () => ({ rtmp: `rtmp://${id}.test/live`, url: `http://${id}.test` }),
    standing: () => standings.get(id),
    lastEpochOf: () => 0,
    isDraining: () => false,
  })
  const server = createServer((request, response) => void standIn.serve(request, response))
  const { port } = await listen(server, { host: '127.0.0.1', port: 0 })
  stack.defer(() => close(server))
  servers.set(id, server)
  const urls = { http: `http://127.0.0.1:${port}`, rtmp: `rtmp://${id}.test/live` }
  const { viewers: _viewers, ...info } = heartbeatOf(id, { role: 'transcoder', instance, urls })
  snapshot.nodes.push({ ...info, id })
}

function close(server: Server): void {
  server.closeAllConnections()
  server.close()
}

function gateway(id: string, keys: Partial<KnownKey>[] = [{}]): StandIns {
  const known = keys.map((it, i) => ({
    ...{ digest: i === 0 ? digest : `${i}`, liveId: `live-${i}`, epoch: 0 },
    ...{ record: false, expiresAt: null, ...it },
  }))
  return stack.use(
    new StandIns({
      keys: {
        find: (it) => known.find((key) => key.digest === it),
        hasLiveId: (liveId) => known.some((key) => key.liveId === liveId),
      },
      snapshot: () => snapshot,
      holderOf: () => holder,
      authorize: () => auth.issueNodeToken(id, 'gateway'),
      clock: systemClock,
      log: silentLogger,
    }),
  )
}

function request(id: string, connection: string, keyDigest = digest): PublishRequest {
  return {
    ...{ keyDigest, gateway: id, pop: null, clientAddress: '192.0.2.7', attempt: 1 },
    connection: connection.padEnd(16, '-'),
    nonce: 'n'.repeat(16),
    away: { epoch: 1, instance: crypto.randomUUID() },
  }
}

async function granted(standIns: StandIns, asked: PublishRequest) {
  const answer = await standIns.publish(asked)
  if (!answer || 'refused' in answer) throw new Error('refused')
  return answer.granted
}

test('every gateway asks the same transcoder for a live id, which lets all into one broadcast', async () => {
  const keys = Array.from({ length: 30 }, () => ({}))
  const [one, two] = [gateway('gw-1', keys), gateway('gw-2', keys)]
  const seen = new Set<string>()
  for (const i of keys.keys()) {
    const name = i === 0 ? digest : `${i}`
    const body = { keyDigest: name.padEnd(64, '0') }
    expect(body.keyDigest).toHaveLength(64)
    seen.add(one.playbackUrl(`live-${i}`)!)
    expect(two.playbackUrl(`live-${i}`)).toBe(one.playbackUrl(`live-${i}`))
  }
  expect(seen.size).toBe(3)
  const first = await granted(one, request('gw-1', 'first'))
  const second = await granted(two, request('gw-2', 'second'))
  expect(second).toMatchObject({
    transcoder: first.transcoder,
    broadcastId: first.broadcastId,
    epoch: 1,
  })
})

test('where a live id has a route, its transcoder is asked, about what is newest', async () => {
  const standIns = gateway('gw-1', [{ epoch: 3 }])
  const ring = standIns.playbackUrl('live-0')
  const node = snapshot.nodes.find(({ urls }) => urls.http !== ring)!
  const route = routeTo('live-0', { id: node.id, url: node.urls.http! })
  snapshot = { ...snapshot, routes: [{ ...route, epoch: 4, instance: node.instance }] }
  const facts = { broadcastId: route.broadcastId, broadcastTag: 'abcdefgh12', startedAtMs: 0 }
  standings.set(node.id, {
    facts: { ...facts, isRecorded: false },
    ...{ epoch: 4, state: 'held', connection: 'former', before: [], takes: 1 },
  })
  const joined = await granted(standIns, request('gw-1', 'first'))
  expect(joined).toMatchObject({
    epoch: 4,
    instance: node.instance,
    ...{ transcoder: { id: node.id } },
  })
  expect(joined.broadcastId).toBe(route.broadcastId)
  holder = { epoch: 4, instance: crypto.randomUUID() }
  expect((await granted(standIns, request('gw-1', 'second'))).epoch).toBe(5)
  holder = { epoch: 8, instance: node.instance }
  expect((await granted(standIns, request('gw-1', 'third'))).epoch).toBe(9)
})

test('nobody is asked about a key that is not known, and nobody else where the one does not answer', async () => {
  const standIns = gateway('gw-1')
  expect(await standIns.publish(request('gw-1', 'first', 'e'.repeat(64)))).toBeUndefined()
  expect(standIns.playbackUrl('unknown')).toBeUndefined()
  const url = standIns.playbackUrl('live-0')
  const { id } = snapshot.nodes.find(({ urls }) => urls.http === url)!
  close(servers.get(id)!)
  expect(await standIns.publish(request('gw-1', 'first'))).toBeUndefined()
})

test('what the transcoder refuses is an answer', async () => {
  const standIns = gateway('gw-1')
  await granted(standIns, { ...request('gw-1', 'first'), attempt: 2 })
  const refused = await standIns.publish(request('gw-1', 'first'))
  expect(refused).toMatchObject({ refused: { code: 'already-publishing' } })
})
