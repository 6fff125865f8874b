// Composition root of an edge, the POP that publishers and viewers meet; start order is reading order, disposal
// the reverse.
import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { type AdminListener, startAdminListener } from '../common/admin/admin-listener.ts'
import { delay, systemClock } from '../common/clock.ts'
import { createClusterAuth } from '../common/cluster/cluster-auth.ts'
import { CoordinatorClient } from '../common/cluster/coordinator-client.ts'
import { MembershipAgent } from '../common/cluster/membership-agent.ts'
import { NodeHeartbeat } from '../common/cluster/node-heartbeat.ts'
import { PurgeFollower } from '../common/cluster/purge-follower.ts'
import type { NodeUrls } from '../common/contract/membership.ts'
import { ServiceError } from '../common/errors.ts'
import type { Logger } from '../common/log.ts'
import { Metrics } from '../common/metrics.ts'
import { gaugeExpiry, readMutualTls } from '../common/net/mutual-tls.ts'
import { BandwidthTests } from '../common/relay/bandwidth-tests.ts'
import { ProgressClients } from '../common/relay/progress-clients.ts'
import { RefusalReporter } from '../common/relay/refusal-reporter.ts'
import { RelayHost } from '../common/relay/relay-host.ts'
import type { RunningRole } from '../common/role-process.ts'
import { version } from '../common/version.ts'
import type { ResolvedEdgeConfig } from '../config/load.ts'
import type { Reread } from '../config/reload.ts'
import { Admission } from './admission/admission.ts'
import { AccessLog } from './delivery/access-log.ts'
import { DeliveryHandler } from './delivery/delivery-handler.ts'
import { peersOf } from './delivery/peers.ts'
import { StaticPages } from './delivery/static-pages.ts'
import { EdgeDrain } from './edge-drain.ts'
import { FrontDoor, type FrontDoorAddress } from './front/front-door.ts'
import { GatewayPicker } from './ingest/gateway-picker.ts'
import { PublishIngest } from './ingest/publish-ingest.ts'
import { InstanceLock } from './instance-lock.ts'

/** For a snapshot of the cluster, before the ports are opened beside those of the edge that hands over. */
const readyLimitMs = 30_000
const watchPages = fileURLToPath(new URL('../web/dist/watch', import.meta.url))

export async function startEdge(
  config: ResolvedEdgeConfig,
  log: Logger,
  {
    reread = () => ({ config, adopt() {} }),
    takeOver = false,
  }: { reread?: Reread<ResolvedEdgeConfig>; takeOver?: boolean } = {},
): Promise<RunningRole> {
  await using stack = new AsyncDisposableStack()
  const clock = systemClock
  const { id } = config.node
  const instance = randomUUID()
  let draining = false
  let isHandedOver = false
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
  const auth = createClusterAuth(config.cluster.secret, clock)
  const nodeToken = () => coordinator.nodeToken()
  const coordinator = stack.use(
    new CoordinatorClient({
      url: config.cluster.coordinator,
      auth,
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
  const relays = new RelayHost({
    limits: config.ingest,
    refusalMemoryMs: config.ingest.refusalMemoryMs,
    // After a hand-over nobody comes but who is already connected, and would only have to connect again.
    isDraining: () => draining && !isHandedOver,
    clock,
    log,
    metrics,
    isGathered: true,
  })
  const admission = new Admission({ limits: config.admission, clock, log, metrics })
  const progress = stack.use(new ProgressClients({ authorize: nodeToken, tls, clock, log }))
  const refusals = stack.use(
    new RefusalReporter({ clock, report: (report) => coordinator.reportRefusals(report) }),
  )
  const ingest = new PublishIngest({
    popId: id,
    config,
    relays,
    admission,
    gateways,
    tests: new BandwidthTests({
      clock,
      refusalMemoryMs: config.ingest.refusalMemoryMs,
      report: (test, report) => coordinator.reportBandwidthTest(test, report),
    }),
    onRefused: (keyDigest, refused) => refusals.note(keyDigest, refused),
    progressOf: (gatewayUrl) => progress.at(gatewayUrl),
    nodeToken,
    tls,
    clock,
  })
  const { file } = config.accessLog
  const accessLog =
    file === undefined
      ? undefined
      : stack.use(
          await AccessLog.open({ config: { ...config.accessLog, file }, clock, log, metrics }),
        )
  const delivery = stack.use(
    new DeliveryHandler({
      name: id,
      cache: config.cache,
      upstream: config.upstream,
      tls,
      peers: peersOf(config.cache, { allowPlain, verifyNodeToken: auth.verifyNodeToken }),
      pickGateways: (liveId) => gateways.forPlayback(liveId),
      authorize: nodeToken,
      addressOf: (req) => door.addressOf(req),
      isReady: () => !draining && gateways.problem === undefined,
      pages: await StaticPages.load(watchPages),
      accessLog,
      clock,
      log,
      metrics,
    }),
  )
  const door: FrontDoor = stack.use(
    new FrontDoor({
      config,
      handlers: {
        onRequest: (req, res) => delivery.handle(req, res),
        onRtmp: (socket, info) => ingest.handle(socket, info),
      },
      road: delivery.road,
      admission,
      clock,
      log,
      metrics,
    }),
  )
  stack.use(relays)
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
          streams: relays.streams,
          bytesIn: relays.bytesIn,
          bytesOut: delivery.bytesOut,
          viewers: delivery.viewerCounts(),
        }),
    }),
  )
  const purges = new PurgeFollower({
    role: 'edge',
    purge: (prefix) => delivery.purge(prefix),
    report: (purge, report) => coordinator.reportPurge(purge, report),
    log,
  })
  membership.onSnapshot((snapshot) => {
    purges.update(snapshot)
    gateways.update(snapshot)
  })
  const { takesOver } = lock
  if (takesOver) {
    await membership.follow()
    await gatewaysKnown(membership, gateways)
  }
  await lock.claimPorts()
  Object.assign(urls, publicUrls(config, await door.start()))

  const ending = new EdgeDrain({
    limits: () => limits,
    viewers: door,
    publishers: relays,
    clock,
  })
  const finished = Promise.withResolvers<void>()
  let admin: AdminListener | undefined
  const closeAdmin = async () => {
    const open = admin
    admin = undefined
    await open?.[Symbol.asyncDispose]()
  }
  stack.defer(closeAdmin)
  await lock.serve(publicListeners(config, door.address), async () => {
    draining = true
    isHandedOver = true
    void ending.handedOver().then(finished.resolve)
    await Promise.all([membership.handOver(), closeAdmin()])
  })
  const drain = () => {
    draining = true
    return membership.beat()
  }
  let reloading: Promise<unknown> = Promise.resolve()
  const reloadOnce = async () => {
    const { config: next, adopt } = reread()
    const [useCertificates, pages] = await Promise.all([
      door.prepareReload(next.tls.certificates),
      StaticPages.load(watchPages),
    ])
    // Everything new is good: all of it is taken, with nothing in between that could fail.
    const used = useCertificates()
    limits = next.drain
    delivery.setPages(pages)
    adopt()
    await used
    await accessLog?.reopen()
  }
  const reload = () => {
    const done = reloading.then(reloadOnce)
    reloading = done.catch(() => {})
    return done
  }
  admin = await startAdminListener({
    ...config.admin,
    metrics,
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
    purge: (prefix) => delivery.purge(prefix),
    why: (url) => delivery.why(url),
    top: () => delivery.top(instance),
  })
  urls.admin = admin.url
  if (takesOver) await membership.startBeats()
  else await membership.start()

  const owned = stack.move()
  return {
    endpoints: { id, ...urls },
    reload,
    finished: finished.promise,
    async [Symbol.asyncDispose]() {
      await drain()
      await ending.stop()
      await owned.disposeAsync()
    },
  }
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
