// Boots a real cluster by `nearcast up` on free ports, one process per role, and proves afterwards that
// nothing of it is left.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { processesMentioning } from './processes.ts'

export interface ClusterOptions {
  pops?: number
  transcoders?: number
  gateways?: number
  publisher?: boolean
  /** Further arguments of `up`. */
  args?: readonly string[]
  env?: Record<string, string>
}

export interface EdgeFacts {
  id: string
  https: string
  http: string
  rtmps: string
  admin: string
  pid: number
}

export interface NodeFacts {
  id: string
  url: string
  admin: string
  pid: number
}

export interface ReadyFacts {
  edges: EdgeFacts[]
  gateways: (NodeFacts & { rtmp: string })[]
  transcoders: (NodeFacts & { rtmp: string })[]
  coordinator: { url: string; adminToken: string; pid: number }
  channels: { liveId: string; streamKey: string }[]
  caFile: string
}

const program = fileURLToPath(new URL('../../bin/nearcast.ts', import.meta.url))
const startLimitMs = 60_000

export class Cluster implements AsyncDisposable {
  readonly dir: string
  readonly #process: ChildProcess
  readonly #exited: Promise<number | null>
  #output = ''

  private constructor(dir: string, child: ChildProcess) {
    this.dir = dir
    this.#process = child
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (bytes: Buffer) => {
        this.#output += bytes.toString()
      })
    }
    this.#exited = new Promise((resolve) => child.once('exit', resolve))
  }

  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    const dir = mkdtempSync(join(tmpdir(), 'nearcast-test-'))
    const args = ['up', '--ports', 'auto', '--data', dir, '--log-level', 'debug']
    args.push('--pops', String(options.pops ?? 1), '--gateways', String(options.gateways ?? 1))
    args.push('--transcoders', String(options.transcoders ?? 1))
    args.push(...(options.args ?? []))
    if (options.publisher) args.push('--publisher')
    const child = spawn(process.execPath, [program, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
    })
    folders.add(dir)
    const cluster = new Cluster(dir, child)
    try {
      await cluster.#untilReady()
    } catch (err) {
      await cluster[Symbol.asyncDispose]()
      throw err
    }
    return cluster
  }

  /** Facts as they are now: a role that was started again has a new process id. */
  get facts(): ReadyFacts {
    return JSON.parse(readFileSync(join(this.dir, 'ready.json'), 'utf8'))
  }

  get output(): string {
    return this.#output
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  log(node: string): string {
    return readFileSync(join(this.dir, 'logs', `${node}.log`), 'utf8')
  }

  /** Bearer-authorised call of the coordinator's API; throws on any status but 2xx. */
  async api<T>(method: string, path: string, body?: unknown): Promise<T> {
    const { url, adminToken } = this.facts.coordinator
    const answer = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
    return (text ? JSON.parse(text) : undefined) as T
  }

  /** Sends `up` a signal and resolves with its exit code. */
  async signal(signal: NodeJS.Signals): Promise<number | null> {
    this.#process.kill(signal)
    return await this.#exited
  }

  /** Stops in order; throws when a process of the cluster outlives it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      await this.signal('SIGTERM')
    }
    const left = await processesMentioning(this.dir)
    removeFolder(this.dir)
    if (left.length > 0) {
      for (const { pid } of left) process.kill(pid, 'SIGKILL')
      throw new Error(
        `left behind:\n${left.map(({ pid, command }) => `${pid} ${command}`).join('\n')}`,
      )
    }
  }

  #untilReady(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const deadline = setTimeout(() => {
      this.#process.kill('SIGTERM')
      reject(new Error(`the cluster is not ready after ${startLimitMs} ms:\n${this.#output}`))
    }, startLimitMs)
    this.#process.stdout?.on('data', () => {
      if (/^ready \{/m.test(this.#output)) resolve()
    })
    void this.#exited.then((code) => reject(new Error(`up left with ${code}:\n${this.#output}`)))
    return promise.finally(() => clearTimeout(deadline))
  }
}

/** Of clusters that are there, for whoever has to leave before they could be disposed of. */
const folders = new Set<string>()
process.on('exit', () => folders.forEach(removeFolder))

function removeFolder(dir: string): void {
  folders.delete(dir)
  rmSync(dir, { recursive: true, force: true })
}
