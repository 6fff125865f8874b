// One run of ffmpeg as a source of media messages. It ends with its reader: the pipe it writes into closes,
// and where util-linux is there the kernel kills it together with us, even after a SIGKILL.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { findProcessGuard } from '../../common/process-guard.ts'
import { FlvReader } from '../../media/flv/tag-reader.ts'
import type { MediaMessage } from '../../media/rtmp/message.ts'

const killAfterMs = 2_000
const keptErrorLines = 5

const succeeds = (command: string, args: string[]): Promise<boolean> =>
  new Promise((resolve) => execFile(command, args, { timeout: 10_000 }, (err) => resolve(!err)))

/** Fonts may be absent, and the filter itself. */
export function canDrawText(): Promise<boolean> {
  const picture = ['-f', 'lavfi', '-i', 'color=size=64x64:rate=1:duration=1,drawtext=text=x']
  return succeeds('ffmpeg', ['-v', 'quiet', ...picture, '-frames:v', '1', '-f', 'null', '-'])
}

export class FfmpegSource implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #exited: Promise<unknown>
  #errors: string[] = []

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#exited = once(child, 'close').catch(() => undefined)
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      const lines = text.split('\n').filter((line) => line.trim() !== '')
      this.#errors = [...this.#errors, ...lines].slice(-keptErrorLines)
    })
  }

  static async start(args: readonly string[]): Promise<FfmpegSource> {
    const guard = await findProcessGuard()
    const [command, line] = guard.wrap('ffmpeg', args)
    const child = spawn(command, line, { stdio: ['ignore', 'pipe', 'pipe'] })
    return new FfmpegSource(child)
  }

  /** Ends with ffmpeg; throws with its own words when it failed. Reading no further holds ffmpeg back. */
  async *messages(): AsyncGenerator<MediaMessage> {
    const reader = new FlvReader()
    for await (const bytes of this.#child.stdout!) {
      const parsed = reader.read(bytes as Buffer)
      if ('fault' in parsed) throw new Error(`ffmpeg wrote no FLV: ${parsed.fault}`)
      yield* parsed.value
    }
    await this.#exited
    const { exitCode, signalCode } = this.#child
    if (exitCode !== 0) {
      throw new Error(`ffmpeg failed: ${this.#errors.join(' | ') || (signalCode ?? exitCode)}`)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdout?.destroy()
    this.#child.kill('SIGTERM')
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), killAfterMs)
    await this.#exited
    clearTimeout(timer)
  }
}
