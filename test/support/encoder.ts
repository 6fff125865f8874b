// A real encoder for tests: ffmpeg publishing a test picture with sound by RTMP or RTMPS.
import { type ChildProcess, spawn } from 'node:child_process'

export interface EncoderOptions {
  /** Server URL with the application, e.g. `rtmps://localhost:8443/live`. */
  server: string
  streamKey: string
  size?: string
  framesPerSecond?: number
  keyframeSeconds?: number
  bitrate?: string
  video?: boolean
  audio?: boolean
  /** PEM file of the authority that signed the server's certificate; checked when given. */
  caFile?: string
  /** ffmpeg filters that the picture passes before it is encoded. */
  videoFilter?: string
  /** Replaces the encoder arguments for video. */
  videoArgs?: string[]
}

export class Encoder implements AsyncDisposable {
  readonly #process: ChildProcess
  readonly exited: Promise<number | null>
  #stderr = ''

  constructor(options: EncoderOptions) {
    const fps = options.framesPerSecond ?? 30
    const gop = Math.round(fps * (options.keyframeSeconds ?? 2))
    const args = ['-hide_banner', '-nostdin', '-loglevel', 'info']
    if (options.video !== false) {
      args.push(
        '-re',
        '-f',
        'lavfi',
        '-i',
        `testsrc2=size=${options.size ?? '640x360'}:rate=${fps}`,
      )
    }
    if (options.audio !== false) {
      args.push('-re', '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000')
    }
    if (options.video !== false) {
      if (options.videoFilter) args.push('-vf', options.videoFilter, '-fps_mode', 'passthrough')
      args.push(
        ...(options.videoArgs ?? [
          ...[
            '-c:v',
            'libx264',
            '-preset',
            'ultrafast',
            '-tune',
            'zerolatency',
            '-pix_fmt',
            'yuv420p',
          ],
          ...['-g', String(gop), '-sc_threshold', '0', '-b:v', options.bitrate ?? '800k'],
        ]),
      )
    }
    if (options.audio !== false) args.push('-c:a', 'aac', '-b:a', '96k', '-ac', '2')
    if (options.caFile) args.push('-tls_verify', '1', '-ca_file', options.caFile)
    args.push('-f', 'flv', `${options.server}/${options.streamKey}`)
    this.#process = spawn('ffmpeg', args, { stdio: ['ignore', 'ignore', 'pipe'] })
    this.#process.stderr?.on('data', (bytes: Buffer) => {
      this.#stderr += bytes.toString()
    })
    this.exited = new Promise((resolve) => this.#process.once('exit', resolve))
  }

  get isRunning(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null
  }

  /** What ffmpeg said. */
  get output(): string {
    return this.#stderr
  }

  /** As a crash or a pulled cable would: nothing is said. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.exited
  }

  /** As a user who presses stop. */
  async stop(): Promise<void> {
    this.#process.kill('SIGINT')
    await this.exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }
}
