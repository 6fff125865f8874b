// Scenario `ingest`: what publishers cost on their way in, through our edge and gateway and through nginx.
//
// Both ways get the same 40 publishers of 2.2 Mb/s over RTMPS, one way after the other, and the order changes from
// round to round. Ours are the real roles of a whole cluster, with transcoders that copy the source; nginx ends TLS
// in `stream` and RTMP in nginx-rtmp. Only user and system time of the hops counts, so that publishers and
// transcoders beside them do not.
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Cluster } from '../test/support/cluster.ts'
import { missingForNginxIngest, startNginxIngest } from './support/nginx-ingest.ts'
import { startNode, stop, usageOf } from './support/processes.ts'
import type { PublishersOrder, PublishersReport } from './support/publishers-process.ts'
import type { Scenario, ScenarioOptions } from './support/scenario.ts'
import { median, rounded, table } from './support/statistics.ts'

const publisherCount = 40
const bitsPerSecond = 2_200_000
const audioBitsPerSecond = 96_000
/** Whole groups of pictures, and whole frames of AAC. */
const clipSeconds = 8
/** Each transcoder takes 32 streams. */
const transcoders = 2
const loadCore = 0
const serverCore = 1
const settleMs = 3_000
/** Of the sum of both hops of nginx. */
const goalRatio = 1.5

export const hopNames = ['TLS hop', 'RTMP hop'] as const
type HopName = (typeof hopNames)[number]

export interface IngestRun {
  server: 'nearcast' | 'nginx'
  /** Share of a core, by hop. */
  cores: Record<HopName, number>
  /** What publishers added, by hop. */
  grownBytes: Record<HopName, number>
  sentBitsPerSecond: number
  disconnects: number
}

interface Way {
  server: IngestRun['server']
  url: string
  streamNames: readonly string[]
  pids: Record<HopName, number>
}

export const ingest: Scenario = {
  name: 'ingest',
  missing() {
    if (process.platform !== 'linux') return 'The ingest scenario needs Linux: it reads /proc.'
    return missingForNginxIngest()
  },
  async run(options) {
    const runs = await benchIngest(options)
    const { rounds, seconds } = options
    return {
      setting: `${publisherCount} publishers of 720p30 at ${bitsPerSecond / 1e6} Mb/s over RTMPS, medians of ${rounds} alternating runs of ${seconds} s.`,
      table: ingestTable(runs),
      data: runs,
    }
  },
}

async function benchIngest(options: ScenarioOptions): Promise<IngestRun[]> {
  await using stack = new AsyncDisposableStack()
  const folder = mkdtempSync(join(tmpdir(), 'nearcast-bench-ingest-'))
  stack.defer(() => rmSync(folder, { recursive: true }))
  const flvFile = join(folder, 'clip.flv')
  await makeClip(flvFile)
  const runs: IngestRun[] = []
  const servers = ['nearcast', 'nginx'] as const
  for (let round = 0; round < options.rounds; round++) {
    for (const server of round % 2 === 0 ? servers : servers.toReversed()) {
      options.progress(`ingest: round ${round + 1}/${options.rounds}, ${server}`)
      await using own = new AsyncDisposableStack()
      const way = await (server === 'nearcast' ? ourWay(own) : nginxWay(own, folder))
      runs.push(await measure(way, flvFile, options.seconds))
    }
  }
  return runs
}

/** Constant bit rate: filler makes up for what a test picture does not need. */
async function makeClip(file: string): Promise<void> {
  const rate = `${bitsPerSecond - audioBitsPerSecond}`
  await promisify(execFile)('ffmpeg', [
    ...['-v', 'error', '-nostdin', '-f', 'lavfi', '-i', 'testsrc2=size=1280x720:rate=30'],
    ...['-f', 'lavfi', '-i', 'sine=sample_rate=48000', '-t', `${clipSeconds}`],
    ...['-c:v', 'libx264', '-preset', 'veryfast', '-pix_fmt', 'yuv420p', '-bf', '0', '-g', '60'],
    ...['-sc_threshold', '0', '-b:v', rate, '-minrate', rate, '-maxrate', rate, '-bufsize', rate],
    ...['-nal-hrd', 'cbr', '-c:a', 'aac', '-b:a', `${audioBitsPerSecond}`, '-ac', '2'],
    ...['-flvflags', 'no_duration_filesize', '-f', 'flv', file],
  ])
}

async function ourWay(stack: AsyncDisposableStack): Promise<Way> {
  const cluster = stack.use(
    await Cluster.start({ transcoders, args: ['--ladder', 'passthrough', '--log-level', 'info'] }),
  )
  const { edges, gateways } = cluster.facts
  const streamNames: string[] = []
  for (let i = 0; i < publisherCount; i++) {
    const { streamKey } = await cluster.api<{ streamKey: string }>('POST', '/api/v1/channels', {
      liveId: `bench-${i}`,
    })
    streamNames.push(streamKey)
  }
  const pids = { 'TLS hop': edges[0]!.pid, 'RTMP hop': gateways[0]!.pid }
  return { server: 'nearcast', url: edges[0]!.rtmps, streamNames, pids }
}

async function nginxWay(stack: AsyncDisposableStack, folder: string): Promise<Way> {
  const certificateFile = join(folder, 'cert.pem')
  const keyFile = join(folder, 'key.pem')
  // The kind of key that our own authority issues.
  await promisify(execFile)('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-days', '2', '-subj', '/CN=localhost', '-keyout', keyFile, '-out', certificateFile],
  ])
  const nginx = stack.use(await startNginxIngest({ core: serverCore, certificateFile, keyFile }))
  return {
    server: 'nginx',
    url: nginx.server,
    streamNames: Array.from({ length: publisherCount }, (_, i) => `bench-${i}`),
    pids: { 'TLS hop': nginx.tls.pid!, 'RTMP hop': nginx.rtmp.pid! },
  }
}

async function measure(way: Way, flvFile: string, seconds: number): Promise<IngestRun> {
  const order: PublishersOrder = {
    server: way.url,
    streamNames: way.streamNames,
    flvFile,
    loopMs: clipSeconds * 1000,
  }
  const idle = hopNames.map((name) => usageOf(way.pids[name]))
  const file = new URL('./support/publishers-process.ts', import.meta.url)
  const { child } = await startNode(loadCore, file, [JSON.stringify(order)])
  try {
    await passing(settleMs)
    const startedAtMs = performance.now()
    const before = hopNames.map((name) => usageOf(way.pids[name]))
    await passing(seconds * 1000)
    const after = hopNames.map((name) => usageOf(way.pids[name]))
    const elapsed = (performance.now() - startedAtMs) / 1000
    const told = once(child, 'message') as Promise<[PublishersReport]>
    child.send('end')
    const [report] = await told
    const byHop = (value: (index: number) => number) =>
      Object.fromEntries(hopNames.map((name, i) => [name, value(i)])) as Record<HopName, number>
    return {
      server: way.server,
      cores: byHop((i) => (after[i]!.cpuSeconds - before[i]!.cpuSeconds) / elapsed),
      grownBytes: byHop((i) => after[i]!.residentBytes - idle[i]!.residentBytes),
      sentBitsPerSecond: (report.sentBytes * 8) / report.seconds,
      disconnects: report.disconnects,
    }
  } finally {
    await stop(child)
  }
}

function passing(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

export function ingestTable(runs: readonly IngestRun[]): string {
  const lines: string[][] = [
    [
      'server',
      'TLS hop, share of a core',
      'RTMP hop',
      'both',
      'publishers per core',
      'MB a publisher',
    ],
  ]
  const totals = (['nearcast', 'nginx'] as const).map((server) => {
    const own = runs.filter((run) => run.server === server)
    const share = (name: HopName) => median(own.map(({ cores }) => cores[name]))
    const [tls, rtmp] = hopNames.map(share) as [number, number]
    const grown = hopNames.reduce((sum, name) => {
      return sum + median(own.map(({ grownBytes }) => grownBytes[name]))
    }, 0)
    const percent = (value: number) => `${rounded(value * 100)} %`
    lines.push([
      server,
      percent(tls),
      percent(rtmp),
      percent(tls + rtmp),
      rounded(publisherCount / (tls + rtmp)),
      rounded(grown / publisherCount / 1e6),
    ])
    return { tls, rtmp, both: tls + rtmp }
  })
  const [ours, theirs] = totals
  if (!ours || !theirs) return table(lines)
  const ratio = ours.both / theirs.both
  const verdict = `aim ≤ ${goalRatio}: ${ratio <= goalRatio ? 'met' : 'missed'}`
  const cell = (a: number, b: number) => (a / b).toFixed(2)
  lines.push([
    'ratio',
    cell(ours.tls, theirs.tls),
    cell(ours.rtmp, theirs.rtmp),
    `${ratio.toFixed(2)} (${verdict})`,
    '',
    '',
  ])
  const lost = runs.reduce((sum, { disconnects }) => sum + disconnects, 0)
  return lost === 0 ? table(lines) : `${table(lines)}\n\n${lost} publishers lost their connection.`
}
