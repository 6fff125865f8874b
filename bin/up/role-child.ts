// One role of `up` in a process of its own: starts it, waits until it serves, restarts it when it dies,
// unless it shall stay down.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export interface RoleChildOptions {
  id: string
  /** Arguments of the `nearcast` command. */
  args: string[]
  logFile: string
  /** Environment of the child; its own secrets are in files. */
  env?: NodeJS.ProcessEnv
  /** False: once it serves, nobody starts it again when it dies. */
  restart: boolean
  onRestart?(child: RoleChild): void
  onGone?(message: string): void
}

export type Endpoints = Record<string, unknown>

const program = fileURLToPath(new URL('../nearcast.ts', import.meta.url))
const stopLimitMs = 12_000
const firstBackoffMs = 500
const maxBackoffMs = 30_000
/** A process that lived so long starts with the first back-off again. */
const healthyMs = 5_000

export class RoleChild {
  readonly id: string
  readonly #options: RoleChildOptions
  #process: ChildProcess | undefined
  #endpoints: Endpoints | undefined
  #stopping = false
  #backoffMs = firstBackoffMs
  #restart: NodeJS.Timeout | undefined
  #exited: Promise<void> = Promise.resolve()
  onFirstReady: (endpoints: Endpoints) => void = () => {}

  constructor(options: RoleChildOptions) {
    this.id = options.id
    this.#options = options
  }

  get pid(): number | undefined {
    return this.#process?.pid
  }

  get endpoints(): Endpoints | undefined {
    return this.#endpoints
  }

  /** Resolves when the role has said `ready`; rejects with its own words when it leaves before. */
  start(): Promise<Endpoints> {
    const { promise, resolve, reject } = Promise.withResolvers<Endpoints>()
    const startedAt = performance.now()
    const logFd = openSync(this.#options.logFile, 'a', 0o600)
    // A process group of its own: the terminal's Ctrl-C reaches only `up`, which stops roles in order. The IPC
    // channel takes the role down when `up` itself is killed.
    const child = spawn(process.execPath, [program, ...this.#options.args], {
      detached: true,
      stdio: ['ignore', logFd, logFd, 'ipc'],
      ...(this.#options.env && { env: this.#options.env }),
    })
    closeSync(logFd)
    this.#process = child
    let failure: string | undefined
    child.on('message', (message: { type?: string; endpoints?: Endpoints; message?: string }) => {
      if (message.type === 'ready') {
        const isFirst = this.#endpoints === undefined
        this.#endpoints = message.endpoints ?? {}
        if (isFirst) this.onFirstReady(this.#endpoints)
        resolve(this.#endpoints)
      } else if (message.type === 'failed') {
        failure = message.message
      }
    })
    child.once('error', (err) => reject(err))
    this.#exited = new Promise((exited) => {
      child.once('exit', (code, signal) => {
        const wasReady = this.#endpoints !== undefined
        const how = signal ? `was killed by ${signal}` : `left with exit code ${code}`
        const words = failure ?? lastLine(this.#options.logFile)
        reject(
          new Error(
            `${this.id} ${how}${words ? `: ${words}` : ''} (log: ${this.#options.logFile})`,
          ),
        )
        if (wasReady && !this.#stopping) {
          if (code === 0) this.#options.onGone?.(`${this.id} was stopped and stays down`)
          else if (this.#options.restart) this.#scheduleRestart(how, startedAt)
          else this.#options.onGone?.(`${this.id} ${how} and stays down (--no-restart)`)
        }
        exited()
      })
    })
    return promise
  }

  #scheduleRestart(how: string, startedAt: number): void {
    if (performance.now() - startedAt > healthyMs) this.#backoffMs = firstBackoffMs
    const waitMs = this.#backoffMs
    this.#backoffMs = Math.min(this.#backoffMs * 2, maxBackoffMs)
    this.#options.onGone?.(`${this.id} ${how}; starting it again in ${waitMs / 1000} s`)
    this.#restart = setTimeout(() => {
      this.start().then(
        () => this.#options.onRestart?.(this),
        (err: Error) => this.#options.onGone?.(err.message),
      )
    }, waitMs)
  }

  signal(signal: NodeJS.Signals): void {
    this.#process?.kill(signal)
  }

  /** TERM, then KILL after 12 s. Resolves when the process is gone. */
  async stop(): Promise<void> {
    this.#stopping = true
    clearTimeout(this.#restart)
    const child = this.#process
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGTERM')
    const kill = setTimeout(() => child.kill('SIGKILL'), stopLimitMs)
    await this.#exited
    clearTimeout(kill)
  }

  kill(): void {
    this.#stopping = true
    clearTimeout(this.#restart)
    this.#process?.kill('SIGKILL')
  }
}

function lastLine(file: string): string {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').at(-1)?.slice(0, 500) ?? ''
  } catch {
    return ''
  }
}
