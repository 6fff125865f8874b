// One running ffmpeg: bytes go in on stdin and come out on pipes of their own, always drained, since one that is
// not blocks all of them. A stall or a crash is noticed, and it always ends: by the end of its input, or by a
// timer's SIGKILL.
import { type ChildProcess, spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import type { Clock, Timer } from '../../common/clock.ts'
import type { Logger } from '../../common/log.ts'
import type { ProcessGuard, ResourceLimits } from '../../common/process-guard.ts'
import { firstOutputFd } from './encoder-args.ts'

export interface FfmpegProcessOptions {
  command: string
  args: readonly string[]
  /** Get what comes on the pipes from `firstOutputFd` on; what comes there is the sign of life. */
  outputs: readonly ((bytes: Buffer) => void)[]
  guard: ProcessGuard
  clock: Clock
  log: Logger
  /** Fed but without output for so long, it is killed. */
  stallMs: number
}

/** `ended`: its input ended and it finished. `killed`: by us, on purpose. */
export type FfmpegExit = { kind: 'ended' | 'killed' | 'stalled' | 'crashed'; detail: string }

const limits: ResourceLimits = {
  // Threads grow with the cores, and each reserves address space for its stack and its heap.
  addressSpaceBytes: 8 * 1024 ** 3 + availableParallelism() * 512 * 1024 ** 2,
  fileSizeBytes: 1024 ** 3,
  openFiles: 256,
}
/** After the end of its input it has so long to give what it has. */
const finishMs = 5_000
const maxErrorLines = 20

type Pipe = Readable | Writable | null | undefined

export class FfmpegProcess {
  readonly #options: FfmpegProcessOptions
  readonly #child: ChildProcess
  /** Absent where not even pipes could be had. */
  readonly #stdin: Writable | undefined
  readonly #exited = Promise.withResolvers<FfmpegExit>()
  readonly #errorLines: string[] = []
  #killTimer: Timer | undefined
  readonly #stallTimer: Timer
  #reason: 'killed' | 'stalled' | undefined
  #isInputEnded = false
  /** Start of the time in which media was fed and nothing came of it. */
  #fedWithoutOutputSince: number | undefined

  static start(options: FfmpegProcessOptions): FfmpegProcess {
    const [command, args] = options.guard.wrap(options.command, options.args, limits)
    const pipes = options.outputs.map(() => 'pipe' as const)
    const child = spawn(command, args, {
      cwd: '/',
      stdio: ['pipe', 'ignore', 'pipe', ...pipes],
      // It parses what strangers send: no secret of ours is in reach.
      env: {},
      // Out of the terminal's process group: Ctrl-C reaches us alone, and we end it in order.
      detached: true,
    })
    return new FfmpegProcess(options, child)
  }

  private constructor(options: FfmpegProcessOptions, child: ChildProcess) {
    this.#options = options
    this.#child = child
    this.#stdin = child.stdin ?? undefined
    this.#child.once('error', (err) => this.#finish({ kind: 'crashed', detail: err.message }))
    this.#child.once('close', (code, signal) => this.#onClose(code, signal))
    // A pipe that breaks is reported by the exit; without a listener it would end our process.
    this.#stdin?.on('error', () => {})
    this.#readLines(this.#child.stderr, (line) => this.#onErrorLine(line))
    options.outputs.forEach((onBytes, index) => {
      this.#readOutput(this.#child.stdio?.[firstOutputFd + index], onBytes)
    })
    this.#stallTimer = options.clock.setInterval(() => this.#checkStall(), 500)
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Resolves once the process is gone and everything it said is read; never rejects. */
  get exited(): Promise<FfmpegExit> {
    return this.#exited.promise
  }

  /** Written, but not yet taken by the pipe. */
  get bufferedBytes(): number {
    return this.#stdin?.writableLength ?? 0
  }

  /** Never blocks: what the pipe does not take yet waits in memory. */
  write(bytes: Buffer): void {
    if (this.#isInputEnded || !this.#stdin?.writable) return
    this.#fedWithoutOutputSince ??= this.#options.clock.monotonic()
    this.#stdin.write(bytes)
  }

  /** Ends the input; the process finishes what it has, or is killed when that takes too long. */
  finish(): void {
    if (this.#isInputEnded) return
    this.#isInputEnded = true
    this.#stdin?.end()
    this.#killTimer = this.#options.clock.setTimeout(() => this.#kill('killed'), finishMs)
  }

  kill(): void {
    this.#isInputEnded = true
    this.#kill('killed')
  }

  #kill(reason: 'killed' | 'stalled'): void {
    this.#reason ??= reason
    this.#child.kill('SIGKILL')
  }

  #checkStall(): void {
    const since = this.#fedWithoutOutputSince
    if (since === undefined || this.#isInputEnded) return
    if (this.#options.clock.monotonic() - since >= this.#options.stallMs) this.#kill('stalled')
  }

  #onErrorLine(line: string): void {
    this.#errorLines.push(line.slice(0, 500))
    if (this.#errorLines.length > maxErrorLines) this.#errorLines.shift()
    this.#options.log.debug({ line: line.slice(0, 500) }, 'ffmpeg')
  }

  #onClose(code: number | null, signal: NodeJS.Signals | null): void {
    const said = this.#errorLines.slice(-3).join(' | ')
    const status = signal ? `signal ${signal}` : `exit code ${code}`
    const detail = said ? `${status}: ${said}` : status
    if (this.#reason) this.#finish({ kind: this.#reason, detail })
    else if (this.#isInputEnded && code === 0) this.#finish({ kind: 'ended', detail })
    else this.#finish({ kind: 'crashed', detail })
  }

  #finish(exit: FfmpegExit): void {
    this.#stallTimer.cancel()
    this.#killTimer?.cancel()
    this.#isInputEnded = true
    this.#exited.resolve(exit)
  }

  #readOutput(stream: Pipe, onBytes: (bytes: Buffer) => void): void {
    if (!stream) return
    stream.on('error', () => {})
    stream.on('data', (bytes: Buffer) => {
      this.#fedWithoutOutputSince = undefined
      onBytes(bytes)
    })
  }

  #readLines(pipe: Pipe, onLine: (line: string) => void): void {
    if (!pipe) return
    const stream = pipe as Readable
    let rest = ''
    stream.setEncoding('utf8')
    stream.on('error', () => {})
    stream.on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = (lines.pop() ?? '').slice(-4_096)
      for (const line of lines) if (line.trim() !== '') onLine(line.trim())
    })
  }
}
