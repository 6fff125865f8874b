// `nearcast top`: what caches do and who watches, live, for one node or for all.
import { type Command, InvalidArgumentError } from 'commander'
import type { Top } from '../../common/cache/cache-report.ts'
import { delay, systemClock } from '../../common/clock.ts'
import { messageOf, ServiceError } from '../../common/errors.ts'
import {
  type AdminOptions,
  adminOfEdge,
  type KnownNode,
  knownNodes,
  readAdmin,
  withAdmin,
} from '../admin-access.ts'
import { printLine, printNote } from '../output.ts'
import { liveRates, type NodeRates, nodeRates, topText } from '../top-rates.ts'

interface TopOptions extends AdminOptions {
  interval: number
  limit: number
  once?: boolean
  json?: boolean
}

/** Where one node is asked; `known` is what its heartbeat tells where it cannot be. */
interface Source {
  admin: string | undefined
  known?: KnownNode
}

interface Reading {
  source: Source
  now: Top | undefined
}

const clearScreen = '\x1b[H\x1b[J'

export function register(program: Command): void {
  withAdmin(program.command('top'))
    .description('show what caches do and who watches, over and over')
    .option('--interval <seconds>', 'between two looks, from 0.2', interval, 2)
    .option('--limit <n>', 'rows of live ids', count, 20)
    .option('--once', 'one look, over one interval')
    .option('--json', 'a line of JSON for each look')
    .addHelpText(
      'after',
      `
All edges and gateways where a coordinator is known, else the node itself. HIT % are requests for which upstream was
not asked; WAITING are requests without an answer yet, HELD those of them that wait for news of a playlist.`,
    )
    .action(top)
}

async function top(options: TopOptions): Promise<void> {
  const stop = new AbortController()
  const onInterrupt = () => stop.abort()
  process.once('SIGINT', onInterrupt)
  try {
    let before = await read(options)
    for (;;) {
      await delay(systemClock, options.interval * 1000, stop.signal)
      if (stop.signal.aborted) return
      const now = await readAgain(options)
      if (!now) continue
      show(before, now, options)
      if (options.once) return
      before = now
    }
  } finally {
    process.off('SIGINT', onInterrupt)
  }
}

/** Undefined while what has answered before is away: a restart ends nobody's watching. */
async function readAgain(options: TopOptions): Promise<Reading[] | undefined> {
  try {
    return await read(options)
  } catch (err) {
    if (options.once || !(err instanceof ServiceError && err.retryable)) throw err
    printNote(`still trying: ${messageOf(err)}`)
    return undefined
  }
}

/** Throws where a single node was meant and does not answer. */
async function read(options: TopOptions): Promise<Reading[]> {
  const sources = await sourcesOf(options)
  return Promise.all(
    sources.map(async (source) => {
      try {
        if (source.admin === undefined) return { source, now: undefined }
        return { source, now: await readAdmin<Top>(source.admin, '/cache/top') }
      } catch (err) {
        if (!source.known || !(err instanceof ServiceError)) throw err
        return { source, now: undefined }
      }
    }),
  )
}

async function sourcesOf(options: TopOptions): Promise<Source[]> {
  const nodes = options.admin || options.node ? undefined : await knownNodes(options)
  if (!nodes) return [{ admin: await adminOfEdge(options) }]
  return nodes
    .filter(({ role }) => role === 'edge' || role === 'gateway')
    .map((known) => ({ admin: known.urls.admin, known }))
}

function show(before: Reading[], now: Reading[], { json, limit }: TopOptions): void {
  const formerOf = ({ source }: Reading) =>
    before.find((one) => one.source.admin === source.admin)?.now
  const nodes = now.map((reading) => ratesOf(formerOf(reading), reading))
  // What gateways send goes to edges, and would be counted twice.
  const edges = now.flatMap((reading) =>
    reading.now?.role === 'edge' || now.length === 1
      ? reading.now
        ? [{ before: formerOf(reading), now: reading.now }]
        : []
      : [],
  )
  const lives = liveRates(edges)
  if (json) {
    printLine(
      JSON.stringify({
        at: new Date(systemClock.now()).toISOString(),
        nodes,
        lives: lives.slice(0, limit),
      }),
    )
    return
  }
  const text = topText(nodes, lives, limit)
  printLine(process.stdout.isTTY ? `${clearScreen}${text}` : `${text}\n`)
}

function ratesOf(before: Top | undefined, { source, now }: Reading): NodeRates {
  if (now) return nodeRates(before, now)
  const { id, role, load } = source.known!
  return { node: id, role, viewers: load.viewers, bitsOutPerSecond: load.bitsOutPerSecond }
}

function interval(text: string): number {
  const value = Number(text)
  if (value >= 0.2 && value <= 3_600) return value
  throw new InvalidArgumentError('expected seconds from 0.2 to 3600')
}

function count(text: string): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= 1 && value <= 1_000) return value
  throw new InvalidArgumentError('expected a number from 1 to 1000')
}
