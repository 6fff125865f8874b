// Keeps the RTMP receiver's process running: starts it, starts it again when it ends, publishes to it.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Clock, Timer } from '../../common/clock.ts'
import type { Logger } from '../../common/log.ts'
import type { ProcessGuard } from '../../common/process-guard.ts'
import { type UpstreamOutcome, UpstreamPublisher } from '../../common/relay/upstream-publisher.ts'
import type { FromReceiver, StartReceiver } from './receiver-messages.ts'

export interface ReceiverProcessOptions {
  /** Unix-domain sockets in a folder that nobody else may enter. */
  rtmpSocket: string
  mediaSocket: string
  folder: string
  guard: ProcessGuard
  clock: Clock
  log: Logger
}

const childFile = fileURLToPath(new URL('./rtmp-receiver-child.ts', import.meta.url))
const firstRestartMs = 250
const longestRestartMs = 5_000
const stopMs = 2_000
const publishLimits = { connectTimeoutMs: 2_000, publishTimeoutMs: 5_000 }

export class ReceiverProcess implements AsyncDisposable {
  readonly #options: ReceiverProcessOptions
  #child: ChildProcess | undefined
  #restartTimer: Timer | undefined
  #restartMs = firstRestartMs
  #isStopping = false
  #hasStarted = false
  #isListening = false

  constructor(options: ReceiverProcessOptions) {
    this.#options = options
  }

  get isListening(): boolean {
    return this.#isListening
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  async start(): Promise<void> {
    await this.#startChild()
    this.#hasStarted = true
  }

  /** A publish under a name of our own; its media comes to the media socket under that name. */
  publish(name: string): Promise<UpstreamOutcome> {
    const { clock, rtmpSocket: path } = this.#options
    const target = { host: 'localhost', port: 1935, path, app: 'live', streamName: name }
    return UpstreamPublisher.open(target, { clock, ...publishLimits })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true
    this.#restartTimer?.cancel()
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    const timer = this.#options.clock.setTimeout(() => child.kill('SIGKILL'), stopMs)
    // Losing its parent's channel is the child's sign to go.
    if (child.connected) child.disconnect()
    else child.kill('SIGKILL')
    await exited
    timer.cancel()
  }

  async #startChild(): Promise<void> {
    const { guard, folder, log, rtmpSocket, mediaSocket } = this.#options
    // One that was killed leaves it behind.
    await rm(rtmpSocket, { force: true })
    if (this.#isStopping) return
    const [execPath, execArgs] = guard.wrap(process.execPath, [])
    // `fork` runs `execPath ...execArgv file`, so the guard goes in front of Node.
    const child = fork(childFile, [], {
      execPath,
      execArgv: execArgs,
      cwd: folder,
      // Nothing of our environment: it parses bytes from the network and needs no secret.
      env: {},
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    this.#child = child
    const started = Promise.withResolvers<void>()
    let errors = ''
    child.stderr?.setEncoding('utf8')
    child.stderr?.on('data', (text: string) => {
      errors = (errors + text).slice(-2_000)
    })
    child.on('message', (message: FromReceiver) => {
      if (message.type === 'listening') {
        this.#isListening = true
        this.#restartMs = firstRestartMs
        started.resolve()
      } else if (message.type === 'listen-failed') {
        started.reject(new Error(`the RTMP receiver does not listen: ${message.message}`))
      } else log[message.level](message.message)
    })
    child.once('error', (err) => started.reject(err))
    child.once('exit', (code, signal) => {
      this.#isListening = false
      if (this.#child === child) this.#child = undefined
      const reason = signal ?? `exit code ${code}`
      started.reject(new Error(`the RTMP receiver ended: ${reason} ${errors}`))
      if (this.#isStopping || !this.#hasStarted) return
      log.error({ reason, errors }, 'the RTMP receiver ended; starting it again')
      this.#restartSoon()
    })
    // The exit of a child that cannot be told anything is handled above.
    child.send({ type: 'start', rtmpSocket, mediaSocket } satisfies StartReceiver, () => {})
    await started.promise
  }

  #restartSoon(): void {
    this.#restartTimer = this.#options.clock.setTimeout(() => {
      this.#restartMs = Math.min(this.#restartMs * 2, longestRestartMs)
      this.#startChild().catch((err) => {
        this.#options.log.error({ err }, 'the RTMP receiver does not start')
      })
    }, this.#restartMs)
  }
}
