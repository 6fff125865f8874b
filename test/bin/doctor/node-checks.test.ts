// What doctor says about ports, the coordinator, clocks and secrets, over real sockets.
import { createServer as createHttpServer } from 'node:http'
import { createServer, type Server } from 'node:net'
import { describe, expect, test } from 'vitest'
import { checkCluster, clockFinding, isNodeRunning } from '../../../bin/doctor/cluster-checks.ts'
import { checkPorts } from '../../../bin/doctor/port-checks.ts'
import { startAdminListener } from '../../../common/admin/admin-listener.ts'
import { systemClock } from '../../../common/clock.ts'
import { createClusterAuth } from '../../../common/cluster/cluster-auth.ts'
import { silentLogger } from '../../../common/log.ts'
import { Metrics } from '../../../common/metrics.ts'
import type { ResolvedCoordinatorConfig, ResolvedGatewayConfig } from '../../../config/load.ts'
import { coordinatorConfigSchema, gatewayConfigSchema } from '../../../config/schema.ts'

const secret = 's'.repeat(40)

async function listening<S extends Server>(server: S): Promise<{ port: number } & AsyncDisposable> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return {
    port,
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function gateway(coordinator: string, adminPort = 9): ResolvedGatewayConfig {
  return gatewayConfigSchema.parse({
    role: 'gateway',
    node: { id: 'gw-1' },
    cluster: { coordinator, secret },
    admin: { port: adminPort },
  }) as ResolvedGatewayConfig
}

describe('ports', () => {
  test('a free port is fine, port 0 is not looked at', async () => {
    await using taken = await listening(createServer())
    const { port } = taken
    await taken[Symbol.asyncDispose]()
    const listeners = [
      { section: 'http', host: '127.0.0.1', port },
      { section: 'rtmp', host: '127.0.0.1', port: 0 },
    ]
    expect(await checkPorts(listeners, false)).toEqual([
      { verdict: 'OK', name: `port ${port}`, detail: 'free (http)' },
    ])
  })

  test('a taken port names who has it', async () => {
    await using taken = await listening(createServer())
    const [found] = await checkPorts([{ section: 'tls', host: '::', port: taken.port }], false)
    expect(found).toMatchObject({ verdict: 'FAIL', name: `port ${taken.port}` })
    expect(found?.detail).toContain(`pid ${process.pid}`)
    expect(found?.fix).toContain('or set tls.port to a free port')
  })

  test('a port that the running node has is fine', async () => {
    await using taken = await listening(createServer())
    const listeners = [{ section: 'tls', host: '127.0.0.1', port: taken.port }]
    expect((await checkPorts(listeners, true))[0]).toMatchObject({ verdict: 'OK' })
  })

  test('a foreign address is a failure', async () => {
    const [found] = await checkPorts([{ section: 'tls', host: '192.0.2.1', port: 45_123 }], false)
    expect(found).toMatchObject({ verdict: 'FAIL', fix: expect.stringContaining('tls.host') })
  })
})

test('a running node is known by its admin listener', async () => {
  await using admin = await startAdminListener({
    host: '127.0.0.1',
    port: 0,
    metrics: new Metrics('gateway', 'gw-1', '1.0.0'),
    log: silentLogger,
    readiness: () => [],
    reload: async () => {},
    drain: () => {},
  })
  const config = gateway('http://127.0.0.1:1', Number(new URL(admin.url).port))
  expect(await isNodeRunning(config)).toBe(true)
  expect(await isNodeRunning({ ...config, node: { ...config.node, id: 'gw-2' } })).toBe(false)
})

describe('the coordinator', () => {
  const coordinator = (clusterSecret: string, isCoordinator = true) =>
    createHttpServer(async (req, res) => {
      if (req.url === '/livez') return res.end(isCoordinator ? 'ok\n' : 'hello')
      const token = req.headers.authorization?.slice('Bearer '.length) ?? ''
      const identity = await createClusterAuth(clusterSecret).verifyNodeToken(token)
      return res.writeHead(identity?.nodeId === 'gw-1' ? 404 : 401).end()
    })
  const examine = async (server: Server, now = systemClock.now) => {
    await using running = await listening(server)
    const found = await checkCluster(gateway(`http://127.0.0.1:${running.port}`), now)
    return found.map(({ verdict, name }) => `${verdict} ${name}`)
  }

  test('that answers, in time, under the same secret', async () => {
    expect(await examine(coordinator(secret))).toEqual([
      'OK coordinator',
      'OK clock',
      'OK cluster secret',
    ])
  })

  test('that has another secret', async () => {
    expect(await examine(coordinator('t'.repeat(40)))).toContain('FAIL cluster secret')
  })

  test('that lives in another time', async () => {
    expect(await examine(coordinator(secret), () => systemClock.now() + 60_000)).toContain(
      'FAIL clock',
    )
  })

  test('that is something else', async () => {
    expect(await examine(coordinator(secret, false))).toEqual(['FAIL coordinator'])
  })

  test('that is not there', async () => {
    await using gone = await listening(createServer())
    const { port } = gone
    await gone[Symbol.asyncDispose]()
    const [found] = await checkCluster(gateway(`http://127.0.0.1:${port}`), systemClock.now)
    expect(found).toMatchObject({
      verdict: 'FAIL',
      detail: expect.stringContaining('does not answer: connect ECONNREFUSED'),
    })
  })

  test('itself is warned when only its own machine can join', async () => {
    const config = coordinatorConfigSchema.parse({
      role: 'coordinator',
      node: { id: 'co-1' },
      cluster: { secret },
    }) as ResolvedCoordinatorConfig
    expect(await checkCluster(config, systemClock.now)).toMatchObject([{ verdict: 'WARN' }])
  })

  test.each([
    [0, 'OK'],
    [-2_500, 'OK'],
    [5_000, 'WARN'],
    [-29_000, 'WARN'],
    [31_000, 'FAIL'],
  ])('a clock that is %i ms ahead is %s', (aheadMs, verdict) => {
    expect(clockFinding(aheadMs).verdict).toBe(verdict)
  })
})
