// The all-in-one cluster: starts coordinator, transcoders, gateways, edges and, where asked, the test publisher,
// each in a process of its own, and stops them in reverse. Start order is reading order.
import { join } from 'node:path'
import { messageOf, ServiceError } from '../../common/errors.ts'
import { ApiClient } from '../api-client.ts'
import { ClusterPlan, type EdgePorts, type PlannedNode } from './cluster-plan.ts'
import { DataDir, writeAtomically } from './data-dir.ts'
import { type Endpoints, RoleChild } from './role-child.ts'

export interface UpOptions {
  dataDir: string
  pops: number
  gateways: number
  transcoders: number
  /** Settings for each of them. */
  transcoding: { partSeconds?: number; ladder?: string }
  publisher: boolean
  /** False: a role that dies stays down. */
  restart: boolean
  autoPorts: boolean
  edgePorts: EdgePorts[]
  readyFile?: string | undefined
  logLevel: string
  /** Progress and events for a person. */
  say(line: string): void
}

/** What the ready file holds. */
export interface ReadyFacts {
  edges: Endpoints[]
  gateways: Endpoints[]
  transcoders: Endpoints[]
  coordinator: Endpoints
  channels: { liveId: string; streamKey: string }[]
  caFile: string
}

const demoLiveId = 'demo'
const readyLimitMs = 30_000
const pollMs = 50

export class AllInOne implements AsyncDisposable {
  readonly #options: UpOptions
  readonly #dataDir: DataDir
  readonly #plan: ClusterPlan
  /** In start order. */
  readonly #children: RoleChild[] = []
  readonly #roles = { edges: [], gateways: [], transcoders: [] } as {
    [kind in 'edges' | 'gateways' | 'transcoders']: RoleChild[]
  }
  #coordinator: RoleChild | undefined
  #api: ApiClient | undefined
  #streamKey = ''
  #publisher: RoleChild | undefined

  constructor(options: UpOptions) {
    this.#options = options
    this.#dataDir = new DataDir(options.dataDir)
    this.#plan = new ClusterPlan({ ...options, dataDir: this.#dataDir.path })
  }

  async start(): Promise<ReadyFacts> {
    this.#coordinator = this.#child(this.#plan.coordinator())
    const { url } = await this.#coordinator.start()
    const coordinatorUrl = String(url)
    this.#api = new ApiClient({
      url: coordinatorUrl,
      token: this.#dataDir.readSecret('admin-token') ?? '',
    })
    this.#roles.transcoders = this.#plan
      .transcoders(coordinatorUrl)
      .map((node) => this.#child(node))
    this.#roles.gateways = this.#plan.gateways(coordinatorUrl).map((node) => this.#child(node))
    this.#roles.edges = this.#plan
      .edges(coordinatorUrl, this.#options.edgePorts)
      .map((node) => this.#child(node))
    const { transcoders, gateways, edges } = this.#roles
    const [channel] = await Promise.all([
      this.#ensureDemoChannel(),
      ...[...transcoders, ...gateways, ...edges].map((child) => child.start()),
    ])
    this.#streamKey = channel
    await this.#untilServing()
    if (this.#options.publisher) await this.#startPublisher()
    this.#writeReadyFile()
    return this.facts()
  }

  facts(): ReadyFacts {
    const withPid = (child: RoleChild) => ({ ...child.endpoints, pid: child.pid })
    return {
      edges: this.#roles.edges.map(withPid),
      gateways: this.#roles.gateways.map(withPid),
      transcoders: this.#roles.transcoders.map(withPid),
      coordinator: {
        ...(this.#coordinator && withPid(this.#coordinator)),
        adminToken: this.#dataDir.readSecret('admin-token'),
      },
      channels: [{ liveId: demoLiveId, streamKey: this.#streamKey }],
      caFile: this.#dataDir.file('ca', 'ca.pem'),
    }
  }

  /** A code that opens the console once; it stands in a URL's fragment, which no server sees. */
  async consoleCode(): Promise<string> {
    const { code } = await this.#requireApi().post<{ code: string }>('/api/v1/login-codes')
    return code
  }

  #requireApi(): ApiClient {
    if (!this.#api) throw new Error('the cluster has not been started')
    return this.#api
  }

  #child(node: PlannedNode): RoleChild {
    const child = new RoleChild({
      id: node.id,
      args: [node.role, '--config', this.#plan.write(node)],
      logFile: this.#dataDir.file('logs', `${node.id}.log`),
      restart: this.#options.restart,
      onGone: (message) => this.#options.say(message),
      onRestart: () => {
        this.#options.say(`${node.id} serves again`)
        this.#writeReadyFile()
      },
    })
    child.onFirstReady = (endpoints) => this.#pinPorts(node, endpoints)
    this.#children.push(child)
    return child
  }

  /** A role that comes back takes the ports that the others know it by. */
  #pinPorts(node: PlannedNode, endpoints: Endpoints): void {
    if (!this.#options.autoPorts) return
    const portOf = (url: unknown) =>
      typeof url === 'string' ? Number(new URL(url).port) : undefined
    const pin = (section: string, url: unknown) => {
      const settings = node.config[section] as { port?: number } | undefined
      const port = portOf(url)
      if (settings && port) settings.port = port
    }
    pin('admin', endpoints.admin)
    if (node.role === 'edge') {
      pin('tls', endpoints.https)
      pin('http', endpoints.http)
    } else {
      pin(node.role === 'transcoder' ? 'http' : 'listen', endpoints.url)
    }
    this.#plan.write(node)
  }

  async #ensureDemoChannel(): Promise<string> {
    const api = this.#requireApi()
    const known = this.#dataDir.readSecret('demo-key')
    const exists = await api.exists(`/api/v1/channels/${demoLiveId}`)
    if (exists && known) return known
    const { streamKey } = exists
      ? await api.post<{ streamKey: string }>(`/api/v1/channels/${demoLiveId}/keys`, {
          label: 'up',
        })
      : await api.post<{ streamKey: string }>('/api/v1/channels', {
          liveId: demoLiveId,
          name: 'Demo',
        })
    this.#dataDir.writeSecret('demo-key', streamKey)
    return streamKey
  }

  /** Every node has told the coordinator of itself, and every node's readiness says yes. */
  async #untilServing(): Promise<void> {
    const nodes = [...this.#roles.edges, ...this.#roles.gateways, ...this.#roles.transcoders]
    const deadline = performance.now() + readyLimitMs
    for (;;) {
      const problems = await Promise.all(nodes.map((child) => readinessProblem(child)))
      const waiting = problems.filter((problem) => problem !== undefined)
      if (waiting.length === 0) return
      if (performance.now() > deadline) {
        throw new ServiceError(`not ready after 30 s: ${waiting.join('; ')}`, {
          code: 'not-ready',
          source: 'internal',
        })
      }
      await new Promise((resolve) => setTimeout(resolve, pollMs))
    }
  }

  async #startPublisher(): Promise<void> {
    const [edge] = this.#roles.edges
    this.#publisher = new RoleChild({
      id: 'publisher',
      args: [
        ...['publish', 'test', '--to', String(edge?.endpoints?.rtmps), '--reconnect'],
        ...[
          '--key-file',
          this.#dataDir.file('demo-key'),
          '--ca',
          this.#dataDir.file('ca', 'ca.pem'),
        ],
      ],
      logFile: this.#dataDir.file('logs', 'publisher.log'),
      restart: this.#options.restart,
      onGone: (message) => this.#options.say(message),
    })
    this.#children.push(this.#publisher)
    await this.#publisher.start()
  }

  #writeReadyFile(): void {
    const content = `${JSON.stringify(this.facts(), null, 2)}\n`
    writeAtomically(this.#dataDir.file('ready.json'), content)
    if (this.#options.readyFile) writeAtomically(this.#options.readyFile, content)
  }

  /** Publisher first, coordinator last. */
  async [Symbol.asyncDispose](): Promise<void> {
    const coordinator = this.#coordinator
    const others = this.#children.filter((child) => child !== coordinator).reverse()
    await this.#publisher?.stop()
    await Promise.all(others.map((child) => child.stop()))
    await coordinator?.stop()
    this.#dataDir[Symbol.dispose]()
  }

  /** Every role rereads its config and certificates. */
  reload(): void {
    for (const child of this.#children) if (child !== this.#publisher) child.signal('SIGHUP')
  }

  /** Ends everything at once. */
  kill(): void {
    for (const child of this.#children) child.kill()
    this.#dataDir[Symbol.dispose]()
  }
}

async function readinessProblem(child: RoleChild): Promise<string | undefined> {
  try {
    const answer = await fetch(`${child.endpoints?.admin}/readyz?verbose`, {
      signal: AbortSignal.timeout(2_000),
    })
    return answer.ok ? undefined : `${child.id}: ${(await answer.text()).trim()}`
  } catch (err) {
    return `${child.id}: ${messageOf(err)}`
  }
}

/** Where `up` keeps its state unless told otherwise. */
export const defaultDataDir = join('.nearcast', 'data')
