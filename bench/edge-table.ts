// The table of the scenario `edge`: rates by object, road and server, ratios beside the others, and whether goals are met.
import { benchObjects } from './support/objects.ts'
import { median, rounded, table } from './support/statistics.ts'

export const roads = ['plain', 'TLS', 'h2'] as const
export type Road = (typeof roads)[number]

export interface EdgeRun {
  requestsPerSecond: number
  requestsPerCpuSecond: number
  /** Share of the server's core that it used. */
  busy: number
  p50Ms: number | undefined
  p99Ms: number | undefined
}

export interface EdgeRow {
  object: string
  road: Road
  server: string
  runs: EdgeRun[]
  residentBytes: number
}

/** Of nginx's requests, for the objects in their order. */
const goals: Record<Road, readonly number[]> = {
  plain: [1.3, 1, 1],
  TLS: [1.3, 1, 1],
  h2: [0.6, 0.8, 1],
}
/** Below it the load generator was the slower one, and only time of the processor tells. */
const saturated = 0.9

const roadNames: Record<Road, string> = {
  plain: 'HTTP/1.1',
  TLS: 'HTTP/1.1, TLS',
  h2: 'HTTP/2, TLS',
}

export function edgeTable(rows: readonly EdgeRow[]): string {
  const lines: string[][] = [
    [
      ...['object', 'over', 'server', 'requests/s', 'requests/CPU s', 'core busy'],
      ...['p50 ms', 'p99 ms', 'RSS MB', 'goal'],
    ],
  ]
  for (const [index, { name }] of benchObjects.entries()) {
    for (const road of roads) {
      const cells = rows.filter((row) => row.object === name && row.road === road)
      const sides = cells.map((row) => ({ server: row.server, ...mediansOf(row) }))
      for (const side of sides) {
        lines.push([name, roadNames[road], side.server, ...figuresOf(side), ''])
      }
      const [ours, ...others] = sides
      for (const other of others) {
        const goal = other.server === 'nginx' ? goals[road][index] : undefined
        lines.push([
          name,
          roadNames[road],
          `beside ${other.server}`,
          ...ratiosOf(ours!, other, goal),
        ])
      }
    }
  }
  return table(lines)
}

interface Side {
  server: string
  perSecond: number
  perCpu: number
  busy: number
  p50: number
  p99: number
  residentBytes: number
}

function mediansOf({ runs, residentBytes }: EdgeRow): Omit<Side, 'server'> {
  const of = (value: (run: EdgeRun) => number | undefined) =>
    median(runs.map((run) => value(run) ?? Number.NaN))
  return {
    perSecond: of((run) => run.requestsPerSecond),
    perCpu: of((run) => run.requestsPerCpuSecond),
    busy: of((run) => run.busy),
    p50: of((run) => run.p50Ms),
    p99: of((run) => run.p99Ms),
    residentBytes,
  }
}

function figuresOf({ perSecond, perCpu, busy, p50, p99, residentBytes }: Side): string[] {
  const share = `${Math.round(busy * 100)} %`
  const [first, second, ...rest] = [perSecond, perCpu, p50, p99, residentBytes / 1e6].map(rounded)
  return [first!, second!, share, ...rest]
}

function ratiosOf(ours: Side, other: Side, goal: number | undefined): string[] {
  const ratio = (a: number, b: number) => (Number.isFinite(a / b) ? (a / b).toFixed(2) : '–')
  const isSaturated = Math.min(ours.busy, other.busy) >= saturated
  const held = isSaturated ? ours.perSecond / other.perSecond : ours.perCpu / other.perCpu
  const verdict = goal && `≥ ${goal.toFixed(1)}: ${held >= goal ? 'met' : 'missed'}`
  return [
    ratio(ours.perSecond, other.perSecond),
    ratio(ours.perCpu, other.perCpu),
    '',
    ratio(ours.p50, other.p50),
    ratio(ours.p99, other.p99),
    '',
    verdict ? `${verdict}${isSaturated ? '' : ' by CPU'}` : '',
  ]
}
