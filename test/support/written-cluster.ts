// A cluster whose config files a test writes as an operator would, one process per file, where `nearcast up` has no
// option for what is to be seen; proves afterwards that nothing of it is left.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { RoleChild } from '../../bin/up/role-child.ts'
import type { ConfigRole } from '../../config/schema.ts'
import { processesMentioning } from './processes.ts'
import { until } from './until.ts'

export type WrittenSettings = Record<string, unknown>

export class WrittenCluster implements AsyncDisposable {
  readonly dir: string
  /** In start order, the coordinator first. */
  readonly #nodes = new Map<string, RoleChild>()
  /** Processes whose node has another one now, and which may not have left yet. */
  readonly #former: RoleChild[] = []
  readonly #gone: string[] = []

  private constructor(dir: string) {
    this.dir = dir
  }

  /** Resolves with the coordinator up and no other node. */
  static async start(): Promise<WrittenCluster> {
    const cluster = new WrittenCluster(mkdtempSync(join(tmpdir(), 'nearcast-test-')))
    try {
      for (const name of ['config', 'logs']) mkdirSync(join(cluster.dir, name))
      writeFileSync(cluster.file('cluster-secret'), `ncs_${'s'.repeat(43)}\n`, { mode: 0o600 })
      await cluster.#start('coordinator', 'coordinator', {
        cluster: { secretFile: cluster.file('cluster-secret') },
        listen: { host: '127.0.0.1', port: 0 },
        adminTokenFile: cluster.file('admin-token'),
      })
    } catch (err) {
      await cluster[Symbol.asyncDispose]()
      throw err
    }
    return cluster
  }

  /** Writes a node's file and starts it; resolves when it is ready and has joined. */
  async join(
    role: Exclude<ConfigRole, 'coordinator'>,
    id: string,
    settings: WrittenSettings,
  ): Promise<void> {
    const coordinator = this.url('coordinator', 'url')
    const cluster = { coordinator, secretFile: this.file('cluster-secret') }
    await this.#start(role, id, { cluster, ...settings })
    const admin = this.url(id, 'admin')
    await until(`${id} to be ready`, async () => (await fetch(`${admin}/readyz`)).ok)
  }

  /**
   * Starts another process of an edge, which takes over from the one that runs; resolves when it serves, with what
   * waits until the other has left by itself, with 0.
   */
  async takeOver(id: string): Promise<{ left(): Promise<void> }> {
    const before = this.#nodes.get(id)!
    await this.#run(id, ['edge', '--config', this.file('config', `${id}.yaml`), '--take-over'])
    this.#former.push(before)
    const left = async () => {
      await until(`the former ${id} to leave`, () =>
        this.#gone.includes(`${id} was stopped and stays down`),
      )
      this.#gone.length = 0
    }
    return { left }
  }

  file(...names: string[]): string {
    return join(this.dir, ...names)
  }

  /** What a node has told of itself. */
  url(id: string, which: string): string {
    return String(this.#nodes.get(id)?.endpoints?.[which])
  }

  pid(id: string): number {
    return this.#nodes.get(id)!.pid!
  }

  log(id: string): string {
    return readFileSync(this.file('logs', `${id}.log`), 'utf8')
  }

  /** Bearer-authorised call of the coordinator's API; throws on any status but 2xx. */
  async api<T>(method: string, path: string, body?: unknown): Promise<T> {
    const authorization = `Bearer ${readFileSync(this.file('admin-token'), 'utf8').trim()}`
    const answer = await fetch(this.url('coordinator', 'url') + path, {
      method,
      headers: { authorization, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
    return JSON.parse(text) as T
  }

  /** The coordinator last; throws when a process of the cluster outlives it. */
  async [Symbol.asyncDispose](): Promise<void> {
    const [coordinator, ...others] = this.#nodes.values()
    await Promise.all([...others, ...this.#former].map((node) => node.stop()))
    await coordinator?.stop()
    const left = await processesMentioning(this.dir)
    rmSync(this.dir, { recursive: true, force: true })
    for (const { pid } of left) process.kill(pid, 'SIGKILL')
    if (left.length > 0) throw new Error(`left behind: ${JSON.stringify(left)}`)
  }

  async #start(role: ConfigRole, id: string, settings: WrittenSettings): Promise<void> {
    const file = this.file('config', `${id}.yaml`)
    const common = {
      ...{ role, node: { id }, dataDir: this.file(id) },
      log: { level: 'debug', format: 'json' },
      admin: { host: '127.0.0.1', port: 0 },
    }
    writeFileSync(file, stringify({ ...common, ...settings }))
    await this.#run(id, [role, '--config', file])
  }

  /** A process that does not start leaves the one before in its place. */
  async #run(id: string, args: string[]): Promise<void> {
    const node = new RoleChild({
      id,
      args,
      logFile: this.file('logs', `${id}.log`),
      restart: false,
      onGone: (message) => this.#gone.push(message),
    })
    const before = this.#nodes.get(id)
    if (!before) this.#nodes.set(id, node)
    await node.start()
    this.#nodes.set(id, node)
  }
}
