// The table of what faults did: a line per fault, with what was agreed and missed said as missed.
import { median, quantile, rounded, table } from '../support/statistics.ts'
import type { Fault, FaultRun } from './fault.ts'

const head = [
  'fault',
  'on',
  'runs',
  'next segment s: median',
  'p99',
  'worst',
  'nothing new s: worst',
  'disconnects',
  'frames lost',
  'twice',
  'changed',
  'numbers skipped',
  'discontinuities',
  'verdict',
]

/** A line for each fault that was struck. */
export function chaosTable(faults: readonly Fault[], runs: readonly FaultRun[]): string {
  const lines = faults.flatMap((fault) => {
    const own = runs.filter((run) => run.fault === fault.id)
    return own.length === 0 ? [] : [lineOf(fault, own)]
  })
  return table([head, ...lines])
}

/** What was agreed and not kept, in words; empty where all is well. */
export function missesOf(fault: Fault, runs: readonly FaultRun[]): string[] {
  const times = nextSegments(runs)
  const total = (pick: (run: FaultRun) => number) => runs.reduce((sum, run) => sum + pick(run), 0)
  const { median: medianMs, p99: p99Ms } = fault.goalMs ?? {}
  const checks: [string, boolean][] = [
    ['did not go on', runs.some((run) => run.nextSegmentMs === undefined)],
    ['median', medianMs !== undefined && median(times) > medianMs],
    ['p99', p99Ms !== undefined && quantile(times, 0.99) > p99Ms],
    ['disconnects', runs.some((run) => run.disconnects > fault.allowedDisconnects)],
    ['lost', !fault.mayLose && total((run) => run.lost) > 0],
    ['twice', total((run) => run.doubled) > 0],
    ['changed', total((run) => run.broken) > 0],
    ['skipped', total((run) => run.skipped) > 0],
    ['discontinuities', runs.some((run) => run.discontinuities > 1)],
    ['listed and not there', runs.some((run) => run.faults.length > 0)],
    ...Object.entries(fault.goalTimesMs ?? {}).map(([name, boundMs]): [string, boolean] => {
      return [name, runs.some(({ times }) => !((times[name] ?? Number.NaN) <= boundMs))]
    }),
    ...Object.entries(fault.goalFigures ?? {}).map(([name, bound]): [string, boolean] => {
      return [name, runs.some(({ figures }) => !((figures[name] ?? Number.NaN) <= bound))]
    }),
  ]
  return checks.filter(([, isMissed]) => isMissed).map(([name]) => name)
}

function lineOf(fault: Fault, runs: readonly FaultRun[]): string[] {
  const seconds = nextSegments(runs).map((ms) => ms / 1000)
  const sum = (pick: (run: FaultRun) => number) =>
    `${runs.reduce((total, run) => total + pick(run), 0)}`
  const silences = runs.map(({ silenceMs }) => silenceMs / 1000).filter(Number.isFinite)
  const misses = missesOf(fault, runs)
  return [
    `${fault.id} ${fault.name}${toldOf(runs)}`,
    runs.at(-1)!.at.slice(0, 10),
    `${runs.length}`,
    rounded(median(seconds)),
    rounded(quantile(seconds, 0.99)),
    rounded(quantile(seconds, 1)),
    rounded(quantile(silences, 1)),
    sum(({ disconnects }) => disconnects),
    sum(({ lost }) => lost),
    sum(({ doubled }) => doubled),
    sum(({ broken }) => broken),
    sum(({ skipped }) => skipped),
    sum(({ discontinuities }) => discontinuities),
    misses.length === 0 ? 'met' : `missed: ${misses.join(', ')}`,
  ]
}

/** Runs that never went on count as endless, so that they stand in every quantile. */
function nextSegments(runs: readonly FaultRun[]): number[] {
  return runs.map(({ nextSegmentMs }) => nextSegmentMs ?? Number.POSITIVE_INFINITY)
}

function toldOf(runs: readonly FaultRun[]): string {
  const names = [...new Set(runs.flatMap(({ times }) => Object.keys(times)))]
  const told = names.map((name) => {
    const seconds = runs.flatMap(({ times }) => (name in times ? [times[name]! / 1000] : []))
    return `${name} ${rounded(quantile(seconds, 1))} s`
  })
  const counted = [...new Set(runs.flatMap(({ figures }) => Object.keys(figures)))]
  for (const name of counted) {
    const values = runs.flatMap(({ figures }) => (name in figures ? [figures[name]!] : []))
    told.push(`${name} ${rounded(Math.max(...values))}`)
  }
  return told.length === 0 ? '' : ` (${told.join(', ')} at worst)`
}
