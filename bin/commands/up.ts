// `nearcast up`: the whole road of a stream on this machine, one process per role.
import { resolve } from 'node:path'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { messageOf } from '../../common/errors.ts'
import { readLadder } from '../../config/ladder.ts'
import { transcoderConfigSchema } from '../../config/schema.ts'
import { buildWeb, webIsFresh } from '../../scripts/web-build.mjs'
import { AllInOne, defaultDataDir, type ReadyFacts } from '../up/all-in-one.ts'
import { chooseEdgePorts } from '../up/edge-ports.ts'

interface UpArguments {
  data: string
  pops: number
  transcoders: number
  gateways: number
  partSeconds?: number
  ladder?: string
  publisher?: boolean
  restart: boolean
  ports?: 'auto'
  readyFile?: string
  logLevel: string
}

const sameKeystrokeMs = 300

export function register(program: Command): void {
  program
    .command('up')
    .description('run all roles on this machine, each in its own process')
    .option('--data <dir>', 'all state goes below it', defaultDataDir)
    .option('--pops <n>', 'number of POPs (edges)', count, 1)
    .option('--transcoders <n>', 'number of transcoders', count, 1)
    .option('--gateways <n>', 'number of gateways', count, 1)
    .option('--part-seconds <s>', 'parts of low-latency playback; default 0.5', partLength)
    .option('--ladder <name>', 'ladder of the transcoders, by name or as a file', knownLadder)
    .option('--publisher', 'publish a test picture to the channel "demo" through the first POP')
    .option('--no-restart', 'a role that dies stays down, for tests of failures')
    .addOption(new Option('--ports <how>', 'free ports everywhere').choices(['auto']))
    .option('--ready-file <file>', 'write the facts of the running cluster here (JSON)')
    .option('--log-level <level>', 'level of the log files below DIR/logs', 'info')
    .action(async (args: UpArguments) => {
      process.exit(await up(args))
    })
}

function count(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > 64) {
    throw new InvalidArgumentError('expected a whole number from 1 to 64')
  }
  return value
}

function partLength(text: string): number {
  const parsed = transcoderConfigSchema.shape.partSeconds.safeParse(Number(text))
  if (!parsed.success) throw new InvalidArgumentError('expected seconds from 0.1 to 2')
  return parsed.data
}

function knownLadder(text: string): string {
  const path = /[/\\]|\.ya?ml$/.test(text) ? resolve(text) : text
  try {
    readLadder(path)
  } catch (err) {
    throw new InvalidArgumentError(messageOf(err))
  }
  return path
}

async function up(args: UpArguments): Promise<number> {
  const say = (line: string) => process.stderr.write(`${line}\n`)
  const stop = Promise.withResolvers<void>()
  let cluster: AllInOne | undefined
  let stoppedAt: number | undefined
  const onSignal = () => {
    if (stoppedAt === undefined) {
      stoppedAt = performance.now()
      say('stopping')
      stop.resolve()
    } else if (performance.now() - stoppedAt > sameKeystrokeMs) {
      cluster?.kill()
      process.exit(1)
    }
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  process.once('disconnect', onSignal)
  process.on('SIGHUP', () => cluster?.reload())

  const startedAt = performance.now()
  try {
    // After a bare `npm ci` there are no pages yet.
    if (!webIsFresh()) await buildWeb()
    const { ports, notes } = await chooseEdgePorts(args.pops, args.ports === 'auto')
    for (const note of notes) say(note)
    cluster = new AllInOne({
      dataDir: args.data,
      pops: args.pops,
      gateways: args.gateways,
      transcoders: args.transcoders,
      transcoding: {
        ...(args.partSeconds !== undefined && { partSeconds: args.partSeconds }),
        ...(args.ladder !== undefined && { ladder: args.ladder }),
      },
      publisher: args.publisher ?? false,
      restart: args.restart,
      autoPorts: args.ports === 'auto',
      edgePorts: ports,
      readyFile: args.readyFile,
      logLevel: args.logLevel,
      say,
    })
    say(
      `starting coordinator, ${args.transcoders} transcoder(s), ${args.gateways} gateway(s), ${args.pops} POP(s)`,
    )
    const running = cluster
    const facts = await Promise.race([running.start(), stop.promise])
    if (facts) {
      await announce(facts, running, performance.now() - startedAt)
      await stop.promise
    }
    await running[Symbol.asyncDispose]()
    return 0
  } catch (err) {
    say(`nearcast up: ${messageOf(err)}`)
    await cluster?.[Symbol.asyncDispose]()
    return 1
  }
}

async function announce(facts: ReadyFacts, cluster: AllInOne, startMs: number): Promise<void> {
  const watch = facts.edges.at(-1)
  const publish = facts.edges.at(0)
  const [channel] = facts.channels
  const lines = [
    `watch     ${watch?.http}/watch/${channel?.liveId}`,
    `console   ${facts.coordinator.url}/#code=${await cluster.consoleCode()}`,
    `publish   ${publish?.rtmps}   stream key ${channel?.streamKey}`,
    `secure    ${watch?.https}/watch/${channel?.liveId}   (certificate authority: ${facts.caFile})`,
    `ready after ${(startMs / 1000).toFixed(1)} s; Ctrl-C stops everything`,
  ]
  process.stdout.write(`${lines.join('\n')}\nready ${JSON.stringify(facts)}\n`)
}
