// Scenario `held`: thousands of viewers held on one playlist of low-latency HLS, until its next part is there.
//
// How long after the first viewer the last one hears of a part, beside a server on bare sockets that only holds and
// writes, in the same run and to the same clients; and what a held viewer costs in memory, with and without TLS.
import { readFileSync } from 'node:fs'
import type { BareHeldOrder } from './support/bare-held-process.ts'
import { loadCore, serverCore } from './support/bench-server.ts'
import { makeCertificate } from './support/certificate.ts'
import type { HeldOrder, HeldReport } from './support/held-process.ts'
import { startLiveOrigin } from './support/live-origin.ts'
import { startOurEdge } from './support/our-edge.ts'
import { startNode, stop, usageOf } from './support/processes.ts'
import type { RawTarget } from './support/raw-connection.ts'
import type { Scenario, ScenarioOptions } from './support/scenario.ts'
import { median, quantile, rounded, table } from './support/statistics.ts'
import { missingFor } from './support/tools.ts'

const defaultViewers = 5_000
const stream = { partSeconds: 1, segmentSeconds: 4, partBytes: 1_000, thinkMs: 0 }
const path = '/live/held/720p.m3u8'
const goals = { skewRatio: 1.5, plainBytes: 15 * 1024 }
/** Connections that came and went before the first reading, so that a server has its memory at hand. */
const warmUpViewers = 200

export interface HeldRun {
  server: 'nearcast' | 'bare sockets'
  road: 'plain' | 'TLS'
  report: HeldReport
  /** Of the server, by all held viewers. */
  grownBytes: number
}

export const held: Scenario = {
  name: 'held',
  missing: () => missingFor('held', { tools: ['openssl', 'taskset'], openFiles: 8_000 }),
  async run(options) {
    const { rounds, seconds, viewers = defaultViewers } = options
    const runs = await benchHeld(options, viewers)
    return {
      setting:
        `${viewers} viewers of one rendition with parts of ${stream.partSeconds} s, each held on a connection of its own; ` +
        `${rounds} alternating runs of ${seconds} s. Skew: from the first viewer's first byte to the last one's, for each part.`,
      table: heldTable(runs, viewers),
      data: runs,
    }
  },
}

async function benchHeld(options: ScenarioOptions, viewers: number): Promise<HeldRun[]> {
  await using stack = new AsyncDisposableStack()
  const made = await makeCertificate(stack)
  const { certificate } = made
  const origin = stack.use(await startLiveOrigin(stream))
  const playlist = await (await fetch(`http://127.0.0.1:${origin.port}${path}`)).text()
  const runs: HeldRun[] = []
  for (let round = 0; round < options.rounds; round++) {
    for (const road of ['plain', 'TLS'] as const) {
      options.progress(`round ${round + 1}/${options.rounds}: ${viewers} viewers held, ${road}`)
      // Each has a fresh process: memory that another run left behind would hide what this one takes.
      const ours = async () => {
        await using edge = await startOurEdge({ originPort: origin.port, certificate: made })
        const { pid, plain, tlsPort } = edge.server
        const plainPort = Number(new URL(plain).port)
        const target = road === 'TLS' ? { port: tlsPort, certificate } : { port: plainPort }
        runs.push({ server: 'nearcast', road, ...(await hold(pid, target, viewers, options)) })
      }
      const bare = async () => {
        const order: BareHeldOrder = {
          playlist,
          ...(road === 'TLS' && {
            tls: { certificate, key: readFileSync(made.keyFile, 'utf8') },
          }),
        }
        const file = new URL('./support/bare-held-process.ts', import.meta.url)
        const started = await startNode<number>(serverCore, file, [JSON.stringify(order)])
        const { child, message: port } = started
        const target = road === 'TLS' ? { port, certificate } : { port }
        runs.push({
          server: 'bare sockets',
          road,
          ...(await hold(child.pid!, target, viewers, options)),
        })
        await stop(child)
      }
      for (const run of round % 2 === 0 ? [ours, bare] : [bare, ours]) await run()
    }
  }
  return runs
}

async function hold(
  pid: number,
  target: RawTarget,
  viewers: number,
  { seconds }: ScenarioOptions,
): Promise<Pick<HeldRun, 'report' | 'grownBytes'>> {
  await heldFor(target, Math.min(warmUpViewers, viewers), async () => {})
  const before = usageOf(pid).residentBytes
  let least = Number.POSITIVE_INFINITY
  const report = await heldFor(target, viewers, async () => {
    // Between two parts everybody is held and nothing is on its way: the least is what holding takes.
    const endsAtMs = performance.now() + seconds * 1000
    while (performance.now() < endsAtMs) {
      await new Promise((resolve) => setTimeout(resolve, 100))
      least = Math.min(least, usageOf(pid).residentBytes)
    }
  })
  return { report, grownBytes: least - before }
}

async function heldFor(
  target: RawTarget,
  viewers: number,
  meanwhile: () => Promise<void>,
): Promise<HeldReport> {
  const order: HeldOrder = { target, path, viewers }
  const file = new URL('./support/held-process.ts', import.meta.url)
  const { child } = await startNode<'held'>(loadCore, file, [JSON.stringify(order)])
  await meanwhile()
  const answered = Promise.withResolvers<HeldReport>()
  child.once('message', (message) => answered.resolve(message as HeldReport))
  child.once('exit', (code) => answered.reject(new Error(`the viewers ended with ${code}`)))
  child.send('report')
  const report = await answered.promise
  await stop(child)
  return report
}

export function heldTable(runs: readonly HeldRun[], viewers: number): string {
  const lines = [['server', 'over', 'parts', 'skew ms: p50', 'p99', 'worst', 'KB a viewer', 'goal']]
  for (const road of ['plain', 'TLS'] as const) {
    const sideOf = (server: HeldRun['server']) => {
      const own = runs.filter((run) => run.server === server && run.road === road)
      return {
        server,
        skews: own.flatMap(({ report }) => report.skewsMs),
        bytes: median(own.map(({ grownBytes }) => grownBytes / viewers)),
      }
    }
    const sides = [sideOf('nearcast'), sideOf('bare sockets')] as const
    for (const { server, skews, bytes } of sides) {
      const isHeld = road === 'plain' && server === 'nearcast'
      const verdict = `≤ ${goals.plainBytes / 1024} KB: ${bytes <= goals.plainBytes ? 'met' : 'missed'}`
      lines.push([
        ...[server, road, String(skews.length)],
        ...[0.5, 0.99, 1].map((share) => rounded(quantile(skews, share))),
        ...[rounded(bytes / 1024), isHeld ? verdict : ''],
      ])
    }
    const [ours, bare] = sides
    const ratio = (share: number) => quantile(ours.skews, share) / quantile(bare.skews, share)
    const isMet = ratio(0.99) <= goals.skewRatio
    lines.push([
      ...['ours beside it', road, ''],
      ...[0.5, 0.99, 1].map((share) => ratio(share).toFixed(2)),
      (ours.bytes / bare.bytes).toFixed(2),
      `p99 ≤ ${goals.skewRatio}: ${isMet ? 'met' : 'missed'}`,
    ])
  }
  const missed = runs.reduce((sum, { report }) => sum + report.missed, 0)
  const failed = runs.flatMap(({ server, road, report }) =>
    Object.entries(report.failures).map(
      ([text, count]) => `${server}, ${road}: ${count} × ${text}.`,
    ),
  )
  if (missed > 0) failed.push(`${missed} parts were not heard of by all.`)
  return [table(lines), ...failed].join('\n\n')
}
