// Scenario `edge`: viewers on cached objects at our delivery beside nginx proxy_cache.
//
// Both servers cache the same objects from the same origin and run on one core; the load generator and the
// origin have the other. Runs alternate, the order within a round too, and a median stands for five rounds.
// The generator is the bottleneck for small objects, so that capacity is told by the server's CPU time: how
// many requests one second of it serves.

import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import type { LoadOrder, LoadResult } from './support/load-process.ts'
import { startNginx } from './support/nginx.ts'
import { type BenchObject, benchObjects, bodyOf } from './support/objects.ts'
import { startNode, stop, type Usage, usageOf } from './support/processes.ts'
import type { Scenario, ScenarioOptions } from './support/scenario.ts'
import { median, rounded, table } from './support/statistics.ts'

interface Run {
  requestsPerSecond: number
  requestsPerCpuSecond: number
  p50Ms: number
  p99Ms: number
}

export interface EdgeBenchRow {
  object: string
  server: string
  runs: Run[]
  residentBytes: number
}

interface Server {
  name: string
  url: string
  pid: number
}

const serverCore = 1
const loadCore = 0
const warmUpSeconds = 1

export const edge: Scenario = {
  name: 'edge',
  missing() {
    if (process.platform !== 'linux') return 'The edge scenario needs Linux: it pins and measures.'
    if (availableParallelism() < 2) return 'The edge scenario needs two cores.'
    if (!existsSync('/usr/sbin/nginx')) return 'The edge scenario needs nginx (apt install nginx).'
    if (!existsSync('/usr/bin/taskset')) return 'The edge scenario needs taskset (util-linux).'
    return undefined
  },
  async run(options) {
    const rows = await benchEdge(options)
    const { connections, rounds, seconds } = options
    return {
      setting: `One core for each server; ${connections} connections, medians of ${rounds} interleaved runs of ${seconds} s.`,
      table: edgeTable(rows),
      data: rows,
    }
  },
}

async function benchEdge(options: ScenarioOptions): Promise<EdgeBenchRow[]> {
  await using stack = new AsyncDisposableStack()
  const start = async (core: number, name: string, args: string[] = []) => {
    const file = new URL(`./support/${name}-server.ts`, import.meta.url)
    const { child, message: port } = await startNode<number>(core, file, args)
    stack.defer(() => stop(child))
    return { url: `http://127.0.0.1:${port}`, pid: child.pid!, port }
  }
  const origin = await start(loadCore, 'origin')
  const nginx = stack.use(await startNginx(serverCore, origin.port))
  const ours = await start(serverCore, 'edge', [origin.url])
  const servers: Server[] = [
    { name: 'nearcast', ...ours },
    { name: 'nginx', url: nginx.url, pid: nginx.child.pid! },
  ]
  const rows = benchObjects.flatMap((object) =>
    servers.map((server) => ({
      object,
      server,
      row: { object: object.name, server: server.name, runs: [] as Run[], residentBytes: 0 },
    })),
  )
  for (const { object, server } of rows) {
    await verify(server, object)
    await measure(server, object, { ...options, seconds: warmUpSeconds })
  }
  for (let round = 0; round < options.rounds; round++) {
    for (const { object, server, row } of round % 2 === 0 ? rows : rows.toReversed()) {
      options.progress(`round ${round + 1}/${options.rounds}: ${object.name}, ${server.name}`)
      const { run, usage } = await measure(server, object, options)
      row.runs.push(run)
      row.residentBytes = usage.residentBytes
    }
  }
  for (const { object, server } of rows) await verify(server, object)
  return rows.map(({ row }) => row)
}

/** Both servers must give the very bytes and the validator of the origin. */
async function verify(server: Server, object: BenchObject): Promise<void> {
  const answer = await fetch(server.url + object.path)
  const body = Buffer.from(await answer.arrayBuffer())
  const isRight = answer.status === 200 && answer.headers.get('etag') === object.etag
  if (!isRight || !body.equals(bodyOf(object))) {
    throw new Error(`${server.name} does not serve ${object.path} as the origin does`)
  }
}

async function measure(
  server: Server,
  object: BenchObject,
  options: ScenarioOptions,
): Promise<{ run: Run; usage: Usage }> {
  const order: LoadOrder = {
    url: server.url + object.path,
    connections: options.connections,
    seconds: options.seconds,
    etag: object.etag,
    bytes: object.bytes,
  }
  const before = usageOf(server.pid)
  const file = new URL('./support/load-process.ts', import.meta.url)
  const { child, message: result } = await startNode<LoadResult>(loadCore, file, [
    JSON.stringify(order),
  ])
  const usage = usageOf(server.pid)
  await stop(child)
  const faults = Object.entries(result.faults).filter(([, count]) => count > 0)
  if (faults.length > 0 || result.requests === 0) {
    throw new Error(`${server.name}, ${object.path}: ${JSON.stringify(result.faults)}`)
  }
  const cpuSeconds = Math.max(0.01, usage.cpuSeconds - before.cpuSeconds)
  const run: Run = {
    requestsPerSecond: result.requests / result.seconds,
    requestsPerCpuSecond: result.requests / cpuSeconds,
    p50Ms: result.latencyMs.p50,
    p99Ms: result.latencyMs.p99,
  }
  return { run, usage }
}

export function edgeTable(rows: readonly EdgeBenchRow[]): string {
  const lines: string[][] = [
    ['object', 'server', 'requests/s', 'requests/CPU s', 'MB/CPU s', 'p50 ms', 'p99 ms', 'RSS MB'],
  ]
  for (const object of benchObjects) {
    const both = rows.filter((row) => row.object === object.name)
    const medians = both.map((row) => ({
      perSecond: median(row.runs.map((run) => run.requestsPerSecond)),
      perCpu: median(row.runs.map((run) => run.requestsPerCpuSecond)),
      p50: median(row.runs.map((run) => run.p50Ms)),
      p99: median(row.runs.map((run) => run.p99Ms)),
    }))
    both.forEach((row, index) => {
      const { perSecond, perCpu, p50, p99 } = medians[index]!
      lines.push([
        object.name,
        row.server,
        rounded(perSecond),
        rounded(perCpu),
        rounded((perCpu * object.bytes) / 1e6),
        rounded(p50),
        rounded(p99),
        rounded(row.residentBytes / 1e6),
      ])
    })
    const [ours, theirs] = medians
    if (!ours || !theirs) continue
    const ratio = (a: number, b: number) => (a / b).toFixed(2)
    const perCpu = ratio(ours.perCpu, theirs.perCpu)
    lines.push([
      object.name,
      'ratio',
      ratio(ours.perSecond, theirs.perSecond),
      perCpu,
      perCpu,
      ratio(ours.p50, theirs.p50),
      ratio(ours.p99, theirs.p99),
      '',
    ])
  }
  return table(lines)
}
