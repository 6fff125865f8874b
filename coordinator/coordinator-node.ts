// Composition root of the coordinator; start order is reading order, disposal the reverse.
import { once } from 'node:events'
import type { Server } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createAdaptorServer } from '@hono/node-server'
import { startAdminListener } from '../common/admin/admin-listener.ts'
import { type Clock, systemClock } from '../common/clock.ts'
import { createClusterAuth } from '../common/cluster/cluster-auth.ts'
import type { Logger } from '../common/log.ts'
import { Metrics } from '../common/metrics.ts'
import { listen } from '../common/net/listen.ts'
import { reachableHost } from '../common/net/reachable-host.ts'
import type { RunningRole } from '../common/role-process.ts'
import { version } from '../common/version.ts'
import type { ResolvedCoordinatorConfig } from '../config/load.ts'
import type { Reread } from '../config/reload.ts'
import { loadAdminToken } from './admin-token.ts'
import { coordinatorApp } from './app.ts'
import { Coordinator } from './coordinator.ts'
import { openDatabase } from './database/database.ts'
import { RingMetrics } from './ring-metrics.ts'

// A request whose head takes longer comes from nobody who means well.
const headersTimeoutMs = 10_000
const requestTimeoutMs = 30_000
// Node looks every 30 s whether somebody is over these.
const connectionsCheckingIntervalMs = 1_000
const drainMs = 2_000
const consoleDir = fileURLToPath(new URL('../web/dist/console/', import.meta.url))

export async function startCoordinator(
  config: ResolvedCoordinatorConfig,
  log: Logger,
  overrides: { clock?: Clock; reread?: Reread<ResolvedCoordinatorConfig> } = {},
): Promise<RunningRole> {
  await using stack = new AsyncDisposableStack()
  const clock = overrides.clock ?? systemClock
  const { id } = config.node
  const metrics = new Metrics('coordinator', id, version)
  const auth = createClusterAuth(config.cluster.secret, clock)
  const adminToken = await loadAdminToken(config, log)
  const database = stack.use(
    await openDatabase(config.database.file ?? join(config.dataDir, 'coordinator.db'), clock),
  )
  const coordinator = stack.use(new Coordinator({ config, database, auth, clock, log }))
  const ringMetrics = new RingMetrics(metrics, coordinator)
  coordinator.onPlaced = (reason) => ringMetrics.placed(reason)
  await coordinator.start()

  const app = coordinatorApp(coordinator.parts(adminToken, consoleDir))
  const server = createAdaptorServer({
    fetch: app.fetch,
    overrideGlobalObjects: false,
    serverOptions: {
      headersTimeout: headersTimeoutMs,
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: connectionsCheckingIntervalMs,
    },
  }) as Server
  const { port } = await listen(server, config.listen)
  stack.defer(() => closeServer(server, clock))
  const url = config.publicUrl ?? `http://${reachableHost(config.listen.host)}:${port}`

  let draining = false
  const reload = async () => {
    overrides.reread?.().adopt()
  }
  const admin = stack.use(
    await startAdminListener({
      ...config.admin,
      metrics,
      log,
      readiness: () => coordinator.readiness(),
      reload,
      drain: () => {
        draining = true
      },
      draining: () => draining,
    }),
  )
  coordinator.self = { url, admin: admin.url }
  // Event streams never end by themselves; they have to before the server can close.
  stack.defer(() => coordinator.close())

  const started = stack.move()
  return {
    endpoints: { id, url, admin: admin.url },
    reload,
    async [Symbol.asyncDispose]() {
      draining = true
      await started.disposeAsync()
    },
  }
}

/** Lets requests that are under way finish, for a moment. */
async function closeServer(server: Server, clock: Clock): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  server.closeIdleConnections()
  const late = clock.setTimeout(() => server.closeAllConnections(), drainMs)
  await closed
  late.cancel()
}
