// Real workers on shared ports in front of a scripted origin, which they take for their gateway.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../../common/clock.ts'
import type { ClusterSnapshot, NodeInfo } from '../../common/contract/membership.ts'
import { type Logger, lineLock, silentLogger } from '../../common/log.ts'
import type { MetricsJson } from '../../common/metrics.ts'
import { threadClock } from '../../common/thread-clock.ts'
import { edgeConfigSchema } from '../../config/schema.ts'
import { certificateStoreOf, type FrontDoorAddress } from '../../edge/front/front-door.ts'
import type { WorkerStart } from '../../edge/worker/messages.ts'
import type { SeenViewers } from '../../edge/worker/viewer-reports.ts'
import { WorkerPool } from '../../edge/worker/worker-pool.ts'
import { type Protocol, type ViewedAnswer, type ViewOptions, view } from './http-viewer.ts'
import { ScriptedOrigin } from './scripted-origin.ts'

// Threads do not inherit the cache of `nearcast` itself; by this each of dozens does not compile the same files anew.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, '../../node_modules/.cache/nearcast')

export interface WorkerRigOptions {
  workers?: number
  config?: Record<string, unknown>
  /** Of the pool. */
  log?: Logger
  clock?: Clock
}

export class WorkerRig implements AsyncDisposable {
  readonly origin: ScriptedOrigin
  readonly pool: WorkerPool
  readonly address: FrontDoorAddress
  readonly ca: string
  /** All that the workers have told of viewers. */
  readonly viewers: SeenViewers
  readonly #stack: AsyncDisposableStack

  private constructor(
    parts: Pick<WorkerRig, 'origin' | 'pool' | 'address' | 'ca' | 'viewers'>,
    stack: AsyncDisposableStack,
  ) {
    this.origin = parts.origin
    this.pool = parts.pool
    this.address = parts.address
    this.ca = parts.ca
    this.viewers = parts.viewers
    this.#stack = stack
  }

  static async start({
    workers = 2,
    config: more,
    log = silentLogger,
    clock = threadClock,
  }: WorkerRigOptions = {}): Promise<WorkerRig> {
    await using stack = new AsyncDisposableStack()
    const dir = await mkdtemp(join(tmpdir(), 'nearcast-workers-'))
    stack.defer(() => rm(dir, { recursive: true, force: true }))
    const origin = stack.use(await ScriptedOrigin.start())
    const loopback = { host: '127.0.0.1', port: 0 }
    const config = edgeConfigSchema.parse({
      role: 'edge',
      node: { id: 'pop-1' },
      dataDir: dir,
      cluster: { coordinator: 'http://127.0.0.1:1', secret: 'x'.repeat(32) },
      tls: loopback,
      http: loopback,
      rtmp: { ...loopback, enabled: true },
      ...more,
    }) as WorkerStart['config']
    const plumbing = { clock, log }
    const certificates = stack.use(certificateStoreOf({ config, ...plumbing }))
    await certificates.start()
    const viewers: SeenViewers = []
    const pool = stack.use(
      new WorkerPool({
        workers,
        config,
        logging: { level: 'silent', format: 'json', lineLock },
        certificates: certificates.pairs,
        reusePort: true,
        onViewers: (seen) => void viewers.push(...seen),
        ...plumbing,
      }),
    )
    const address = await pool.start()
    pool.setSnapshot(snapshotWith(origin.url))
    // Answers come after the snapshot before them.
    await pool.call('metrics', undefined)
    const ca = await readFile(join(dir, 'ca', 'ca.pem'), 'utf8')
    return new WorkerRig({ origin, pool, address, ca, viewers }, stack.move())
  }

  /** Each over a connection of its own. */
  view(path: string, options?: ViewOptions, protocol: Protocol = 'h1'): Promise<ViewedAnswer> {
    return view(protocol, `http://127.0.0.1:${this.address.httpPort}`, path, options)
  }

  views(count: number, path: string): Promise<ViewedAnswer[]> {
    return Promise.all(Array.from({ length: count }, () => this.view(path)))
  }

  /** A counter or gauge of each worker, over all labels that match. */
  async ofEach(name: string, labels: Record<string, string> = {}): Promise<number[]> {
    const pages = await this.pool.call('metrics', undefined)
    return pages.map((page) => totalOf(page, name, labels))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync()
  }
}

export function totalOf(page: MetricsJson, name: string, labels: Record<string, string>): number {
  const metric = page.find((one) => one.name === `nearcast_${name}`)
  const values = (metric?.values ?? []).filter((value) =>
    Object.entries(labels).every(
      ([label, wanted]) => (value.labels as Record<string, unknown>)[label] === wanted,
    ),
  )
  return values.reduce((sum, { value }) => sum + value, 0)
}

function snapshotWith(http: string): ClusterSnapshot {
  const gateway = {
    id: 'gw-1',
    role: 'gateway',
    draining: false,
    weight: 1,
    urls: { http },
    load: { streams: 0 },
  }
  return { generation: 1, nodes: [gateway as unknown as NodeInfo], routes: [] }
}
