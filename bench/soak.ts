// `npm run soak [-- edge] [--minutes N] [--viewers N] [--docs]`: a whole cluster for long, with a publisher that comes
// and goes, an ffmpeg that is killed, viewers, and the checker of tests that watches every playlist, MPD and sampled
// byte. Prints a table and leaves with 1 when a rule was broken; with --docs the table goes into docs/benchmarks.md. With
// `edge` it is one edge alone under viewers who come and go (edge-soak.ts).
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Cluster } from '../test/support/cluster.ts'
import { Encoder } from '../test/support/encoder.ts'
import { type CheckerReport, LiveChecker } from '../test/support/live-checker.ts'
import { descendantsOf } from '../test/support/processes.ts'
import { soakEdge } from './edge-soak.ts'
import { takeAllAlong } from './support/leave.ts'
import { usageOfOne } from './support/processes.ts'
import { resultsFolder, writeDocs } from './support/report.ts'
import type { ScenarioResult } from './support/scenario.ts'
import { SoakViewer } from './support/soak-viewer.ts'
import { rounded, table } from './support/statistics.ts'
import { missingFor } from './support/tools.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string' },
    viewers: { type: 'string' },
    docs: { type: 'boolean', default: false },
  },
})

const sampleEveryMs = 5_000
/** Interruptions come by turns, so far apart; each leaves time to settle. */
const interruptEveryMs = 60_000
/** Within the hold: the broadcast goes on. The first is what the players' matrix uses. */
const awayMs = [2_500, 20_000]
/** Memory of the first minutes is that of starting. */
const settledAfterShare = 0.25

interface Sample {
  atMs: number
  process: string
  residentBytes: number
  cpuSeconds: number
}

interface Outcome {
  report: CheckerReport
  samples: Sample[]
  interruptions: Record<string, number>
  requests: number
  failures: string[]
}

takeAllAlong()
const isEdge = positionals[0] === 'edge'
process.exitCode = await main(
  Number(values.minutes ?? (isEdge ? 30 : 10)),
  Number(values.viewers ?? (isEdge ? 60 : 3)),
)

async function main(minutes: number, viewers: number): Promise<number> {
  if (process.platform !== 'linux') {
    console.error('The soak needs Linux: it reads /proc.')
    return 1
  }
  const isKnown = positionals.length === 0 || (isEdge && positionals.length === 1)
  if (!isKnown || !(minutes > 0) || !(viewers >= 0)) {
    console.error('usage: npm run soak -- [edge] [--minutes N] [--viewers N] [--docs]')
    return 2
  }
  if (isEdge) {
    const missing = missingFor('edge-soak', { tools: ['openssl', 'taskset'], openFiles: 4_000 })
    if (missing) {
      console.error(missing)
      return 1
    }
    const { isFlat, ...result } = await soakEdge(minutes, viewers)
    keep('edge-soak', result)
    return isFlat && result.failed === 0 ? 0 : 1
  }
  const outcome = await soak(minutes, viewers)
  keep('soak', {
    setting:
      `${minutes} minutes: 640x480 at 30 frames per second with ladder, two POPs, ${viewers} viewers and the checker; ` +
      `each minute the publisher leaves for ${awayMs.map((ms) => ms / 1000).join(' or ')} s or ffmpeg is killed.`,
    table: tableOf(outcome),
    data: outcome,
  })
  for (const { where, rule, texts } of outcome.report.faults.slice(0, 5)) {
    console.error(`\n${where}: ${rule}\n${texts.join('\n---\n')}`)
  }
  return outcome.report.faultCount + outcome.failures.length === 0 ? 0 : 1
}

function keep(scenario: string, result: ScenarioResult): void {
  const at = new Date().toISOString()
  const processor = cpus()[0]?.model ?? 'unknown'
  const report = { scenario, at, node: process.version, processor, ...result }
  mkdirSync(resultsFolder, { recursive: true })
  const file = join(resultsFolder, `${scenario}-${at.replaceAll(':', '-')}.json`)
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`)
  console.log(`${result.table}\n\n${file}`)
  if (values.docs) writeDocs(report)
}

async function soak(minutes: number, viewerCount: number): Promise<Outcome> {
  const endsAt = performance.now() + minutes * 60_000
  await using cluster = await Cluster.start({ pops: 2 })
  const { edges, channels, caFile } = cluster.facts
  const { streamKey, liveId } = channels[0]!
  const publish = () => new Encoder({ server: edges[0]!.rtmps, streamKey, caFile, size: '640x480' })
  let encoder = publish()
  const media = `${edges[1]!.https}/live/${liveId}`
  const ca = readFileSync(caFile)
  await using checker = await LiveChecker.start({ media, ca })
  const viewers = Array.from({ length: viewerCount }, () => SoakViewer.start(media, ca))
  const samples: Sample[] = []
  const interruptions: Record<string, number> = {}
  const startedAt = performance.now()
  const sampling = setInterval(() => {
    for (const [name, pid] of Object.entries(processesOf(cluster))) {
      const usage = usageOfOne(pid)
      if (usage) samples.push({ atMs: performance.now() - startedAt, process: name, ...usage })
    }
  }, sampleEveryMs)
  try {
    const kinds = [
      ...awayMs.map((ms) => ({
        name: `publisher gone for ${ms / 1000} s`,
        async interrupt() {
          await encoder.kill()
          await passing(ms)
          encoder = publish()
        },
      })),
      {
        name: 'ffmpeg killed',
        async interrupt() {
          const pid = processesOf(cluster).ffmpeg
          if (pid) process.kill(pid, 'SIGKILL')
        },
      },
    ]
    for (let turn = 0; ; turn++) {
      const { name, interrupt } = kinds[turn % kinds.length]!
      await passing(Math.min(interruptEveryMs, Math.max(0, endsAt - performance.now())))
      if (endsAt - performance.now() < interruptEveryMs / 2) break
      console.error(`soak: ${name}; ${checker.report.faultCount} faults so far`)
      await interrupt()
      interruptions[name] = (interruptions[name] ?? 0) + 1
    }
    const stopped = await Promise.all(viewers.map((viewer) => viewer.stop()))
    const report = await checker.stop()
    return {
      report,
      samples,
      interruptions,
      requests: stopped.reduce((sum, { requests }) => sum + requests, 0),
      failures: stopped.flatMap(({ failures }) => failures),
    }
  } finally {
    clearInterval(sampling)
    await Promise.all(viewers.map((viewer) => viewer.stop()))
    await encoder.kill()
  }
}

function processesOf({ facts }: Cluster): Record<string, number> {
  const transcoder = facts.transcoders[0]!.pid
  const children = descendantsOf(transcoder)
  const ffmpeg = children.find(({ command }) => /^\S*ffmpeg /.test(command))?.pid
  const receiver = children.find(({ command }) => !/^\S*ffmpeg /.test(command))?.pid
  return {
    coordinator: facts.coordinator.pid,
    'edge of the publisher': facts.edges[0]!.pid,
    'edge of the viewers': facts.edges[1]!.pid,
    gateway: facts.gateways[0]!.pid,
    transcoder,
    ...(receiver && { 'RTMP receiver': receiver }),
    ...(ffmpeg && { ffmpeg }),
  }
}

function passing(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function tableOf({ report, samples, interruptions, requests, failures }: Outcome): string {
  const lines = [
    ['what', 'result'],
    ['faults that the checker found', String(report.faultCount)],
    ['playlist versions, MPDs read', `${report.versions}, ${report.mpds}`],
    ['blocking reloads, delta updates laid over', `${report.blockedReloads}, ${report.deltas}`],
    [
      'parts, hints, segments, open segments compared',
      Object.values(report.media).slice(1).join(', '),
    ],
    ['segments listed, of them gaps', `${report.segments}, ${report.gaps}`],
    ...Object.entries(interruptions).map(([name, count]) => [name, `${count} times`]),
    ['requests of viewers, failed', `${requests}, ${failures.length}`],
  ]
  for (const name of new Set(samples.map((it) => it.process))) {
    const own = samples.filter((it) => it.process === name)
    const lastMs = own.at(-1)!.atMs
    const settled = own.find((it) => it.atMs >= lastMs * settledAfterShare) ?? own[0]!
    const mb = (bytes: number) => rounded(bytes / 1e6)
    const most = Math.max(...own.map(({ residentBytes }) => residentBytes))
    lines.push([
      `RSS of the ${name}: settled, at the end, most; MB`,
      `${mb(settled.residentBytes)}, ${mb(own.at(-1)!.residentBytes)}, ${mb(most)}`,
    ])
    const first = own[0]!
    // ffmpeg is another process after each interruption.
    if (name !== 'ffmpeg' && lastMs > first.atMs) {
      const share = (own.at(-1)!.cpuSeconds - first.cpuSeconds) / ((lastMs - first.atMs) / 1000)
      lines.push([`CPU of the ${name}, share of a core`, `${rounded(share * 100)} %`])
    }
  }
  return table(lines)
}
