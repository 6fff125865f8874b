// One encoder as a process (and whatever it starts), whose words are kept and which leaves nothing behind.
import { type ChildProcess, spawn } from 'node:child_process'

export class EncoderProcess implements AsyncDisposable {
  readonly #process: ChildProcess
  readonly exited: Promise<number | null>
  #output = ''
  #hasExited = false

  constructor(command: readonly string[], env: Record<string, string> = {}) {
    const [program = '', ...args] = command
    this.#process = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
      // A process group of its own, so that its helpers can be ended with it.
      detached: true,
    })
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.on('data', (bytes: Buffer) => {
        this.#output += bytes.toString()
      })
    }
    this.exited = new Promise((resolve) => {
      this.#process.once('error', (err) => {
        this.#output += String(err)
        resolve(null)
      })
      this.#process.once('exit', (code) => {
        this.#hasExited = true
        resolve(code)
      })
    })
  }

  /** What the encoder said, on both streams. */
  get output(): string {
    return this.#output
  }

  get isRunning(): boolean {
    return !this.#hasExited
  }

  /** As a user who presses Ctrl-C. */
  async stop(): Promise<number | null> {
    this.#signal('SIGINT')
    return await this.exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal('SIGKILL')
    await this.exited
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.#process.pid === undefined) return
    try {
      process.kill(-this.#process.pid, signal)
    } catch {
      // The group has gone already.
    }
  }
}
