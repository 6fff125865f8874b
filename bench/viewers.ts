// Scenario `viewers`: what viewers of a live stream wait for, at our edge and at nginx, when they ask by the clock.
//
// Both are in front of the same scripted origin, whose parts come on time. Viewers of LL-HLS, HLS and DASH ask when
// players would, whatever the server does, so that one slow answer hides none behind it. nginx knows nothing of blocking
// reloads: to it each is one more object, that the first one fetches and the others wait for.
import { type BenchServer, loadCore } from './support/bench-server.ts'
import { fillsPerObject, type LiveOrigin } from './support/live-origin.ts'
import { startLiveServers } from './support/live-servers.ts'
import { startNode, stop, usageOf } from './support/processes.ts'
import type { Scenario, ScenarioOptions } from './support/scenario.ts'
import { quantile, rounded, table } from './support/statistics.ts'
import { missingFor } from './support/tools.ts'
import type { ViewerModelOrder, ViewerModelReport } from './support/viewer-model-process.ts'

const defaultViewers = 600
const stream = { partSeconds: 0.5, segmentSeconds: 2, partBytes: 64 * 1024, thinkMs: 0 }
const rendition = '720p'
const settleSeconds = 1

export interface ViewersRun {
  server: string
  report: ViewerModelReport
  /** Share of its core. */
  busy: number
  fills: { objects: number; requests: number }
}

export const viewers: Scenario = {
  name: 'viewers',
  missing: () =>
    missingFor('viewers', { tools: ['nginx', 'openssl', 'taskset'], openFiles: 16_000 }),
  async run(options) {
    const runs = await benchViewers(options)
    const { rounds, seconds, viewers: count = defaultViewers } = options
    return {
      setting:
        `${count} viewers, a third each of LL-HLS, HLS and DASH, of one rendition with parts of ${stream.partSeconds} s ` +
        `and ${stream.partBytes / 1024} KB over HTTP/1.1 without TLS; ${rounds} alternating runs of ${seconds} s together. ` +
        'From when a request was due, or its part could be had, to the last byte.',
      table: viewersTable(runs),
      data: runs.map(({ report, ...rest }) => ({ ...rest, failures: report.failures })),
    }
  },
}

async function benchViewers(options: ScenarioOptions): Promise<ViewersRun[]> {
  await using stack = new AsyncDisposableStack()
  const { origin, servers } = await startLiveServers(stack, stream)
  const runs: ViewersRun[] = []
  for (const server of servers) await watch(server, origin, { ...options, seconds: settleSeconds })
  for (let round = 0; round < options.rounds; round++) {
    for (const server of round % 2 === 0 ? servers : servers.toReversed()) {
      options.progress(`round ${round + 1}/${options.rounds}: viewers at ${server.name}`)
      runs.push(await watch(server, origin, options, `round-${round}`))
    }
  }
  return runs
}

async function watch(
  server: BenchServer,
  origin: LiveOrigin,
  { seconds, viewers: count = defaultViewers }: ScenarioOptions,
  liveId = 'settle',
): Promise<ViewersRun> {
  const each = Math.ceil(count / 3)
  const order: ViewerModelOrder = {
    target: { port: Number(new URL(server.plain).port) },
    liveId,
    rendition,
    viewers: { 'LL-HLS': each, HLS: each, DASH: each },
    seconds,
  }
  await origin.asked()
  const before = usageOf(server.pid)
  const startedAtMs = performance.now()
  const file = new URL('./support/viewer-model-process.ts', import.meta.url)
  const { child, message: report } = await startNode<ViewerModelReport>(loadCore, file, [
    JSON.stringify(order),
  ])
  const cpuSeconds = usageOf(server.pid).cpuSeconds - before.cpuSeconds
  const busy = cpuSeconds / ((performance.now() - startedAtMs) / 1000)
  await stop(child)
  return { server: server.name, report, busy, fills: fillsPerObject(await origin.asked()) }
}

export function viewersTable(runs: readonly ViewersRun[]): string {
  const lines: string[][] = [
    ['what', 'server', 'answers', 'p50 ms', 'p99 ms', 'p99.9 ms', 'worst ms'],
  ]
  const names = [...new Set(runs.flatMap(({ report }) => Object.keys(report.latenciesMs)))].sort()
  const servers = [...new Set(runs.map(({ server }) => server))]
  const row = (name: string, server: string, values: readonly number[]) => [
    ...[name, server, String(values.length)],
    ...[0.5, 0.99, 0.999, 1].map((share) => rounded(quantile(values, share))),
  ]
  const of = (server: string) => runs.filter((run) => run.server === server)
  for (const name of names) {
    for (const server of servers) {
      lines.push(
        row(
          name,
          server,
          of(server).flatMap((run) => run.report.latenciesMs[name] ?? []),
        ),
      )
    }
  }
  for (const server of servers) {
    lines.push(
      row(
        'sent later than due',
        server,
        of(server).flatMap((run) => run.report.lateMs),
      ),
    )
  }
  for (const server of servers) {
    const own = of(server)
    const sum = (value: (run: ViewersRun) => number) => own.reduce((a, run) => a + value(run), 0)
    const requests = sum(({ fills }) => fills.requests) / sum(({ fills }) => fills.objects)
    const failed = sum(({ report }) => Object.values(report.failures).reduce((a, b) => a + b, 0))
    const busy = Math.round((sum((run) => run.busy) / own.length) * 100)
    const rest = [
      `${failed} failed`,
      `${requests.toFixed(2)} upstream for each object`,
      `core ${busy} %`,
    ]
    lines.push(['requests', server, ...rest, '', ''])
  }
  return table(lines)
}
