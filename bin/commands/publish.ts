// `nearcast publish FILE|test --to URL`: a show from a file, or the test picture, into any RTMP(S) server.

import { accessSync, constants, readFileSync } from 'node:fs'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { systemClock } from '../../common/clock.ts'
import { scrubSecrets } from '../../common/log.ts'
import { sourceArguments } from '../publish/ffmpeg-arguments.ts'
import { canDrawText, FfmpegSource } from '../publish/ffmpeg-source.ts'
import { publishTarget } from '../publish/publish-target.ts'
import { Publisher } from '../publish/publisher.ts'
import { UsageError } from '../usage-error.ts'

interface Options {
  to: string
  key?: string
  keyFile?: string
  ca?: string
  insecure?: boolean
  bitrate: number
  size?: string
  fps: number
  keyint: number
  loop: boolean
  copy?: boolean
  reconnect?: boolean
}

export function register(program: Command): void {
  program
    .command('publish')
    .description('send a file, again and again, or the test picture to an RTMP or RTMPS server')
    .argument('<input>', 'a media file, or "test" for the test picture')
    .requiredOption('--to <url>', 'server, as in rtmps://host:443/live')
    .addOption(new Option('--key <key>', 'stream key').env('NEARCAST_KEY'))
    .option('--key-file <file>', 'file that holds the stream key')
    .option('--ca <file>', 'PEM of a CA to trust, as nearcast ca show names it')
    .option('--insecure', 'take any certificate')
    .option('--bitrate <kbps>', 'video bitrate in kb/s', positive, 2_500)
    .option('--size <WxH>', 'picture size (test picture: 1280x720; a file keeps its own)', size)
    .option('--fps <n>', 'frames per second', positive, 30)
    .option('--keyint <seconds>', 'seconds from keyframe to keyframe', positive, 2)
    .option('--copy', 'send the file as it is; it must be H.264 and AAC')
    .option('--no-loop', 'end with the file')
    .option('--reconnect', 'come back when the connection is lost')
    .action(async (input: string, options: Options) => {
      if (!(await publish(input, options))) process.exitCode = 1
    })
}

function positive(text: string): number {
  const value = Number(text)
  if (!(value > 0 && Number.isFinite(value)))
    throw new InvalidArgumentError('expected a number above 0')
  return value
}

function size(text: string): string {
  if (!/^[1-9]\d{1,4}x[1-9]\d{1,4}$/.test(text)) throw new InvalidArgumentError('expected 1280x720')
  return text
}

async function publish(input: string, options: Options): Promise<boolean> {
  const say = (line: string) => void process.stdout.write(`${scrubSecrets(line)}\n`)
  if (input !== 'test') accessSync(input, constants.R_OK)
  const target = publishTarget({
    url: options.to,
    key: options.keyFile ? readFileSync(options.keyFile, 'utf8').trim() : options.key,
    caPem: options.ca ? readFileSync(options.ca, 'utf8') : undefined,
    insecure: options.insecure,
  })
  if ('problem' in target) throw new UsageError(target.problem)
  const args = sourceArguments({
    input,
    loop: options.loop,
    copy: options.copy ?? false,
    size: options.size,
    framesPerSecond: options.fps,
    videoBitsPerSecond: options.bitrate * 1000,
    keyframeSeconds: options.keyint,
    canDrawText: input === 'test' && (await canDrawText()),
  })
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'disconnect'] as const) {
    process.once(signal, () => stop.abort())
  }
  const publisher = new Publisher({
    target,
    openSource: () => FfmpegSource.start(args),
    reconnect: options.reconnect ?? false,
    clock: systemClock,
    say,
    // For the process that started us with an IPC channel.
    onStarted: () => process.send?.({ type: 'ready', endpoints: {} }),
    // A terminal is looked at, a log file is kept.
    progressMs: process.stdout.isTTY ? 5_000 : 60_000,
  })
  return await publisher.run(stop.signal)
}
