// The config files of an all-in-one cluster, as an operator would write them by hand: `up` keeps them below
// its data directory, so that each role can be looked at, and started alone, with the same settings.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'

export interface PlanOptions {
  dataDir: string
  pops: number
  gateways: number
  transcoders: number
  /** Settings for each of them. */
  transcoding: { partSeconds?: number; ladder?: string }
  /** True: free ports everywhere. */
  autoPorts: boolean
  logLevel: string
}

export interface EdgePorts {
  https: number
  http: number
}

export type RoleName = 'coordinator' | 'transcoder' | 'gateway' | 'edge'

export interface PlannedNode {
  id: string
  role: RoleName
  /** Settings in the shape of the role's config file. */
  config: Record<string, unknown>
}

const loopback = '127.0.0.1'
const firstAdminPort = 9101

export class ClusterPlan {
  readonly #options: PlanOptions
  #adminPort = firstAdminPort

  constructor(options: PlanOptions) {
    this.#options = options
  }

  get #secretFile(): string {
    return join(this.#options.dataDir, 'cluster-secret')
  }

  coordinator(): PlannedNode {
    return this.#node('coordinator', 'coordinator', {
      cluster: { secretFile: this.#secretFile },
      listen: { host: loopback, port: this.#port(7000) },
      adminTokenFile: join(this.#options.dataDir, 'admin-token'),
    })
  }

  transcoders(coordinatorUrl: string): PlannedNode[] {
    return this.#times(this.#options.transcoders, (i) =>
      this.#node(`tc-${i + 1}`, 'transcoder', {
        cluster: { coordinator: coordinatorUrl, secretFile: this.#secretFile },
        http: { host: loopback, port: this.#port(8101 + i) },
        rtmp: { host: loopback, port: 0 },
        ...this.#options.transcoding,
      }),
    )
  }

  gateways(coordinatorUrl: string): PlannedNode[] {
    return this.#times(this.#options.gateways, (i) =>
      this.#node(`gw-${i + 1}`, 'gateway', {
        cluster: { coordinator: coordinatorUrl, secretFile: this.#secretFile },
        listen: { host: loopback, port: this.#port(8081 + i) },
      }),
    )
  }

  edges(coordinatorUrl: string, ports: EdgePorts[]): PlannedNode[] {
    return ports.map((port, i) =>
      this.#node(`pop-${i + 1}`, 'edge', {
        cluster: { coordinator: coordinatorUrl, secretFile: this.#secretFile },
        // Coordinator, gateway and transcoder are on the same machine.
        workers: 1,
        tls: { port: port.https, localCa: { dir: join(this.#options.dataDir, 'ca') } },
        http: { port: port.http },
      }),
    )
  }

  /** Writes a node's config file and returns its path. */
  write(node: PlannedNode): string {
    const dir = join(this.#options.dataDir, 'config')
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    const file = join(dir, `${node.id}.yaml`)
    writeFileSync(
      file,
      `# Written by \`nearcast up\`; made anew at each start.\n${stringify(node.config)}`,
      {
        mode: 0o600,
      },
    )
    return file
  }

  #node(id: string, role: RoleName, settings: Record<string, unknown>): PlannedNode {
    return {
      id,
      role,
      config: {
        role,
        node: { id },
        dataDir: join(this.#options.dataDir, id),
        log: { level: this.#options.logLevel, format: 'json' },
        admin: { host: loopback, port: this.#port(this.#adminPort++) },
        ...settings,
      },
    }
  }

  #port(fixed: number): number {
    return this.#options.autoPorts ? 0 : fixed
  }

  #times<T>(count: number, make: (index: number) => T): T[] {
    return Array.from({ length: count }, (_, index) => make(index))
  }
}
