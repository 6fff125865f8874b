// Composition root of an edge, the POP that publishers and viewers meet; start order is reading order, disposal
// the reverse.
import { fileURLToPath } from 'node:url'
import { startAdminListener } from '../common/admin/admin-listener.ts'
import { systemClock } from '../common/clock.ts'
import { createClusterAuth } from '../common/cluster/cluster-auth.ts'
import { CoordinatorClient } from '../common/cluster/coordinator-client.ts'
import { MembershipAgent } from '../common/cluster/membership-agent.ts'
import { NodeHeartbeat } from '../common/cluster/node-heartbeat.ts'
import type { NodeUrls } from '../common/contract/membership.ts'
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
import { DeliveryHandler } from './delivery/delivery-handler.ts'
import { peersOf } from './delivery/peers.ts'
import { StaticPages } from './delivery/static-pages.ts'
import { FrontDoor, type FrontDoorAddress } from './front/front-door.ts'
import { GatewayPicker } from './ingest/gateway-picker.ts'
import { PublishIngest } from './ingest/publish-ingest.ts'

const watchPages = fileURLToPath(new URL('../web/dist/watch', import.meta.url))

export async function startEdge(
  config: ResolvedEdgeConfig,
  log: Logger,
  { reread = () => config }: { reread?: Reread<ResolvedEdgeConfig> } = {},
): Promise<RunningRole> {
  await using stack = new AsyncDisposableStack()
  const clock = systemClock
  const { id } = config.node
  let draining = false
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
    isDraining: () => draining,
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
  const urls: NodeUrls = publicUrls(config, await door.start())
  stack.use(relays)

  const self = new NodeHeartbeat('edge', config.node, clock)
  const membership = new MembershipAgent({
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
  })
  membership.onSnapshot((snapshot) => gateways.update(snapshot))
  const drain = () => {
    draining = true
    return membership.beat()
  }
  const reload = async () => {
    await door.reload(reread().tls.certificates)
    delivery.setPages(await StaticPages.load(watchPages))
  }
  const admin = stack.use(
    await startAdminListener({
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
    }),
  )
  urls.admin = admin.url
  stack.use(membership)
  await membership.start()

  const owned = stack.move()
  return {
    endpoints: { id, ...urls },
    reload,
    async [Symbol.asyncDispose]() {
      await drain()
      await owned.disposeAsync()
    },
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
