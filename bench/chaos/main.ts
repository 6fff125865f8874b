// `npm run chaos [-- fault…|all] [--runs N] [--docs]`: strikes live streams of real processes with faults. Prints a
// table, writes every run below bench/results/, with --docs into docs/benchmarks.md, and leaves with 1 where what was
// agreed was missed.
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { resultsFolder, writeDocs } from '../support/report.ts'
import { chaosTable, missesOf } from './chaos-table.ts'
import type { FaultRun } from './fault.ts'
import { faults } from './faults.ts'
import { runFault } from './run-fault.ts'

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '10' },
    faults: { type: 'string', default: 'all' },
    docs: { type: 'boolean', default: false },
  },
})
const named = positionals.length > 0 ? positionals : values.faults.split(',')
process.exitCode = await main(named.includes('all') ? faults.map(({ id }) => id) : named)

async function main(ids: readonly string[]): Promise<number> {
  const unknown = ids.filter((id) => !faults.some((fault) => fault.id === id))
  const runs = Number(values.runs)
  if (unknown.length > 0 || !(runs > 0)) {
    console.error('usage: npm run chaos -- [fault…|all] [--runs N] [--docs]')
    for (const { id, name } of faults) console.error(`  ${id}  ${name}`)
    return 2
  }
  if (process.platform !== 'linux') {
    console.error('Chaos needs Linux: it reads /proc.')
    return 1
  }
  const at = new Date().toISOString()
  const done: FaultRun[] = []
  for (const fault of faults.filter(({ id }) => ids.includes(id))) {
    done.push(...(await runFault(fault, runs, (text) => console.error(text))))
  }
  const report = {
    scenario: 'chaos',
    at,
    node: process.version,
    processor: cpus()[0]?.model ?? 'unknown',
    setting:
      `${runs} runs a fault, all processes and an RTMPS publisher on this machine of ${cpus().length} cores; next ` +
      'segment: from the fault until a whole segment with media from after it is listed, in every rendition, at another POP.',
    table: chaosTable(faults, done),
    data: done,
  }
  mkdirSync(resultsFolder, { recursive: true })
  const file = join(resultsFolder, `chaos-${at.replaceAll(':', '-')}.json`)
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`)
  console.log(`${report.table}\n\n${file}`)
  const broken = [
    ...new Set(done.flatMap(({ fault, faults: found }) => found.map((it) => `${fault}: ${it}`))),
  ]
  for (const line of broken.slice(0, 20)) console.error(line)
  if (values.docs) writeDocs(report)
  const isMet = faults.every((fault) => {
    return (
      missesOf(
        fault,
        done.filter((run) => run.fault === fault.id),
      ).length === 0
    )
  })
  return isMet ? 0 : 1
}
