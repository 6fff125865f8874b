// Scenario `ingest`: what publishers cost on their way in, through our edge and gateway and through nginx.
//
// All ways get the same 40 publishers of 2.2 Mb/s over RTMPS, each message at its time and each chunk of 4 KiB in a
// record of its own, as OBS sends; one way after the other, and the order changes from round to round. Ours are the
// real roles of a whole cluster, with transcoders that copy the source; nginx ends TLS in `stream` and RTMP in
// nginx-rtmp, once with nobody behind it and once sending everything on, as ours does. Only user and system time of
// the hops counts, all on one core, so that publishers and whoever is behind them do not.
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Cluster } from '../test/support/cluster.ts'
import { type HopName, hopNames, type IngestRun, ingestTable } from './ingest-table.ts'
import type { HandshakesOrder, HandshakesReport } from './support/handshakes-process.ts'
import { missingForNginxIngest, startNginxIngest } from './support/nginx-ingest.ts'
import { pin, startNode, stop, usageOf } from './support/processes.ts'
import type { PublishersOrder, PublishersReport } from './support/publishers-process.ts'
import type { Scenario, ScenarioOptions } from './support/scenario.ts'

const publisherCount = 40
const bitsPerSecond = 2_200_000
const audioBitsPerSecond = 96_000
/** Whole groups of pictures, and whole frames of AAC. */
const clipSeconds = 8
/** Each transcoder takes 32 streams. */
const transcoders = 2
const loadCore = 0
const serverCore = 1
/** Until code is compiled and memories are as full as they get. */
const settleMs = 12_000
const idleMs = 3_000
const handshakeCount = 1_000
const handshakesAtATime = 8

interface Way {
  server: IngestRun['server']
  url: string
  streamNames: readonly string[]
  pids: Record<HopName, number>
}

export const ingest: Scenario = {
  name: 'ingest',
  missing() {
    return process.platform === 'linux'
      ? undefined
      : 'The ingest scenario needs Linux: it reads /proc.'
  },
  async run(options) {
    const runs = await benchIngest(options)
    const { rounds, seconds } = options
    return {
      setting: `${publisherCount} publishers of 720p30 at ${bitsPerSecond / 1e6} Mb/s over RTMPS, ${settleMs / 1000} s to settle; medians, and in brackets the least and the most, of ${rounds} alternating runs of ${seconds} s. Before them ${handshakeCount} connections up to the answer to connect, ${handshakesAtATime} at a time, after as many to warm up.`,
      table: ingestTable(runs, publisherCount),
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
  const missing = missingForNginxIngest()
  if (missing) options.progress(`ingest: ours alone. ${missing}`)
  const servers: IngestRun['server'][] = ['nearcast']
  if (!missing) servers.push('nginx', 'nginx that sends on')
  for (let round = 0; round < options.rounds; round++) {
    for (const server of round % 2 === 0 ? servers : servers.toReversed()) {
      options.progress(`ingest: round ${round + 1}/${options.rounds}, ${server}`)
      await using own = new AsyncDisposableStack()
      const way = await (server === 'nearcast' ? ourWay(own) : nginxWay(own, server, folder))
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
  const facts = cluster.facts
  const [edge, gateway] = [facts.edges[0]!, facts.gateways[0]!]
  for (const { pid } of [edge, gateway]) pin(serverCore, pid)
  const streamNames: string[] = []
  for (let i = 0; i < publisherCount; i++) {
    const { streamKey } = await cluster.api<{ streamKey: string }>('POST', '/api/v1/channels', {
      liveId: `bench-${i}`,
    })
    streamNames.push(streamKey)
  }
  const pids = { 'TLS hop': edge.pid, 'RTMP hop': gateway.pid }
  return { server: 'nearcast', url: edge.rtmps, streamNames, pids }
}

async function nginxWay(
  stack: AsyncDisposableStack,
  server: 'nginx' | 'nginx that sends on',
  folder: string,
): Promise<Way> {
  const certificateFile = join(folder, 'cert.pem')
  const keyFile = join(folder, 'key.pem')
  // The kind of key that our own authority issues.
  await promisify(execFile)('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-days', '2', '-subj', '/CN=localhost', '-keyout', keyFile, '-out', certificateFile],
  ])
  const nginx = stack.use(
    await startNginxIngest({
      core: serverCore,
      certificateFile,
      keyFile,
      ...(server === 'nginx that sends on' && { pushCore: loadCore }),
    }),
  )
  return {
    server,
    url: nginx.server,
    streamNames: Array.from({ length: publisherCount }, (_, i) => `bench-${i}`),
    pids: { 'TLS hop': nginx.tls.pid!, 'RTMP hop': nginx.rtmp.pid! },
  }
}

async function measure(way: Way, flvFile: string, seconds: number): Promise<IngestRun> {
  // What a role does at its start is over by then.
  await passing(idleMs)
  const idle = await sharesWhile(way, () => passing(idleMs))
  // Once for the code to be compiled.
  await knock(way)
  const handshakes = await knock(way)
  const media = await publish(way, flvFile, seconds)
  return { server: way.server, idleCores: idle.cores, handshakes, ...media }
}

async function publish(way: Way, flvFile: string, seconds: number) {
  const order: PublishersOrder = {
    server: way.url,
    streamNames: way.streamNames,
    flvFile,
    loopMs: clipSeconds * 1000,
  }
  const before = hopNames.map((name) => usageOf(way.pids[name]))
  const file = new URL('./support/publishers-process.ts', import.meta.url)
  const { child } = await startNode(loadCore, file, [JSON.stringify(order)])
  try {
    await passing(settleMs)
    const { cores } = await sharesWhile(way, () => passing(seconds * 1000))
    const after = hopNames.map((name) => usageOf(way.pids[name]))
    const told = once(child, 'message') as Promise<[PublishersReport]>
    child.send('end')
    const [report] = await told
    return {
      cores,
      grownBytes: byHop((i) => after[i]!.residentBytes - before[i]!.residentBytes),
      sentBitsPerSecond: (report.sentBytes * 8) / report.seconds,
      disconnects: report.disconnects,
    }
  } finally {
    await stop(child)
  }
}

async function knock(way: Way): Promise<IngestRun['handshakes']> {
  const order: HandshakesOrder = {
    server: way.url,
    count: handshakeCount,
    atATime: handshakesAtATime,
  }
  const file = new URL('./support/handshakes-process.ts', import.meta.url)
  const { child } = await startNode(loadCore, file, [JSON.stringify(order)])
  try {
    let report: HandshakesReport | undefined
    const { cpuSeconds } = await sharesWhile(way, async () => {
      const told = once(child, 'message') as Promise<[HandshakesReport]>
      child.send('begin')
      report = (await told)[0]
    })
    return { ...report!, cpuSeconds: cpuSeconds['TLS hop'] + cpuSeconds['RTMP hop'] }
  } finally {
    await stop(child)
  }
}

async function sharesWhile(way: Way, work: () => Promise<void>) {
  const startedAtMs = performance.now()
  const before = hopNames.map((name) => usageOf(way.pids[name]).cpuSeconds)
  await work()
  const cpuSeconds = byHop((i) => usageOf(way.pids[hopNames[i]!]).cpuSeconds - before[i]!)
  const elapsed = (performance.now() - startedAtMs) / 1000
  return { cpuSeconds, cores: byHop((i) => cpuSeconds[hopNames[i]!] / elapsed) }
}

function byHop(value: (index: number) => number): Record<HopName, number> {
  return { 'TLS hop': value(0), 'RTMP hop': value(1) }
}

function passing(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
