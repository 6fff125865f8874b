// Composition root of a worker: all that serves the public ports of an edge, in one thread of it. Start order is
// reading order, disposal the reverse. What the edge is to the cluster and to its operator is in edge-node.ts.
import type { MessagePort } from 'node:worker_threads'
import { createClusterAuth } from '../../common/cluster/cluster-auth.ts'
import { CoordinatorClient } from '../../common/cluster/coordinator-client.ts'
import type { Logger } from '../../common/log.ts'
import { Metrics } from '../../common/metrics.ts'
import { createHostList } from '../../common/net/host-list.ts'
import { readMutualTls } from '../../common/net/mutual-tls.ts'
import { BandwidthTests } from '../../common/relay/bandwidth-tests.ts'
import { ProgressClients } from '../../common/relay/progress-clients.ts'
import { RefusalReporter } from '../../common/relay/refusal-reporter.ts'
import { RelayHost } from '../../common/relay/relay-host.ts'
import { threadClock } from '../../common/thread-clock.ts'
import { version } from '../../common/version.ts'
import { Admission } from '../admission/admission.ts'
import { sharedTables } from '../admission/admission-tables.ts'
import { AccessLog } from '../delivery/access-log.ts'
import { DeliveryHandler } from '../delivery/delivery-handler.ts'
import { peersOf } from '../delivery/peers.ts'
import { StaticPages, watchPages } from '../delivery/static-pages.ts'
import { EdgeDrain } from '../edge-drain.ts'
import { GivenCertificates } from '../front/certificate-set.ts'
import { FrontDoor, type FrontDoorAddress } from '../front/front-door.ts'
import { GatewayPicker } from '../ingest/gateway-picker.ts'
import { PublishIngest } from '../ingest/publish-ingest.ts'
import type {
  SharedFact,
  ToWorker,
  WorkerOperations,
  WorkerStart,
  WorkerStats,
} from './messages.ts'
import { SharedMemory } from './shared-memory.ts'
import { ThreadLink } from './thread-link.ts'
import { ThreadPeers } from './thread-peers.ts'
import { ViewerReports } from './viewer-reports.ts'
import { shareOf } from './worker-share.ts'

const leastAllowance = 32 * 1024 * 1024
const mostAllowance = 256 * 1024 * 1024

export interface EdgeWorkerOptions {
  start: WorkerStart
  log: Logger
  /** Tells all other workers. */
  share: (fact: SharedFact) => void
}

/** Answers what the main thread asks for, one function for each operation. */
type Operations = {
  [Op in keyof WorkerOperations]: (
    args: WorkerOperations[Op]['args'],
  ) => WorkerOperations[Op]['result'] | Promise<WorkerOperations[Op]['result']>
}

type Told = Exclude<ToWorker, { kind: 'listen' | 'call' | 'stop' }>

export interface EdgeWorker extends AsyncDisposable {
  readonly operations: Operations
  listen(ports: FrontDoorAddress | undefined): Promise<FrontDoorAddress>
  /** What needs no answer. */
  on(message: Told): void
  stats(): WorkerStats
}

export async function createEdgeWorker(options: EdgeWorkerOptions): Promise<EdgeWorker> {
  await using stack = new AsyncDisposableStack()
  const { log, share } = options
  const { index, workers, ...start } = options.start
  const config = shareOf(start.config, workers)
  const clock = threadClock
  const { id } = config.node
  let draining = start.isDraining
  let isHandedOver = false
  const metrics = new Metrics('edge', id, version, true)
  const nodeToken = () => coordinator.nodeToken()
  const auth = createClusterAuth(config.cluster.secret, clock)
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
    threads: workers,
  })
  relays.verdicts.onKept = (keyDigest, refusal) => share({ fact: 'verdict', keyDigest, refusal })
  const admission = new Admission({
    limits: config.admission,
    trustedProxies: config.trustedProxies,
    clock,
    log,
    metrics,
    ...(workers > 1 && {
      shared: {
        tables: sharedTables(start.admission, index),
        onFailed: (address) => share({ fact: 'failed-key', address }),
      },
    }),
  })
  const progress = stack.use(new ProgressClients({ authorize: nodeToken, tls, clock, log }))
  const refusals = stack.use(
    new RefusalReporter({ clock, report: (report) => coordinator.reportRefusals(report) }),
  )
  const tests = new BandwidthTests({
    clock,
    refusalMemoryMs: config.ingest.refusalMemoryMs,
    report: (test, report) => coordinator.reportBandwidthTest(test, report),
  })
  tests.results.onKept = (keyDigest, refusal) => share({ fact: 'test-result', keyDigest, refusal })
  const ingest = new PublishIngest({
    popId: id,
    config,
    relays,
    admission,
    gateways,
    tests,
    onRefused: (keyDigest, refused) => refusals.note(keyDigest, refused),
    progressOf: (gatewayUrl) => progress.at(gatewayUrl),
    nodeToken,
    tls,
    clock,
  })
  const viewers = new ViewerReports(clock, start.viewerSalt)
  const memory = workers > 1 ? new SharedMemory(allowanceOf(start.config)) : undefined
  const peers = new ThreadPeers(index, memory)
  const { file } = config.accessLog
  const accessLog =
    file === undefined
      ? undefined
      : stack.use(
          await AccessLog.open({
            config: { ...config.accessLog, file },
            clock,
            log,
            metrics,
            lock: start.accessLogLock,
          }),
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
      pace: admission.requests,
      hosts: createHostList(config.hosts),
      isReady: () => !draining && gateways.problem === undefined,
      pages: await StaticPages.load(watchPages),
      accessLog,
      viewers,
      threads: peers,
      clock,
      log,
      metrics,
    }),
  )
  stack.use(peers)
  const certificates = new GivenCertificates(start.certificates)
  const createDoor = (ports: FrontDoorAddress | undefined) =>
    new FrontDoor({
      config: at(config, ports),
      handlers: {
        onRequest: (req, res) => delivery.handle(req, res),
        onRtmp: (socket, info) => ingest.handle(socket, info),
      },
      road: delivery.road,
      admission,
      certificates,
      shared: { ticketKeys: Buffer.from(start.ticketKeys), reusePort: start.reusePort },
      clock,
      log,
      metrics,
    })
  let door: FrontDoor
  let ending: EdgeDrain | undefined
  let limits = config.drain
  const link = (peer: number, port: MessagePort) => {
    const made: ThreadLink = new ThreadLink({
      port,
      cache: delivery.cache,
      onMemory: (bytes) => memory?.taken(bytes),
      onLost: () => {
        if (peers.get(peer) === made) peers.set(peer, undefined)
      },
    })
    peers.set(peer, made)
  }

  const learn = {
    'failed-key': (it) => admission.failedElsewhere(it.address),
    verdict: (it) => relays.verdicts.keep(it.keyDigest, it.refusal),
    'test-result': (it) => tests.results.keep(it.keyDigest, it.refusal),
  } satisfies { [Fact in SharedFact['fact']]: (it: Extract<SharedFact, { fact: Fact }>) => void }
  const on = {
    peer: ({ index: peer, port }) => link(peer, port),
    'peer-gone': ({ index: peer }) => peers.get(peer)?.lose(),
    snapshot: ({ snapshot }) => gateways.update(snapshot),
    draining: () => {
      draining = true
    },
    certificates: ({ pairs }) => certificates.replace(pairs),
    'log-level': ({ level }) => {
      log.level = level
    },
    fact: ({ fact }) => (learn[fact.fact] as (it: SharedFact) => void)(fact),
  } satisfies { [Kind in Told['kind']]: (message: Extract<Told, { kind: Kind }>) => void }

  const owned = stack.move()
  const serving = new AsyncDisposableStack()
  return {
    operations: {
      metrics: () => metrics.toJson(),
      purge: ({ prefix }) => delivery.purge(prefix),
      why: ({ url }) => delivery.why(url),
      top: ({ instance }) => delivery.top(instance),
      'reopen-log': async () => {
        await accessLog?.reopen()
        return true
      },
      'reload-pages': async () => {
        delivery.setPages(await StaticPages.load(watchPages))
        return true
      },
      'stop-listening': () => {
        draining = true
        isHandedOver = true
        void door.stopListening()
        return true
      },
      'hand-over': async (given) => {
        limits = given
        await ending?.handedOver()
        return true
      },
      'end-soon': async (given) => {
        limits = given
        await ending?.stop()
        return true
      },
      close: async () => {
        draining = true
        await serving.disposeAsync()
        return true
      },
    },
    async listen(ports) {
      door = serving.use(createDoor(ports))
      const address = await door.start()
      ending = new EdgeDrain({ limits: () => limits, viewers: door, publishers: relays, clock })
      serving.use(relays)
      return address
    },
    on: (message) => (on[message.kind] as (message: Told) => void)(message),
    stats: () => ({
      atMs: clock.monotonic(),
      streams: relays.streams,
      bytesIn: relays.bytesIn,
      bytesOut: delivery.bytesOut,
      viewers: viewers.take(),
    }),
    async [Symbol.asyncDispose]() {
      await serving.disposeAsync()
      await owned.disposeAsync()
    },
  }
}

/** A quarter of the cache may be taken by what has left it. */
function allowanceOf({ cache }: WorkerStart['config']): number {
  return Math.max(leastAllowance, Math.min(mostAllowance, cache.memoryBytes / 4))
}

/** At the ports that the first worker was given, where those are known. */
function at(config: WorkerStart['config'], ports: FrontDoorAddress | undefined) {
  if (!ports) return config
  const { http, rtmp, tls } = config
  return {
    ...config,
    tls: { ...tls, port: ports.tlsPort },
    http: { ...http, port: ports.httpPort ?? http.port },
    rtmp: { ...rtmp, port: ports.rtmpPort ?? rtmp.port },
  }
}
