// Damages the seeds of a target time and again, from numbers that can be repeated, and reports what broke a rule.
import { mutate, randomNumbers } from '../media/mutations.ts'
import { amf0Target } from './amf0-target.ts'
import { chunkTarget } from './chunk-target.ts'
import { flvTarget } from './flv-target.ts'
import type { FuzzTarget } from './fuzz-target.ts'
import { handshakeTarget } from './handshake-target.ts'
import { sessionTarget } from './session-target.ts'

export const fuzzTargets: readonly FuzzTarget[] = [
  handshakeTarget,
  chunkTarget,
  amf0Target,
  flvTarget,
  sessionTarget,
]

export interface FuzzOptions {
  runs: number
  /** Run n of a seed is the same for ever. */
  seed: number
  firstRun?: number
}

export interface FuzzFinding {
  run: number
  fault: string
  bytes: Buffer
}

export interface FuzzReport {
  target: string
  runs: number
  findings: FuzzFinding[]
  slowestMs: number
  slowestRun: number
}

/** After so many the parser is known to be broken. */
const enoughFindings = 10

export function fuzz(target: FuzzTarget, { runs, seed, firstRun = 0 }: FuzzOptions): FuzzReport {
  const report: FuzzReport = {
    target: target.name,
    runs: 0,
    findings: [],
    slowestMs: 0,
    slowestRun: -1,
  }
  const seeds = [...target.seeds]
  for (let run = firstRun; run < firstRun + runs; run++) {
    const random = randomNumbers(Math.imul(seed, 0x9e3779b1) ^ run)
    const bytes = mutate(seeds, random)
    const startMs = performance.now()
    const fault = faultOf(target, bytes, random)
    const tookMs = performance.now() - startMs
    if (tookMs > report.slowestMs) {
      report.slowestMs = tookMs
      report.slowestRun = run
    }
    report.runs++
    if (fault === undefined) continue
    report.findings.push({ run, fault, bytes })
    if (report.findings.length >= enoughFindings) break
  }
  return report
}

function faultOf(
  target: FuzzTarget,
  bytes: Buffer,
  random: (limit: number) => number,
): string | undefined {
  try {
    return target.check(bytes, random)
  } catch (err) {
    return `throws ${err instanceof Error ? err.stack : String(err)}`
  }
}
