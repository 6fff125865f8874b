// The coordinator as a process would run it: sockets, files, start and end.
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createClusterAuth } from '../../common/cluster/cluster-auth.ts'
import { EventStreamParser, type ServerEvent } from '../../common/cluster/event-stream.ts'
import { silentLogger } from '../../common/log.ts'
import { coordinatorConfigSchema } from '../../config/schema.ts'
import { startCoordinator } from '../../coordinator/coordinator-node.ts'
import { idleLoad } from '../support/heartbeats.ts'

const secret = `ncs_${'s'.repeat(40)}`

let dir: string

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nearcast-coordinator-node-'))
})

afterEach(async () => {
  await rm(dir, { recursive: true, force: true })
})

async function start(settings: object = {}) {
  const config = coordinatorConfigSchema.parse({
    role: 'coordinator',
    node: { id: 'coordinator' },
    dataDir: dir,
    cluster: { secret },
    listen: { port: 0 },
    admin: { port: 0 },
    ...settings,
  })
  const adminTokenFile = join(dir, 'admin-token')
  const role = await startCoordinator(
    { ...config, cluster: { secret }, adminTokenFile },
    silentLogger,
  )
  const token = config.adminToken ?? (await readFile(adminTokenFile, 'utf8')).trim()
  const url = String(role.endpoints.url)
  const api = (path: string, init: RequestInit = {}) =>
    fetch(`${url}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${token}`, ...init.headers },
    })
  return { role, token, url, api, [Symbol.asyncDispose]: () => role[Symbol.asyncDispose]() }
}

async function* eventsOf(response: Response): AsyncGenerator<ServerEvent> {
  const parser = new EventStreamParser()
  for await (const piece of response.body!) yield* parser.push(piece) ?? []
}

test('makes an admin token and a database that only their owner may read, and keeps them', async () => {
  const first = await start()
  expect(first.token).toMatch(/^nct_[\w-]{32}$/)
  for (const name of ['admin-token', 'coordinator.db', 'coordinator.db-wal']) {
    expect((await stat(join(dir, name))).mode & 0o777).toBe(0o600)
  }
  await first[Symbol.asyncDispose]()
  await using second = await start()
  expect(second.token).toBe(first.token)
  expect((await second.api('/api/v1/nodes')).status).toBe(200)
})

test('a configured admin token is the only one', async () => {
  await using node = await start({ adminToken: 'a-long-enough-token' })
  expect((await node.api('/api/v1/nodes')).status).toBe(200)
  await expect(stat(join(dir, 'admin-token'))).rejects.toThrow('ENOENT')
})

test('the console follows the state by events, with the token of its session', async () => {
  await using node = await start()
  const { code } = (await (await node.api('/api/v1/login-codes', { method: 'POST' })).json()) as {
    code: string
  }
  const opened = await fetch(`${node.url}/api/v1/sessions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ code }),
  })
  const { token } = (await opened.json()) as { token: string }
  const response = await node.api('/api/v1/events', {
    headers: { authorization: `Bearer ${token}` },
  })
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  const events = eventsOf(response)
  const first = (await events.next()).value!
  expect(first.event).toBe('state')
  expect(JSON.parse(first.data)).toMatchObject({ nodes: [{ id: 'coordinator' }], streams: [] })

  const nodeToken = await createClusterAuth(secret).issueNodeToken('pop-1', 'edge')
  const beat = await fetch(`${node.url}/internal/v1/nodes/pop-1`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${nodeToken}`, 'content-type': 'application/json' },
    body: JSON.stringify(heartbeat),
  })
  expect(beat.status).toBe(200)
  const second = JSON.parse((await events.next()).value!.data)
  expect(second.nodes.map(({ id }: { id: string }) => id)).toEqual(['coordinator', 'pop-1'])
  await events.return(undefined)
})

test('ends while followers are connected, at once and without an error', async () => {
  const node = await start()
  const response = await node.api('/api/v1/events')
  const events = eventsOf(response)
  await events.next()
  const [rest] = await Promise.all([Array.fromAsync(events), node[Symbol.asyncDispose]()])
  expect(rest).toEqual([])
})

test('a taken port is an error that names it, and leaves nothing open', async () => {
  await using node = await start()
  const port = Number(new URL(node.url).port)
  await expect(start({ listen: { port } })).rejects.toThrow(`Port ${port}`)
})

test('the admin listener has ring metrics and the readiness of the database', async () => {
  await using node = await start()
  const admin = String(node.role.endpoints.admin)
  const metrics = await (await fetch(`${admin}/metrics`)).text()
  for (const name of ['ring_nodes', 'ring_streams', 'ring_imbalance_ratio', 'ring_generation']) {
    expect(metrics).toContain(`# TYPE nearcast_${name} gauge`)
  }
  expect(metrics).toContain('# TYPE nearcast_ring_moves_total counter')
  const readiness = await (await fetch(`${admin}/readyz?verbose`)).json()
  expect(readiness).toEqual({
    ready: true,
    draining: false,
    checks: [{ name: 'database', ok: true }],
  })
})

test('a client that sends half a request does not keep it from ending', async () => {
  const node = await start()
  const socket = connect(Number(new URL(node.url).port), '127.0.0.1')
  socket.on('error', () => {})
  await new Promise((resolve) => socket.write('GET /livez HTTP/1.1\r\nhost: x\r\n', resolve))
  await node[Symbol.asyncDispose]()
  socket.destroy()
})

const heartbeat = {
  role: 'edge',
  instance: crypto.randomUUID(),
  version: '0',
  pid: 1,
  region: null,
  latitude: null,
  longitude: null,
  weight: 1,
  draining: false,
  urls: {},
  load: idleLoad,
  viewers: [],
}
