// The whole edge as operators run it, by its own command and config file: front door, admission, counters, limits.
// Beside it a coordinator, which does nothing meanwhile, and a gateway that is none: it stands for the origin's URL.
//
// Whatever the edge is made of, workers or not, is behind this one function.

import { readFileSync } from 'node:fs'
import { systemClock } from '../../common/clock.ts'
import { createClusterAuth } from '../../common/cluster/cluster-auth.ts'
import { CoordinatorClient } from '../../common/cluster/coordinator-client.ts'
import { MembershipAgent } from '../../common/cluster/membership-agent.ts'
import { NodeHeartbeat } from '../../common/cluster/node-heartbeat.ts'
import { createLogger } from '../../common/log.ts'
import { WrittenCluster } from '../../test/support/written-cluster.ts'
import { type BenchServer, loadCore, serverCore } from './bench-server.ts'
import type { Certificate } from './certificate.ts'
import { pin } from './processes.ts'

export interface OurEdgeOptions {
  originPort: number
  certificate: Certificate
  cacheBytes?: number
}

export interface OurEdge extends AsyncDisposable {
  server: BenchServer & { tlsPort: number }
  /** Base URL of its admin listener. */
  admin: string
}

const edgeId = 'bench'
/** A crowd of the scenarios comes within seconds; per address nothing is limited on loopback. */
const handshakesPerSecond = 20_000
const maxConnections = 30_000

export async function startOurEdge(options: OurEdgeOptions): Promise<OurEdge> {
  await using stack = new AsyncDisposableStack()
  const cluster = stack.use(await WrittenCluster.start())
  pin(loadCore, cluster.pid('coordinator'))
  await gatewayAt(stack, cluster, `http://127.0.0.1:${options.originPort}`)
  const { certificateFile: certFile, keyFile } = options.certificate
  const listen = { host: '127.0.0.1', port: 0 }
  await cluster.join('edge', edgeId, {
    log: { level: 'error', format: 'json' },
    tls: { ...listen, certificates: [{ certFile, keyFile }] },
    http: listen,
    admission: { node: { handshakesPerSecond } },
    ingest: { maxConnections },
    workers: 1,
    ...(options.cacheBytes && { cache: { memoryBytes: options.cacheBytes } }),
  })
  const pid = cluster.pid(edgeId)
  pin(serverCore, pid)
  const portOf = (which: string) => Number(new URL(cluster.url(edgeId, which)).port)
  const server = {
    name: 'nearcast' as const,
    pid,
    plain: `http://127.0.0.1:${portOf('http')}`,
    tlsPort: portOf('https'),
  }
  const owned = stack.move()
  return {
    server,
    admin: cluster.url(edgeId, 'admin'),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Tells the coordinator of a gateway at this URL, again and again, as a gateway does. */
async function gatewayAt(
  stack: AsyncDisposableStack,
  cluster: WrittenCluster,
  url: string,
): Promise<void> {
  const clock = systemClock
  const log = createLogger({ name: 'bench', level: 'error', format: 'json' })
  const secret = readFileSync(cluster.file('cluster-secret'), 'utf8').trim()
  const client = new CoordinatorClient({
    url: cluster.url('coordinator', 'url'),
    auth: createClusterAuth(secret, clock),
    nodeId: 'origin',
    role: 'gateway',
    log,
    clock,
  })
  stack.use(client)
  const settings = { region: null, latitude: null, longitude: null, weight: 1 }
  const self = new NodeHeartbeat('gateway', settings, clock)
  const urls = { http: url, rtmp: 'rtmp://127.0.0.1:9/live' }
  const parts = { urls, draining: false, streams: 0, bytesIn: 0, bytesOut: 0 }
  const membership = stack.use(
    new MembershipAgent({
      client,
      clock,
      log,
      dataDir: cluster.file('origin'),
      heartbeat: () => self.beat(parts),
    }),
  )
  await membership.start()
}
