// Composition root of an edge, the POP that publishers and viewers meet; start order is reading order, disposal
// the reverse. This is what the edge is to the cluster and to its operator; its ports are served by worker threads, each
// with a composition root of its own (worker/edge-worker.ts).
import { randomUUID } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { type AdminListener, startAdminListener } from '../common/admin/admin-listener.ts'
import { delay, systemClock } from '../common/clock.ts'
import { createClusterAuth } from '../common/cluster/cluster-auth.ts'
import { CoordinatorClient } from '../common/cluster/coordinator-client.ts'
import { MembershipAgent } from '../common/cluster/membership-agent.ts'
import { NodeHeartbeat } from '../common/cluster/node-heartbeat.ts'
import { PurgeFollower } from '../common/cluster/purge-follower.ts'
import type { NodeUrls } from '../common/contract/membership.ts'
import { ServiceError } from '../common/errors.ts'
import { type Logger, lineLock } from '../common/log.ts'
import { Metrics, mergeMetrics } from '../common/metrics.ts'
import { canSharePorts } from '../common/net/listen.ts'
import { gaugeExpiry, readMutualTls } from '../common/net/mutual-tls.ts'
import type { RunningRole } from '../common/role-process.ts'
import { version } from '../common/version.ts'
import type { ResolvedEdgeConfig } from '../config/load.ts'
import type { Reread } from '../config/reload.ts'
import { mergeTops, mergeWhys } from './delivery/control.ts'
import { StaticPages, watchPages } from './delivery/static-pages.ts'
import { gaugeViewers, ViewerCounter } from './delivery/viewer-counter.ts'
import { certificateStoreOf, type FrontDoorAddress } from './front/front-door.ts'
import { GatewayPicker } from './ingest/gateway-picker.ts'
import { InstanceLock } from './instance-lock.ts'
import { WorkerPool } from './worker/worker-pool.ts'

export interface RunningEdge extends RunningRole {
  readonly pool: WorkerPool
}

/** For a snapshot of the cluster, before the ports are opened beside those of the edge that hands over. */
const readyLimitMs = 30_000
/** Who is late is to be named while the coordinator still waits, which it does for 350 ms at the least. */
const promptPurgeMs = 250

export async function startEdge(
  config: ResolvedEdgeConfig,
  log: Logger,
  {
    reread = () => ({ config, adopt() {} }),
    takeOver = false,
  }: { reread?: Reread<ResolvedEdgeConfig>; takeOver?: boolean } = {},
): Promise<RunningEdge> {
  await using stack = new AsyncDisposableStack()
  const clock = systemClock
  const { id } = config.node
  const workers = workersOf(config)
  const instance = randomUUID()
  let draining = false
  let limits = config.drain
  const lock = stack.use(
    await InstanceLock.acquire({
      dataDir: config.dataDir,
      node: id,
      listeners: publicListeners(config),
      takeOver,
      clock,
      log,
    }),
  )
  const metrics = new Metrics('edge', id, version)
  const coordinator = stack.use(
    new CoordinatorClient({
      url: config.cluster.coordinator,
      auth: createClusterAuth(config.cluster.secret, clock),
      nodeId: id,
      role: 'edge',
      log,
      clock,
    }),
  )
  const { allowPlain, mutualTls } = config.upstream
  const tls = mutualTls && (await readMutualTls(mutualTls))
  if (tls) gaugeExpiry(metrics, tls)
  const gateways = new GatewayPicker({ clock, allowPlain, isSecure: tls !== undefined })
  const viewers = new ViewerCounter({ clock })
  gaugeViewers(metrics, viewers)
  const certificates = stack.use(certificateStoreOf({ config, clock, log }))
  await certificates.start()
  const pool = stack.use(
    new WorkerPool({
      workers,
      config,
      logging: { level: log.level, format: logFormatOf(config), lineLock },
      certificates: certificates.pairs,
      reusePort: canSharePorts,
      onViewers: (seen) => {
        for (const [liveId, names] of seen) for (const name of names) viewers.seen(liveId, name)
      },
      clock,
      log,
    }),
  )
  certificates.onChange(() => pool.setCertificates(certificates.pairs))

  const urls: NodeUrls = {}
  const self = new NodeHeartbeat('edge', config.node, clock)
  const membership = stack.use(
    new MembershipAgent({
      client: coordinator,
      clock,
      log,
      dataDir: config.dataDir,
      heartbeat: () =>
        self.beat({
          urls,
          draining,
          ...pool.stats,
          rates: pool.takeRates(),
          viewers: viewers.counts(),
        }),
    }),
  )
  const purges = new PurgeFollower({
    role: 'edge',
    purge: (prefix, isAgain) => pool.purge(prefix, isAgain ? undefined : promptPurgeMs),
    report: (order, report) => coordinator.reportPurge(order, report),
    log,
  })
  membership.onSnapshot((snapshot) => {
    purges.update(snapshot)
    gateways.update(snapshot)
    pool.setSnapshot(snapshot)
  })
  const { takesOver } = lock
  if (takesOver) {
    await membership.follow()
    await gatewaysKnown(membership, gateways)
  }
  await lock.claimPorts()
  const address = await pool.start()
  Object.assign(urls, publicUrls(config, address))

  const finished = Promise.withResolvers<void>()
  let admin: AdminListener | undefined
  const closeAdmin = async () => {
    const open = admin
    admin = undefined
    await open?.[Symbol.asyncDispose]()
  }
  stack.defer(closeAdmin)
  await lock.serve(publicListeners(config, address), async () => {
    draining = true
    await pool.stopListening()
    void pool.handOver(limits).then(finished.resolve)
    await Promise.all([membership.handOver(), closeAdmin()])
  })
  const drain = () => {
    draining = true
    pool.drain()
    return membership.beat()
  }
  let reloading: Promise<unknown> = Promise.resolve()
  const reloadOnce = async () => {
    const { config: next, adopt } = reread()
    // What the workers are going to load is found good here first.
    const [useCertificates] = await Promise.all([
      certificates.prepare(next.tls.certificates),
      StaticPages.load(watchPages),
    ])
    // Everything new is good: all of it is taken, with nothing in between that could fail.
    const used = useCertificates()
    limits = next.drain
    adopt()
    pool.setLogLevel(log.level)
    await Promise.all([
      used,
      pool.call('reload-pages', undefined),
      pool.call('reopen-log', undefined),
    ])
  }
  const reload = () => {
    const done = reloading.then(reloadOnce)
    reloading = done.catch(() => {})
    return done
  }
  const { registry } = metrics
  const allMetrics = async () => mergeMetrics([await metrics.toJson(), ...(await pool.metrics())])
  admin = await startAdminListener({
    ...config.admin,
    metrics: { registry: { contentType: registry.contentType, metrics: allMetrics } },
    log,
    readiness: () => [
      membership.check,
      {
        name: 'gateways',
        ok: gateways.problem === undefined,
        detail: gateways.problem ?? 'reachable',
      },
    ],
    reload,
    drain,
    draining: () => draining,
    purge: (prefix) => pool.purge(prefix),
    why: async (url) => mergeWhys(await pool.call('why', { url })),
    top: async () => ({
      ...mergeTops(await pool.call('top', { instance })),
      viewers: viewers.counts(),
    }),
  })
  urls.admin = admin.url
  if (takesOver) await membership.startBeats()
  else await membership.start()

  const owned = stack.move()
  return {
    endpoints: { id, ...urls },
    reload,
    pool,
    failed: pool.failed,
    finished: finished.promise,
    async [Symbol.asyncDispose]() {
      await drain()
      await pool.endSoon(limits)
      await owned.disposeAsync()
    },
  }
}

function workersOf({ workers }: ResolvedEdgeConfig): number {
  if (workers === 'auto') return canSharePorts ? Math.min(64, availableParallelism()) : 1
  if (workers === 1 || canSharePorts) return workers
  throw new ServiceError(
    'Several workers need ports that can be shared, which this system has not.',
    {
      code: 'ports-not-shareable',
      source: 'internal',
    },
  )
}

/** Workers do not see whether standard error is a terminal. */
function logFormatOf({ log }: ResolvedEdgeConfig): 'json' | 'pretty' {
  if (log.format !== 'auto') return log.format
  return process.stderr.isTTY ? 'pretty' : 'json'
}

/** With the ports that they have, once they are open. */
function publicListeners({ tls, http, rtmp }: ResolvedEdgeConfig, open?: FrontDoorAddress) {
  return [
    { host: tls.host, port: open?.tlsPort ?? tls.port },
    ...(http.enabled ? [{ host: http.host, port: open?.httpPort ?? http.port }] : []),
    ...(rtmp.enabled ? [{ host: rtmp.host, port: open?.rtmpPort ?? rtmp.port }] : []),
  ]
}

async function gatewaysKnown(membership: MembershipAgent, gateways: GatewayPicker): Promise<void> {
  const stop = new AbortController()
  const known = new Promise<void>((resolve) => {
    const look = () => {
      if (membership.known && gateways.problem === undefined) resolve()
    }
    membership.onSnapshot(look)
    look()
  })
  await Promise.race([known, delay(systemClock, readyLimitMs, stop.signal)])
  stop.abort()
  if (!membership.known || gateways.problem !== undefined) {
    const problem = gateways.problem ?? 'the cluster is not known'
    throw new ServiceError(`Nothing taken over, since this one could not serve: ${problem}.`, {
      code: 'not-ready',
      source: 'internal',
    })
  }
}

/** What the outside world is told; ports that are the scheme's own are left out. */
function publicUrls(config: ResolvedEdgeConfig, address: FrontDoorAddress): NodeUrls {
  const name = config.tls.localCa.names.at(0) ?? 'localhost'
  const port = (number: number, usual: number) => (number === usual ? '' : `:${number}`)
  const https = config.publicUrls.https ?? `https://${name}${port(address.tlsPort, 443)}`
  return {
    https,
    rtmps: config.publicUrls.rtmps ?? `rtmps://${new URL(https).hostname}:${address.tlsPort}/live`,
    ...(address.httpPort !== undefined && {
      http: config.publicUrls.http ?? `http://${name}${port(address.httpPort, 80)}`,
    }),
    ...(address.rtmpPort !== undefined && { rtmp: `rtmp://${name}:${address.rtmpPort}/live` }),
  }
}
