// `npm run bench [-- scenario…] [--rounds N] [--seconds N] [--docs]`: prints a table, writes JSON below
// bench/results/, and with --docs brings docs/benchmarks.md up to date.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { benchEdge, edgeTable } from './edge.ts'
import { type BenchReport, resultsFolder, writeDocs } from './support/report.ts'

const scenarios = ['edge']

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    connections: { type: 'string', default: '50' },
    docs: { type: 'boolean', default: false },
  },
})
process.exitCode = await main(positionals.length > 0 ? positionals : scenarios)

async function main(wanted: string[]): Promise<number> {
  const unknown = wanted.filter((name) => !scenarios.includes(name))
  if (unknown.length > 0) {
    console.error(`No such scenario: ${unknown.join(', ')}. There are: ${scenarios.join(', ')}.`)
    return 2
  }
  const missing = whatIsMissing()
  if (missing) {
    console.error(missing)
    return 1
  }
  const rows = await benchEdge({
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
    connections: Number(values.connections),
    progress: (text) => process.stderr.write(`${text}\n`),
  })
  const report: BenchReport = {
    scenario: 'edge',
    at: new Date().toISOString(),
    node: process.version,
    processor: cpus()[0]?.model ?? 'unknown',
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
    connections: Number(values.connections),
    rows,
  }
  mkdirSync(resultsFolder, { recursive: true })
  const file = join(resultsFolder, `edge-${report.at.replaceAll(':', '-')}.json`)
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`)
  console.log(edgeTable(rows))
  console.log(`\n${file}`)
  if (values.docs) writeDocs(report)
  return 0
}

function whatIsMissing(): string | undefined {
  if (process.platform !== 'linux') return 'The edge scenario needs Linux: it pins and measures.'
  if (availableParallelism() < 2) return 'The edge scenario needs two cores.'
  if (!existsSync('/usr/sbin/nginx')) return 'The edge scenario needs nginx (apt install nginx).'
  if (!existsSync('/usr/bin/taskset')) return 'The edge scenario needs taskset (util-linux).'
  return undefined
}
