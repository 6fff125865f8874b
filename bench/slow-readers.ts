// Scenario `slow-readers`: thousands who fetch a segment and take a kilobyte of it a second.
//
// What each costs our edge in memory, what other viewers feel meanwhile, and how many the edge has closed by the end.
import { loadCore, tlsName } from './support/bench-server.ts'
import { type Certificate, makeCertificate } from './support/certificate.ts'
import { benchObjects } from './support/objects.ts'
import { startOurEdge } from './support/our-edge.ts'
import { openFilesOf, socketBytes, startNode, stop, usageOf } from './support/processes.ts'
import { type PulseResult, pulse } from './support/pulse.ts'
import type { RawTarget } from './support/raw-connection.ts'
import type { Scenario, ScenarioOptions } from './support/scenario.ts'
import { runSlowReaders, type SlowReadersFigures } from './support/slowhttptest.ts'
import { quantile, rounded, table } from './support/statistics.ts'
import { missingFor } from './support/tools.ts'

const defaultReaders = 2_000
const bytesPerSecond = 1_024
const goalBytes = 64 * 1024
/** Of quiet, for comparison. */
const quietSeconds = 2
/** Handshakes of all of them take their time, too. */
const leastSeconds = 12
const sampleEveryMs = 200
const [, part, segment] = benchObjects

export interface SlowReadersRun {
  road: 'plain' | 'TLS'
  /** Who got through. */
  readers: number
  seconds: number
  figures: SlowReadersFigures
  grownBytes: number
  /** Of the system's, for all sockets: what a process handed over and no reader has taken. */
  socketBytes: number
  mostOpenFiles: number
  quiet: PulseResult
  meanwhile: PulseResult
}

export const slowReaders: Scenario = {
  name: 'slow-readers',
  missing: () =>
    missingFor('slow-readers', {
      tools: ['openssl', 'slowhttptest', 'taskset'],
      openFiles: 4_000,
    }),
  async run(options) {
    const { viewers = defaultReaders } = options
    const runs = await benchSlowReaders(options, viewers)
    return {
      setting:
        `${viewers} readers of a segment of 1 MB who take ${bytesPerSecond / 1024} KB a second each for ${runs[0]!.seconds} s ` +
        '(slowhttptest -X). Other viewers: a part of 64 KB every 10 ms, from when it was due to its last byte.',
      table: slowReadersTable(runs),
      data: runs,
    }
  },
}

async function benchSlowReaders(
  { rounds, seconds, progress }: ScenarioOptions,
  readers: number,
): Promise<SlowReadersRun[]> {
  await using stack = new AsyncDisposableStack()
  const certificate = await makeCertificate(stack)
  const file = new URL('./support/origin-server.ts', import.meta.url)
  const { child, message: originPort } = await startNode<number>(loadCore, file)
  stack.defer(() => stop(child))
  const runs: SlowReadersRun[] = []
  for (const road of ['plain', 'TLS'] as const) {
    progress(`slow-readers: ${readers}, ${road}`)
    const load = { readers, seconds: Math.max(leastSeconds, rounds * seconds) }
    runs.push(await besiege(road, { originPort, certificate }, load))
  }
  return runs
}

async function besiege(
  road: SlowReadersRun['road'],
  around: { originPort: number; certificate: Certificate },
  load: { readers: number; seconds: number },
): Promise<SlowReadersRun> {
  await using edge = await startOurEdge(around)
  const { pid, plain, tlsPort } = edge.server
  const base = road === 'TLS' ? `https://${tlsName}:${tlsPort}` : plain
  const target: RawTarget =
    road === 'TLS'
      ? { port: tlsPort, certificate: around.certificate.certificate }
      : { port: Number(new URL(plain).port) }
  await (await fetch(plain + segment!.path)).arrayBuffer()
  const quiet = await pulse(target, part!.path, AbortSignal.timeout(quietSeconds * 1000))
  const before = usageOf(pid).residentBytes
  let most = before
  const socketsBefore = socketBytes()
  let mostSocketBytes = 0
  let mostOpenFiles = 0
  const sampling = setInterval(() => {
    most = Math.max(most, usageOf(pid).residentBytes)
    mostSocketBytes = Math.max(mostSocketBytes, socketBytes() - socketsBefore)
    mostOpenFiles = Math.max(mostOpenFiles, openFilesOf(pid))
  }, sampleEveryMs)
  const over = new AbortController()
  try {
    const others = pulse(target, part!.path, over.signal)
    const url = base + segment!.path
    const figures = await runSlowReaders({ core: loadCore, url, bytesPerSecond, ...load })
    over.abort()
    const meanwhile = await others
    const { connected, closed } = figures
    const readers = connected + closed
    if (readers === 0) {
      throw new Error(`slowhttptest did not get through to ${url}: ${JSON.stringify(figures)}`)
    }
    const grownBytes = most - before
    const measured = { grownBytes, socketBytes: mostSocketBytes, mostOpenFiles }
    return { road, seconds: load.seconds, readers, figures, ...measured, quiet, meanwhile }
  } finally {
    over.abort()
    clearInterval(sampling)
  }
}

export function slowReadersTable(runs: readonly SlowReadersRun[]): string {
  const row = (name: string, cell: (run: SlowReadersRun) => string, goal = '') => [
    name,
    ...runs.map(cell),
    goal,
  ]
  const bytesOf = ({ grownBytes, readers }: SlowReadersRun) => grownBytes / readers
  const isSmall = runs.every((run) => bytesOf(run) <= goalBytes)
  const times = ({ latenciesMs }: PulseResult) =>
    [0.5, 0.99, 1].map((share) => rounded(quantile(latenciesMs, share))).join(', ')
  return table([
    ['what', ...runs.map(({ road }) => road), 'goal'],
    row('readers that got through', ({ readers }) => String(readers)),
    row('files open at once, most', ({ mostOpenFiles }) => String(mostOpenFiles)),
    row(
      'KB that memory grew by for each reader',
      (run) => rounded(bytesOf(run) / 1024),
      `≤ ${goalBytes / 1024}: ${isSmall ? 'met' : 'missed'}`,
    ),
    row('KB in the buffers of the system, for each', ({ socketBytes: bytes, readers }) => {
      return rounded(bytes / readers / 1024)
    }),
    row('readers closed by the edge, still connected', ({ figures }) => {
      return `${figures.closed}, ${figures.connected}`
    }),
    row('other viewers before, ms: p50, p99, worst', ({ quiet }) => times(quiet)),
    row('other viewers meanwhile, ms: p50, p99, worst', ({ meanwhile }) => times(meanwhile)),
    row('other viewers, failed', ({ meanwhile }) => String(meanwhile.failures)),
  ])
}
