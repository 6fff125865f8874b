// The table of the scenario `ingest`: shares of a core by hop, ratios beside nginx, and whether the goal is met.
import { median, rounded, table } from './support/statistics.ts'

export const hopNames = ['TLS hop', 'RTMP hop'] as const
export type HopName = (typeof hopNames)[number]

export interface IngestRun {
  server: 'nearcast' | 'nginx' | 'nginx that sends on'
  /** Share of a core, by hop, with all publishers. */
  cores: Record<HopName, number>
  /** The same before there is any. */
  idleCores: Record<HopName, number>
  /** What publishers added, by hop. */
  grownBytes: Record<HopName, number>
  sentBitsPerSecond: number
  disconnects: number
  handshakes: {
    answered: number
    seconds: number
    /** Of both hops. */
    cpuSeconds: number
  }
}

/** Of the sum of both hops of nginx. */
const goalRatio = 1.5

export function ingestTable(runs: readonly IngestRun[], publisherCount: number): string {
  const servers = [...new Set(runs.map(({ server }) => server))].toSorted()
  const sides = servers.map((server) => sideOf(runs.filter((run) => run.server === server)))
  const row = (label: string, cell: (side: Side) => string, verdict = '') => [
    label,
    ...sides.map(cell),
    verdict,
  ]
  const [ours, theirs] = sides
  const ratio = ours && theirs && ours.both.median / theirs.both.median
  const verdict =
    ratio === undefined ? '' : `≤ ${goalRatio}: ${ratio <= goalRatio ? 'met' : 'missed'}`
  const lines = [
    ['what', ...servers, 'goal'],
    row('TLS hop, share of a core', ({ tls }) => percents(tls)),
    row('RTMP hop, share of a core', ({ rtmp }) => percents(rtmp)),
    row('both', ({ both }) => percents(both)),
    row('of it without any publisher', ({ idle }) => percents(idle)),
    row(
      'ours beside it',
      (side) => (side === ours ? '' : (ours!.both.median / side.both.median).toFixed(2)),
      verdict,
    ),
    row('publishers per core', ({ both }) => rounded(publisherCount / both.median)),
    row('MB a publisher', ({ grown }) => rounded(grown.median / publisherCount / 1e6)),
    row('handshakes per second of a core', ({ handshakes }) => rounded(handshakes.median)),
  ]
  const lost = runs.reduce((sum, { disconnects }) => sum + disconnects, 0)
  return lost === 0 ? table(lines) : `${table(lines)}\n\n${lost} publishers lost their connection.`
}

interface Spread {
  median: number
  least: number
  most: number
}

type Side = ReturnType<typeof sideOf>

function sideOf(runs: readonly IngestRun[]) {
  const over = (value: (run: IngestRun) => number): Spread => {
    const values = runs.map(value)
    return { median: median(values), least: Math.min(...values), most: Math.max(...values) }
  }
  const sum = (byHop: Record<HopName, number>) => byHop['TLS hop'] + byHop['RTMP hop']
  return {
    tls: over(({ cores }) => cores['TLS hop']),
    rtmp: over(({ cores }) => cores['RTMP hop']),
    both: over(({ cores }) => sum(cores)),
    idle: over(({ idleCores }) => sum(idleCores)),
    grown: over(({ grownBytes }) => sum(grownBytes)),
    handshakes: over(({ handshakes }) => handshakes.answered / handshakes.cpuSeconds),
  }
}

function percents({ median: middle, least, most }: Spread): string {
  const percent = (value: number) => `${rounded(value * 100)} %`
  return least === most
    ? percent(middle)
    : `${percent(middle)} (${percent(least)}–${percent(most)})`
}
