// `npm run fuzz [-- --runs N] [--target name,…] [--seed N] [--first-run N]`: prints what was found, and leaves with 1
// where that is anything.
import { parseArgs } from 'node:util'
import { findingText } from './finding-text.ts'
import { type FuzzReport, fuzz, fuzzTargets } from './fuzzer.ts'

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '1000000' },
    target: { type: 'string', default: 'all' },
    seed: { type: 'string', default: '1' },
    'first-run': { type: 'string', default: '0' },
  },
})

process.exitCode = main()

function main(): number {
  const wanted = values.target === 'all' ? undefined : values.target.split(',')
  const unknown = wanted?.find((name) => !fuzzTargets.some((target) => target.name === name))
  const numbers = [values.runs, values.seed, values['first-run']].map(Number)
  const [runs, seed, firstRun] = numbers
  const areNumbers = numbers.every((it) => Number.isInteger(it) && it >= 0)
  if (unknown !== undefined || !areNumbers || runs === 0) {
    const known = fuzzTargets.map(({ name }) => name).join(',')
    process.stderr.write(
      `usage: npm run fuzz -- [--runs N] [--target ${known}] [--seed N] [--first-run N]\n`,
    )
    return 2
  }
  let findings = 0
  for (const target of fuzzTargets) {
    if (wanted && !wanted.includes(target.name)) continue
    const startMs = performance.now()
    const report = fuzz(target, { runs: runs!, seed: seed!, firstRun: firstRun! })
    tell(report, (performance.now() - startMs) / 1000, seed!)
    findings += report.findings.length
  }
  return findings === 0 ? 0 : 1
}

function tell(report: FuzzReport, seconds: number, seed: number): void {
  const rate = Math.round(report.runs / seconds)
  const peakMb = Math.round(process.resourceUsage().maxRSS / 1024)
  const slowest = `slowest ${report.slowestMs.toFixed(1)} ms (run ${report.slowestRun})`
  process.stdout.write(
    `${report.target}: ${report.runs} runs in ${seconds.toFixed(1)} s, ${rate}/s, ${slowest}, ` +
      `at most ${report.mostTakenBytes} bytes taken by one, memory peak ${peakMb} MB, ${report.findings.length} findings\n`,
  )
  for (const finding of report.findings) {
    process.stdout.write(findingText(report.target, seed, finding))
  }
}
