// `npm run bench [-- scenario…] [--rounds N] [--seconds N] [--viewers N] [--docs]`: prints a table per scenario, writes JSON
// below bench/results/, and with --docs brings docs/benchmarks.md up to date.
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { crowd } from './crowd.ts'
import { edge } from './edge.ts'
import { held } from './held.ts'
import { ingest } from './ingest.ts'
import { keyGuessing } from './key-guessing.ts'
import { latency } from './latency.ts'
import { packager } from './packager.ts'
import { recovery } from './recovery.ts'
import { road } from './road.ts'
import { slowReaders } from './slow-readers.ts'
import { takeAllAlong } from './support/leave.ts'
import { type BenchReport, resultsFolder, writeDocs } from './support/report.ts'
import type { Scenario } from './support/scenario.ts'
import { viewers } from './viewers.ts'

const scenarios = [
  road,
  latency,
  recovery,
  packager,
  edge,
  viewers,
  crowd,
  held,
  slowReaders,
  ingest,
  keyGuessing,
]

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    connections: { type: 'string', default: '32' },
    viewers: { type: 'string' },
    docs: { type: 'boolean', default: false },
  },
})
takeAllAlong()
process.exitCode = await main(positionals)

async function main(names: string[]): Promise<number> {
  const unknown = names.filter((name) => !scenarios.some((scenario) => scenario.name === name))
  if (unknown.length > 0) {
    const known = scenarios.map(({ name }) => name).join(', ')
    console.error(`No such scenario: ${unknown.join(', ')}. There are: ${known}.`)
    return 2
  }
  if (![values.rounds, values.seconds, values.connections].every((text) => Number(text) > 0)) {
    console.error('--rounds, --seconds and --connections take numbers above 0.')
    return 2
  }
  const wanted = scenarios.filter(({ name }) => names.length === 0 || names.includes(name))
  let code = 0
  for (const scenario of wanted) {
    const missing = scenario.missing()
    if (missing) {
      console.error(`${scenario.name}: skipped. ${missing}`)
      // Whoever asked for everything gets the rest; whoever asked for this one has to know.
      if (names.length > 0) code = 1
    } else await measure(scenario)
  }
  return code
}

async function measure(scenario: Scenario): Promise<void> {
  const result = await scenario.run({
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
    connections: Number(values.connections),
    ...(values.viewers && { viewers: Number(values.viewers) }),
    progress: (text) => process.stderr.write(`${text}\n`),
  })
  const report: BenchReport = {
    scenario: scenario.name,
    at: new Date().toISOString(),
    node: process.version,
    processor: cpus()[0]?.model ?? 'unknown',
    ...result,
  }
  mkdirSync(resultsFolder, { recursive: true })
  const file = join(resultsFolder, `${scenario.name}-${report.at.replaceAll(':', '-')}.json`)
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`)
  console.log(`${result.table}\n\n${file}`)
  if (values.docs) writeDocs(report)
}
