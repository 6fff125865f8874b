// Scenario `crowd`: thousands of viewers within seconds on a stream that this POP has not served yet.
//
// Beside our edge nginx with its cache lock, one after the other in front of the same origin, which takes a while for
// each answer, as a far one does. The crowd is one process on the other core; it shares that with the origin.
import { type BenchServer, loadCore } from './support/bench-server.ts'
import type { CrowdOrder, CrowdReport } from './support/crowd-process.ts'
import { fillsPerObject, type LiveOrigin } from './support/live-origin.ts'
import { startLiveServers } from './support/live-servers.ts'
import { startNode, stop } from './support/processes.ts'
import type { Scenario, ScenarioOptions } from './support/scenario.ts'
import { quantile, rounded, table } from './support/statistics.ts'
import { missingFor } from './support/tools.ts'

const defaultViewers = 5_000
const overSeconds = 5
const stream = { partSeconds: 0.5, segmentSeconds: 2, partBytes: 16 * 1024, thinkMs: 40 }
const rendition = '720p'
/** Above what the origin itself takes. */
const goalMs = 5

export interface CrowdRun {
  server: string
  report: CrowdReport
  /** Upstream, of media that never changes. */
  fills: { objects: number; requests: number }
  /** Upstream, of playlists. */
  playlists: number
}

export const crowd: Scenario = {
  name: 'crowd',
  missing: () => missingFor('crowd', { tools: ['nginx', 'openssl', 'taskset'], openFiles: 8_000 }),
  async run(options) {
    const runs = await benchCrowd(options)
    const { rounds, viewers = defaultViewers } = options
    return {
      setting:
        `${viewers} viewers within ${overSeconds} s on a stream that was not served before, each fetching two playlists, the ` +
        `init section and the two newest segments of ${(stream.partBytes * 4) / 1024} KB on a connection of its own; an origin ` +
        `that takes ${stream.thinkMs} ms; ${rounds} alternating runs together, each with another stream. A miss is a request ` +
        'sent before anybody had a byte of the object.',
      table: crowdTable(runs),
      data: runs.map(({ report: { failures }, ...rest }) => ({ ...rest, failures })),
    }
  },
}

async function benchCrowd(options: ScenarioOptions): Promise<CrowdRun[]> {
  await using stack = new AsyncDisposableStack()
  const { origin, servers } = await startLiveServers(stack, stream)
  const { viewers = defaultViewers } = options
  const runs: CrowdRun[] = []
  for (const server of servers) {
    await come(server, origin, 'settle', Math.min(200, viewers))
  }
  for (let round = 0; round < options.rounds; round++) {
    for (const server of round % 2 === 0 ? servers : servers.toReversed()) {
      options.progress(`round ${round + 1}/${options.rounds}: ${viewers} viewers at ${server.name}`)
      runs.push(await come(server, origin, `crowd-${round}`, viewers))
    }
  }
  return runs
}

async function come(
  server: BenchServer,
  origin: LiveOrigin,
  liveId: string,
  viewers: number,
): Promise<CrowdRun> {
  const order: CrowdOrder = {
    target: { port: Number(new URL(server.plain).port) },
    originPort: origin.port,
    liveId,
    rendition,
    viewers,
    overSeconds: (overSeconds * viewers) / Math.max(viewers, defaultViewers),
  }
  await origin.asked()
  const file = new URL('./support/crowd-process.ts', import.meta.url)
  const { child, message: report } = await startNode<CrowdReport>(loadCore, file, [
    JSON.stringify(order),
  ])
  await stop(child)
  const asked = [...(await origin.asked())].filter(([url]) => url.startsWith(`/live/${liveId}/`))
  const playlists = asked.filter(([url]) => url.includes('.m3u8'))
  return {
    server: server.name,
    report,
    fills: fillsPerObject(new Map(asked)),
    playlists: playlists.reduce((sum, [, count]) => sum + count, 0),
  }
}

export function crowdTable(runs: readonly CrowdRun[]): string {
  const servers = [...new Set(runs.map(({ server }) => server))]
  const sides = servers.map((server) => sideOf(runs.filter((run) => run.server === server)))
  const [ours] = sides
  const row = (name: string, cell: (side: Side) => string, goal = '') => [
    name,
    ...sides.map(cell),
    goal,
  ]
  const times = (list: readonly number[]) =>
    [0.5, 0.99, 1].map((share) => rounded(quantile(list, share))).join(', ')
  const p99 = (list: readonly number[]) => quantile(list, 0.99)
  const isOne = ours!.requests === ours!.objects
  const isPrompt = p99(ours!.missMs) <= p99(ours!.originMs) + goalMs
  return table([
    ['what', ...servers, 'goal of ours'],
    row('objects that never change, asked for upstream', ({ objects }) => String(objects)),
    row(
      'requests upstream for each',
      ({ objects, requests }) => (requests / objects).toFixed(2),
      `1.00: ${isOne ? 'met' : 'missed'}`,
    ),
    row('requests upstream for playlists', ({ playlists }) => String(playlists)),
    row('requests on a miss', ({ missMs }) => String(missMs.length)),
    row('first byte of the origin itself, ms: p50, p99, worst', ({ originMs }) => times(originMs)),
    row(
      'first byte on a miss, ms: p50, p99, worst',
      ({ missMs }) => times(missMs),
      `p99 ≤ origin's + ${goalMs}: ${isPrompt ? 'met' : 'missed'}`,
    ),
    row('first byte of what is there, ms: p50, p99, worst', ({ hitMs }) => times(hitMs)),
    row('from arriving to ready to play, ms: p50, p99, worst', ({ startMs }) => times(startMs)),
    row('viewers that failed', ({ failed }) => String(failed)),
  ])
}

type Side = ReturnType<typeof sideOf>

function sideOf(runs: readonly CrowdRun[]) {
  const all = (value: (report: CrowdReport) => readonly number[]) =>
    runs.flatMap(({ report }) => value(report))
  const sum = (value: (run: CrowdRun) => number) => runs.reduce((a, run) => a + value(run), 0)
  return {
    objects: sum(({ fills }) => fills.objects),
    requests: sum(({ fills }) => fills.requests),
    playlists: sum(({ playlists }) => playlists),
    missMs: all(({ missMs }) => missMs),
    hitMs: all(({ hitMs }) => hitMs),
    originMs: all(({ originMs }) => originMs),
    startMs: all(({ startMs }) => startMs),
    failed: sum(({ report }) => Object.values(report.failures).reduce((a, b) => a + b, 0)),
  }
}
