// Scenario `edge`: viewers on cached objects at our whole edge, beside nginx proxy_cache and Varnish.
//
// All cache the same objects from the same origin, with the same certificate, and run on one core, each alone; the
// load generator and the origin have the other. Runs alternate, the order within a round too, and a median stands
// for all rounds. Where the load generator is slower than a server, its core is not busy: then requests per second
// of its processor time tell more than requests per second.
import { TlsClient } from '../test/support/tls-client.ts'
import { type EdgeRow, type EdgeRun, edgeTable, type Road, roads } from './edge-table.ts'
import { runAutocannon } from './support/autocannon.ts'
import { type BenchServer, loadCore, tlsName } from './support/bench-server.ts'
import { makeCertificate, type Negotiated, negotiatedAt } from './support/certificate.ts'
import { runH2load } from './support/h2load.ts'
import { startNginx } from './support/nginx.ts'
import { type BenchObject, benchObjects, bodyOf } from './support/objects.ts'
import { startOurEdge } from './support/our-edge.ts'
import { startNode, stop, usageOf } from './support/processes.ts'
import type { Scenario, ScenarioOptions } from './support/scenario.ts'
import { missingFor, pathOf } from './support/tools.ts'
import { startVarnish } from './support/varnish.ts'
import { type LoadFigures, runWrk } from './support/wrk.ts'

const warmUpSeconds = 1
const streamsEach = 2

interface Cell {
  server: BenchServer
  object: BenchObject
  road: Road
  row: EdgeRow
}

export const edge: Scenario = {
  name: 'edge',
  missing: () => missingFor('edge', { tools: ['nginx', 'openssl', 'taskset'] }),
  async run(options) {
    const { rows, negotiated } = await benchEdge(options)
    const { connections, rounds, seconds } = options
    const generator = pathOf('wrk') ? 'wrk' : 'autocannon, since wrk is not installed'
    const overHttp2 = pathOf('h2load')
      ? `over HTTP/2 by h2load with ${streamsEach} requests at a time on each`
      : 'no HTTP/2, since h2load is not installed'
    const varnish = pathOf('varnishd') ? '' : ' Varnish is not installed.'
    const { version, cipher, keyBits, signature } = negotiated
    return {
      setting:
        `One core for the server, one worker; ${connections} connections by ${generator}, ${overHttp2}; medians of ` +
        `${rounds} interleaved runs of ${seconds} s. ${version} with ${cipher} and ${signature} of ${keyBits} bits at both.${varnish}`,
      table: edgeTable(rows),
      data: { rows, negotiated },
    }
  },
}

async function benchEdge(
  options: ScenarioOptions,
): Promise<{ rows: EdgeRow[]; negotiated: Negotiated }> {
  await using stack = new AsyncDisposableStack()
  const certificate = await makeCertificate(stack)
  const file = new URL('./support/origin-server.ts', import.meta.url)
  const { child, message: originPort } = await startNode<number>(loadCore, file)
  stack.defer(() => stop(child))
  const ours = stack.use(await startOurEdge({ originPort, certificate }))
  const negotiated = await negotiatedAt(ours.server.tlsPort, 'http/1.1')
  const { cipher } = negotiated
  const nginx = stack.use(await startNginx({ originPort, certificate, cipher }))
  await sameTls(ours.server.tlsPort, nginx.server.tlsPort)
  const servers: BenchServer[] = [ours.server, nginx.server]
  if (pathOf('varnishd')) servers.push(stack.use(await startVarnish(originPort)).server)
  const viewer = new TlsClient(certificate.certificate)
  stack.defer(() => viewer.close())
  const cells = cellsOf(servers)
  for (const cell of cells) {
    await verify(viewer, cell)
    await measure(cell, { ...options, seconds: warmUpSeconds })
  }
  for (let round = 0; round < options.rounds; round++) {
    for (const cell of round % 2 === 0 ? cells : cells.toReversed()) {
      const { object, road, server, row } = cell
      options.progress(
        `round ${round + 1}/${options.rounds}: ${object.name}, ${road}, ${server.name}`,
      )
      const { run, residentBytes } = await measure(cell, options)
      row.runs.push(run)
      row.residentBytes = residentBytes
    }
  }
  for (const cell of cells) await verify(viewer, cell)
  return { rows: cells.map(({ row }) => row), negotiated }
}

function cellsOf(servers: readonly BenchServer[]): Cell[] {
  return benchObjects.flatMap((object) =>
    roads.flatMap((road) => {
      if (road === 'h2' && !pathOf('h2load')) return []
      const able = servers.filter(({ tlsPort }) => road === 'plain' || tlsPort !== undefined)
      return able.map((server) => {
        const { name } = server
        const row = { object: object.name, road, server: name, runs: [], residentBytes: 0 }
        return { server, object, road, row }
      })
    }),
  )
}

/** Another cipher or key would decide the comparison, not the servers. */
async function sameTls(ours: number, theirs: number): Promise<void> {
  for (const alpn of ['http/1.1', 'h2'] as const) {
    const [a, b] = [await negotiatedAt(ours, alpn), await negotiatedAt(theirs, alpn)]
    const isRight = a.version === 'TLSv1.3' && a.application === alpn
    if (!isRight || JSON.stringify(a) !== JSON.stringify(b)) {
      throw new Error(`TLS differs: ${JSON.stringify(a)} at ours, ${JSON.stringify(b)} at nginx`)
    }
  }
}

/** All servers must give the very bytes and the validator of the origin. */
async function verify(viewer: TlsClient, { server, object, road }: Cell): Promise<void> {
  const answer = await viewer.get(urlOf(server, object, road))
  const isRight = answer.status === 200 && answer.headers.etag === object.etag
  if (!isRight || !answer.body.equals(bodyOf(object))) {
    throw new Error(`${server.name} does not serve ${object.path} as the origin does`)
  }
}

async function measure(
  cell: Cell,
  options: ScenarioOptions,
): Promise<{ run: EdgeRun; residentBytes: number }> {
  const { server, object } = cell
  const before = usageOf(server.pid)
  const startedAtMs = performance.now()
  const figures = await load(cell, options)
  const usage = usageOf(server.pid)
  const seconds = (performance.now() - startedAtMs) / 1000
  const { requests, readBytes, faults } = figures
  // The load generators do not look at what they read; they tell sizes to three digits.
  const isShort = readBytes < 0.98 * requests * object.bytes
  if (faults.length > 0 || requests === 0 || isShort) {
    throw new Error(
      `${server.name}, ${object.path}: ${requests} answers, ${readBytes} bytes, ${faults.join(', ')}`,
    )
  }
  const cpuSeconds = Math.max(0.01, usage.cpuSeconds - before.cpuSeconds)
  const run = {
    requestsPerSecond: requests / figures.seconds,
    requestsPerCpuSecond: requests / cpuSeconds,
    // Starting and ending the load generator is part of the time, and no load.
    busy: Math.min(1, cpuSeconds / Math.min(seconds, figures.seconds)),
    p50Ms: figures.p50Ms,
    p99Ms: figures.p99Ms,
  }
  return { run, residentBytes: usage.residentBytes }
}

function load({ server, object, road }: Cell, options: ScenarioOptions): Promise<LoadFigures> {
  const { connections, seconds } = options
  const common = { core: loadCore, connections, seconds }
  const url = urlOf(server, object, road)
  if (road === 'h2') return runH2load({ ...common, url, port: server.tlsPort!, streamsEach })
  return pathOf('wrk') ? runWrk({ ...common, url }) : runAutocannon({ ...common, url, object })
}

function urlOf(server: BenchServer, object: BenchObject, road: Road): string {
  const base = road === 'plain' ? server.plain : `https://${tlsName}:${server.tlsPort}`
  return base + object.path
}
