// The soak of an edge alone: viewers who come, watch, and leave in the middle, for long, at one edge with a small cache,
// so that objects come and go as well. Memory and open files have to be flat; a straight line through them tells.
import { loadCore } from './support/bench-server.ts'
import { makeCertificate } from './support/certificate.ts'
import { startLiveOrigin } from './support/live-origin.ts'
import { type OurEdge, startOurEdge } from './support/our-edge.ts'
import { openFilesOf, startNode, stop, usageOf } from './support/processes.ts'
import { RawConnection, type RawTarget } from './support/raw-connection.ts'
import type { ScenarioResult } from './support/scenario.ts'
import { mean, quantile, rounded, slope, table } from './support/statistics.ts'
import type { ViewerModelOrder, ViewerModelReport } from './support/viewer-model-process.ts'

const stream = { partSeconds: 0.5, segmentSeconds: 2, partBytes: 16 * 1024, thinkMs: 5 }
const rendition = '720p'
const liveIds = ['first', 'second', 'third']
const cacheBytes = 32 * 1024 * 1024
const stayMs = 15_000
const sampleEveryMs = 2_000
/** Who leaves while an answer is held back. */
const leavers = 20
/** Memory of the first minutes is that of starting. */
const settledAfterShare = 0.25
/** Of the mean, over the settled part. */
const flatShare = 0.05
const leastOpenFiles = 10
const goneLimitMs = 10_000

interface Sample {
  atMs: number
  residentBytes: number
  openFiles: number
}

export interface EdgeSoak {
  samples: Sample[]
  openFilesBefore: number
  openFilesAfter: number
  requests: number
  left: number
  failures: Record<string, number>
  p99Ms: number[]
  busy: number
}

export interface EdgeSoakOutcome extends ScenarioResult {
  isFlat: boolean
  failed: number
}

export async function soakEdge(minutes: number, viewers: number): Promise<EdgeSoakOutcome> {
  const soak = await watch(minutes, viewers)
  const isFlat = verdictsOf(soak).every(({ isMet }) => isMet)
  return {
    setting:
      `${minutes} minutes: ${viewers} viewers at a time, a third each of LL-HLS, HLS and DASH, who come and go every ` +
      `${stayMs / 1000} s, by turns plain and over TLS, on ${liveIds.length} streams with parts of ${stream.partSeconds} s; ` +
      `a cache of ${cacheBytes / 2 ** 20} MiB. Lines through all readings after the first quarter.`,
    table: edgeSoakTable(soak),
    data: soak,
    isFlat,
    failed: failedOf(soak),
  }
}

async function watch(minutes: number, viewers: number): Promise<EdgeSoak> {
  await using stack = new AsyncDisposableStack()
  const certificate = await makeCertificate(stack)
  const origin = stack.use(await startLiveOrigin(stream))
  const edge = stack.use(await startOurEdge({ originPort: origin.port, certificate, cacheBytes }))
  const { pid } = edge.server
  const targets = targetsOf(edge, certificate.certificate)
  // What it opens for upstream and keeps is there after a first viewer.
  await stayFor(targets.plain, liveIds[0]!, viewers, 2)
  const openFilesBefore = await openFilesAlone(pid, Number.POSITIVE_INFINITY)
  const soak: EdgeSoak = {
    samples: [],
    openFilesBefore,
    openFilesAfter: openFilesBefore,
    requests: 0,
    left: 0,
    failures: {},
    p99Ms: [],
    busy: 0,
  }
  const startedAtMs = performance.now()
  const cpuBefore = usageOf(pid).cpuSeconds
  const sampling = setInterval(() => {
    const { residentBytes } = usageOf(pid)
    const atMs = performance.now() - startedAtMs
    soak.samples.push({ atMs, residentBytes, openFiles: openFilesOf(pid) })
  }, sampleEveryMs)
  try {
    const endsAtMs = startedAtMs + minutes * 60_000
    for (let turn = 0; performance.now() < endsAtMs; turn++) {
      const target = turn % 2 === 0 ? targets.plain : targets.tls
      const liveId = liveIds[turn % liveIds.length]!
      const seconds = Math.min(stayMs, Math.max(1_000, endsAtMs - performance.now())) / 1000
      const [report] = await Promise.all([
        stayFor(target, liveId, viewers, seconds),
        leaveInTheMiddle(target, liveId).then((count) => {
          soak.left += count
        }),
      ])
      add(soak, report)
    }
  } finally {
    clearInterval(sampling)
  }
  soak.busy = (usageOf(pid).cpuSeconds - cpuBefore) / ((performance.now() - startedAtMs) / 1000)
  soak.openFilesAfter = await openFilesAlone(pid, openFilesBefore)
  return soak
}

function targetsOf({ server }: OurEdge, certificate: string): { plain: RawTarget; tls: RawTarget } {
  const plain = { port: Number(new URL(server.plain).port) }
  return { plain, tls: { port: server.tlsPort, certificate } }
}

async function stayFor(
  target: RawTarget,
  liveId: string,
  viewers: number,
  seconds: number,
): Promise<ViewerModelReport> {
  const each = Math.ceil(viewers / 3)
  const kinds = { 'LL-HLS': each, HLS: each, DASH: each }
  const order: ViewerModelOrder = { target, liveId, rendition, viewers: kinds, seconds }
  const file = new URL('./support/viewer-model-process.ts', import.meta.url)
  const { child, message: report } = await startNode<ViewerModelReport>(loadCore, file, [
    JSON.stringify(order),
  ])
  await stop(child)
  return report
}

/** Asks for what is far enough ahead to be held, and is gone before it comes. */
async function leaveInTheMiddle(target: RawTarget, liveId: string): Promise<number> {
  const path = `/live/${liveId}/${rendition}.m3u8`
  const first = new RawConnection(target)
  const { body } = await first.ask(path, { keepsBody: true })
  first.close()
  const [, hint] = /PRELOAD-HINT:TYPE=PART,URI="([^"]+)"/.exec(body.toString('latin1')) ?? []
  if (hint === undefined) return 0
  const left = Array.from({ length: leavers }, async () => {
    const connection = new RawConnection(target)
    setTimeout(() => connection.close(), stream.partSeconds * 500)
    return await connection.ask(`/live/${liveId}/${hint}`).then(
      () => 0,
      () => 1,
    )
  })
  return (await Promise.all(left)).reduce<number>((sum, one) => sum + one, 0)
}

/** Once all viewers have gone: the least within a while, or as soon as it is down to `enough`. */
async function openFilesAlone(pid: number, enough: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  const untilMs = performance.now() + goneLimitMs
  do {
    await new Promise((resolve) => setTimeout(resolve, 500))
    least = Math.min(least, openFilesOf(pid))
  } while (least > enough && performance.now() < untilMs)
  return least
}

function add(soak: EdgeSoak, { latenciesMs, failures }: ViewerModelReport): void {
  const all = Object.values(latenciesMs).flat()
  soak.requests += all.length
  if (all.length > 0) soak.p99Ms.push(quantile(all, 0.99))
  for (const [text, count] of Object.entries(failures)) {
    soak.failures[text] = (soak.failures[text] ?? 0) + count
  }
}

interface Verdict {
  name: string
  text: string
  goal: string
  isMet: boolean
}

/** Memory and open files: how they grow, and whether that counts as flat. */
export function verdictsOf({ samples, openFilesBefore, openFilesAfter }: EdgeSoak): Verdict[] {
  const lastMs = samples.at(-1)?.atMs ?? 0
  const settled = samples.filter(({ atMs }) => atMs >= lastMs * settledAfterShare)
  const lineOf = (value: (sample: Sample) => number) => {
    const perMs = slope(settled.map((it) => [it.atMs, value(it)]))
    const rise = perMs * (lastMs - (settled[0]?.atMs ?? 0))
    return { perHour: perMs * 3_600_000, rise, middle: mean(settled.map(value)) }
  }
  const memory = lineOf(({ residentBytes }) => residentBytes / 1e6)
  const files = lineOf(({ openFiles }) => openFiles)
  const growth = ({ middle, perHour, rise }: typeof memory) =>
    `${rounded(middle)}, ${signed(perHour)}, ${signed(rise)}`
  return [
    {
      name: 'RSS, MB: mean, growth an hour, growth in all',
      text: growth(memory),
      goal: `≤ ${flatShare * 100} % in all`,
      isMet: memory.rise <= flatShare * memory.middle,
    },
    {
      name: 'open files: mean, growth an hour, growth in all',
      text: growth(files),
      goal: `≤ ${flatShare * 100} % or ${leastOpenFiles} in all`,
      isMet: files.rise <= Math.max(leastOpenFiles, flatShare * files.middle),
    },
    {
      name: 'open files with nobody: before, after',
      text: `${openFilesBefore}, ${openFilesAfter}`,
      goal: `≤ ${leastOpenFiles} more`,
      isMet: openFilesAfter <= openFilesBefore + leastOpenFiles,
    },
  ]
}

export function edgeSoakTable(soak: EdgeSoak): string {
  const worst = Object.entries(soak.failures).map(([text, count]) => `${count} × ${text}.`)
  const lines = [
    ['what', 'result', 'goal'],
    ...verdictsOf(soak).map(({ name, text, goal, isMet }) => [
      name,
      text,
      `${goal}: ${isMet ? 'met' : 'missed'}`,
    ]),
    ['requests of viewers, failed', `${soak.requests}, ${failedOf(soak)}`, ''],
    ['viewers that left in the middle of an answer', String(soak.left), ''],
    [
      'p99 of all requests, ms: first stay, last, worst',
      [soak.p99Ms[0], soak.p99Ms.at(-1), Math.max(...soak.p99Ms)]
        .map((ms) => rounded(ms ?? Number.NaN))
        .join(', '),
      '',
    ],
    ['share of a core', `${rounded(soak.busy * 100)} %`, ''],
  ]
  return [table(lines), ...worst].join('\n\n')
}

function failedOf({ failures }: EdgeSoak): number {
  return Object.values(failures).reduce((a, b) => a + b, 0)
}

function signed(value: number): string {
  return value < 0 ? `-${rounded(-value)}` : rounded(value)
}
