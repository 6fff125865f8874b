// Composition root of a gateway; start order is reading order, disposal the reverse.
import { randomUUID } from 'node:crypto'
import { startAdminListener } from '../../common/admin/admin-listener.ts'
import { systemClock } from '../../common/clock.ts'
import { createClusterAuth } from '../../common/cluster/cluster-auth.ts'
import { CoordinatorClient } from '../../common/cluster/coordinator-client.ts'
import { MembershipAgent } from '../../common/cluster/membership-agent.ts'
import { NodeHeartbeat } from '../../common/cluster/node-heartbeat.ts'
import { PurgeFollower } from '../../common/cluster/purge-follower.ts'
import type { Logger } from '../../common/log.ts'
import { Metrics } from '../../common/metrics.ts'
import { createNetworkList } from '../../common/net/allowed-networks.ts'
import { gaugeExpiry, readMutualTls } from '../../common/net/mutual-tls.ts'
import { reachableHost } from '../../common/net/reachable-host.ts'
import { BandwidthTests } from '../../common/relay/bandwidth-tests.ts'
import { RefusalReporter } from '../../common/relay/refusal-reporter.ts'
import { RelayHost } from '../../common/relay/relay-host.ts'
import type { RunningRole } from '../../common/role-process.ts'
import { version } from '../../common/version.ts'
import type { ResolvedGatewayConfig } from '../../config/load.ts'
import type { Reread } from '../../config/reload.ts'
import { GatewayDoor } from './gateway-door.ts'
import { HomeStore } from './home/home-store.ts'
import { KnownKeys } from './known-keys.ts'
import { ProgressBoard } from './progress-board.ts'
import { GatewayIngest } from './publish-ingest.ts'
import { Shield } from './shield.ts'
import { StandIns } from './stand-ins.ts'

const refusalMemoryMs = 15_000

export async function startGateway(
  config: ResolvedGatewayConfig,
  log: Logger,
  { reread = () => ({ config, adopt() {} }) }: { reread?: Reread<ResolvedGatewayConfig> } = {},
): Promise<RunningRole> {
  await using stack = new AsyncDisposableStack()
  const clock = systemClock
  const { id } = config.node
  const instance = randomUUID()
  const metrics = new Metrics('gateway', id, version)
  const auth = createClusterAuth(config.cluster.secret, clock)
  const coordinator = stack.use(
    new CoordinatorClient({
      url: config.cluster.coordinator,
      auth,
      nodeId: id,
      role: 'gateway',
      log,
      clock,
    }),
  )
  let draining = false
  let url = ''
  let tlsUrl: string | undefined
  const self = new NodeHeartbeat('gateway', config.node, clock)
  const membership: MembershipAgent = new MembershipAgent({
    client: coordinator,
    clock,
    log,
    dataDir: config.dataDir,
    heartbeat: () =>
      self.beat({
        urls: {
          ...{ http: url, rtmp: rtmpUrl(url), admin: admin.url },
          ...(tlsUrl !== undefined && { https: tlsUrl }),
        },
        draining,
        streams: relays.streams,
        bytesIn: relays.bytesIn,
        bytesOut: shield.bytesOut,
      }),
    onAnswer: ({ knownKeys }) => void keys.heard(knownKeys),
  })
  const keys = stack.use(
    new KnownKeys({ client: coordinator, dataDir: config.dataDir, clock, log }),
  )
  const homes = stack.use(
    new HomeStore({
      gatewayId: id,
      authorize: () => coordinator.nodeToken(),
      clock,
      log,
      metrics,
      memoryBytes: config.home.memoryBytes,
      onLeft: (broadcast) => shield.letGo(broadcast),
    }),
  )
  const standIns = stack.use(
    new StandIns({
      keys,
      snapshot: () => membership.snapshot,
      holderOf: (liveId) => homes.holderOf(liveId),
      authorize: () => coordinator.nodeToken(),
      clock,
      log,
    }),
  )
  const shield: Shield = stack.use(
    new Shield({
      name: id,
      cache: config.cache,
      snapshot: () => membership.snapshot,
      homes,
      coordinator,
      standIns,
      isAlone: () => !membership.connected,
      authorize: () => coordinator.nodeToken(),
      clock,
      log,
      metrics,
    }),
  )
  const progress = new ProgressBoard({ authorize: () => coordinator.nodeToken(), clock, log })
  const relays = new RelayHost({
    limits: config.ingest,
    refusalMemoryMs,
    isRelayed: true,
    isDraining: () => draining,
    clock,
    log,
    metrics,
  })
  const refusals = stack.use(
    new RefusalReporter({ clock, report: (report) => coordinator.reportRefusals(report) }),
  )
  const ingest = new GatewayIngest({
    gatewayId: id,
    config,
    relays,
    coordinator,
    standIns,
    tests: new BandwidthTests({
      clock,
      refusalMemoryMs,
      report: (test, report) => coordinator.reportBandwidthTest(test, report),
    }),
    onRefused: (keyDigest, refused) => refusals.note(keyDigest, refused),
    progressOf: (transcoderUrl) => progress.at(transcoderUrl),
    progress,
    homes,
    clock,
  })
  const door = stack.use(
    new GatewayDoor({
      trusted: createNetworkList(config.trustedNetworks),
      auth,
      firstByteTimeoutMs: config.ingest.firstByteTimeoutMs,
      clock,
      log,
      onRtmp: (socket, publisher) => ingest.handle(socket, publisher),
      onRequest: (req, res) => {
        if (!progress.answer(req, res)) shield.handle(req, res)
      },
    }),
  )
  const port = await door.start(config.listen)
  url = config.publicUrl ?? `http://${reachableHost(config.listen.host)}:${port}`
  const { mutualTls } = config
  if (mutualTls) {
    const tls = await readMutualTls(mutualTls)
    gaugeExpiry(metrics, tls)
    const tlsPort = await door.startTls(mutualTls, tls)
    tlsUrl = mutualTls.publicUrl ?? `https://${reachableHost(mutualTls.host)}:${tlsPort}`
  }
  // Its answers have no end: they are to go before the door waits for what is under way.
  stack.use(progress)
  stack.use(relays)
  const reload = async () => reread().adopt()
  const admin = stack.use(
    await startAdminListener({
      ...config.admin,
      metrics,
      log,
      readiness: () => [membership.check],
      reload,
      drain: () => {
        draining = true
        return membership.beat()
      },
      draining: () => draining,
      purge: (prefix) => ({ purged: shield.purge(prefix), late: [] }),
      top: () => shield.top(instance),
    }),
  )
  stack.use(membership)
  const purges = new PurgeFollower({
    role: 'gateway',
    purge: (prefix) => ({ purged: shield.purge(prefix), late: [] }),
    report: (purge, report) => coordinator.reportPurge(purge, report),
    log,
  })
  membership.onSnapshot((snapshot) => {
    purges.update(snapshot)
    homes.update(snapshot)
    ingest.update(snapshot)
  })
  await keys.start()
  await membership.start()

  const owned = stack.move()
  return {
    endpoints: { id, url, rtmp: rtmpUrl(url), admin: admin.url },
    reload,
    async [Symbol.asyncDispose]() {
      draining = true
      await membership.beat()
      await owned.disposeAsync()
    },
  }
}

/** The same port speaks RTMP; named always, since the schemes' own ports differ. */
function rtmpUrl(httpUrl: string): string {
  const { hostname, port, protocol } = new URL(httpUrl)
  return `rtmp://${hostname}:${port || (protocol === 'https:' ? 443 : 80)}/live`
}
