// Damages the seeds of a target time and again, from numbers that can be repeated, and reports what broke a rule.
import { Mutator, randomNumbers } from '../media/mutations.ts'
import { amf0Target } from './amf0-target.ts'
import { chunkTarget } from './chunk-target.ts'
import { flvTarget } from './flv-target.ts'
import type { FuzzTarget } from './fuzz-target.ts'
import { handshakeTarget } from './handshake-target.ts'
import { MemoryWatch } from './memory-watch.ts'
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
  /** After so many the parser is known to be broken. */
  enoughFindings?: number
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
  /** Of memory that one run took, for a moment or longer. */
  mostTakenBytes: number
}

/** What a connection may hold before its publish is accepted; inputs are far shorter, and must not take more either. */
const maxTakenBytes = 1024 * 1024

export function fuzz(target: FuzzTarget, options: FuzzOptions): FuzzReport {
  const { runs, seed, firstRun = 0, enoughFindings = 10 } = options
  const report: FuzzReport = {
    target: target.name,
    runs: 0,
    findings: [],
    slowestMs: 0,
    slowestRun: -1,
    mostTakenBytes: 0,
  }
  const mutator = new Mutator(target.seeds)
  using watch = new MemoryWatch()
  let beganMs = performance.now()
  for (let run = firstRun; run < firstRun + runs; run++) {
    const random = randomNumbers(Math.imul(seed, 0x9e3779b1) ^ run)
    const bytes = mutator.next(random)
    watch.takenBytes = 0
    const fault = faultOf(target, bytes, random, watch)
    report.mostTakenBytes = Math.max(report.mostTakenBytes, watch.takenBytes)
    const endedMs = performance.now()
    if (endedMs - beganMs > report.slowestMs) {
      report.slowestMs = endedMs - beganMs
      report.slowestRun = run
    }
    beganMs = endedMs
    report.runs++
    if (fault === undefined) continue
    report.findings.push({ run, fault, bytes: Buffer.from(bytes) })
    if (report.findings.length >= enoughFindings) break
  }
  return report
}

function faultOf(
  target: FuzzTarget,
  bytes: Buffer,
  random: (limit: number) => number,
  watch: MemoryWatch,
): string | undefined {
  try {
    const fault = target.check(bytes, random)
    if (fault !== undefined || watch.takenBytes <= maxTakenBytes) return fault
    return `took ${watch.takenBytes} bytes of memory for ${bytes.length} that came`
  } catch (err) {
    return `throws ${err instanceof Error ? err.stack : String(err)}`
  }
}
