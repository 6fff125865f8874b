// `npm run chaos [-- fault…|all|players] [--runs N] [--docs]`: strikes live streams of real processes with faults.
// Prints a table, writes every run below bench/results/, with --docs into docs/benchmarks.md, and leaves with 1 where
// what was agreed was missed.
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { takeAllAlong } from '../support/leave.ts'
import { resultsFolder, writeDocs } from '../support/report.ts'
import type { ScenarioResult } from '../support/scenario.ts'
import { chaosTable, missesOf } from './chaos-table.ts'
import type { FaultRun } from './fault.ts'
import { faults } from './faults.ts'
import { missingForPlayers, playersSetting, watchKills } from './players.ts'
import { missesOfPlayer, playersTable } from './players-table.ts'
import { runFault } from './run-fault.ts'

interface Outcome extends ScenarioResult {
  scenario: 'chaos' | 'players'
  keepsOthers: boolean
  /** What to look into, as sentences. */
  problems: string[]
  isMet: boolean
}

const usage = [
  'usage: npm run chaos -- [fault…|all|players] [--runs N] [--docs]',
  '  --runs N  so many strikes of each fault; 10 without it',
  '  --docs    writes the table into docs/benchmarks.md',
  '',
  ...faults.map(({ id, name }) => `  ${id.padEnd(7)}  ${name}`),
  '  all      each of these; so does no name',
  '  players  F5, seen by players in a browser',
].join('\n')

takeAllAlong()
process.exitCode = await main()

async function main(): Promise<number> {
  const orders = ordersFrom(process.argv.slice(2))
  if (typeof orders === 'string') {
    if (orders === '') console.log(usage)
    else console.error(`${orders}\n${usage}`)
    return orders === '' ? 0 : 2
  }
  const { ids, runs, docs } = orders
  const missing =
    process.platform === 'linux'
      ? ids.includes('players') && missingForPlayers()
      : 'Chaos needs Linux: it reads /proc.'
  if (missing) {
    console.error(missing)
    return 1
  }
  const others = `Load average before: ${loadavg()[0]!.toFixed(1)}.`
  const outcomes: Outcome[] = []
  const struck = ids.filter((id) => id !== 'players')
  if (struck.length > 0) outcomes.push(await strikeAll(struck, runs))
  if (ids.includes('players')) outcomes.push(await watchAll(runs))
  for (const outcome of outcomes) {
    note({ ...outcome, setting: `${outcome.setting} ${others}` }, docs)
  }
  return outcomes.every(({ isMet }) => isMet) ? 0 : 1
}

/** What is wanted, or a sentence on why it cannot be had; empty where help is. */
function ordersFrom(args: string[]): { ids: string[]; runs: number; docs: boolean } | string {
  try {
    const { positionals, values } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        runs: { type: 'string', default: '10' },
        docs: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    if (values.help) return ''
    const all = faults.map(({ id }) => id)
    const isAll = positionals.length === 0 || positionals.includes('all')
    const ids = [...(isAll ? all : []), ...positionals.filter((it) => it !== 'all')]
    const unknown = ids.find((id) => id !== 'players' && !all.includes(id))
    if (unknown !== undefined) return `No such fault: ${unknown}.`
    const runs = Number(values.runs)
    if (!(Number.isInteger(runs) && runs > 0)) return `Not a number of runs: ${values.runs}.`
    return { ids, runs, docs: values.docs }
  } catch (err) {
    return err instanceof Error ? err.message : String(err)
  }
}

async function strikeAll(ids: readonly string[], runs: number): Promise<Outcome> {
  const done: FaultRun[] = []
  const struck = faults.filter(({ id }) => ids.includes(id))
  for (const fault of struck) {
    done.push(...(await runFault(fault, runs, (text) => console.error(text))))
  }
  const isMet = struck.every((fault) => {
    return (
      missesOf(
        fault,
        done.filter((run) => run.fault === fault.id),
      ).length === 0
    )
  })
  return {
    scenario: 'chaos',
    keepsOthers: true,
    setting:
      `All processes and an RTMPS publisher on this machine of ${cpus().length} cores; next ` +
      'segment: from the fault until a whole segment with media from after it is listed, in every rendition, at another POP.',
    table: chaosTable(faults, done),
    data: done,
    problems: done.flatMap(({ fault, faults: found }) => found.map((it) => `${fault}: ${it}`)),
    isMet,
  }
}

async function watchAll(runs: number): Promise<Outcome> {
  const kills = await watchKills(runs, (text) => console.error(text))
  return {
    scenario: 'players',
    keepsOthers: false,
    setting: playersSetting(runs),
    table: playersTable(kills),
    data: kills,
    problems: kills.flatMap(({ player, errors }) => errors.map((it) => `${player}: ${it}`)),
    isMet: Object.values(Object.groupBy(kills, ({ player }) => player)).every(
      (own = []) => missesOfPlayer(own).length === 0,
    ),
  }
}

function note({ problems, isMet, ...result }: Outcome, docs: boolean): void {
  const at = new Date().toISOString()
  const processor = cpus()[0]?.model ?? 'unknown'
  const report = { at, node: process.version, processor, ...result }
  mkdirSync(resultsFolder, { recursive: true })
  const file = join(resultsFolder, `${result.scenario}-${at.replaceAll(':', '-')}.json`)
  writeFileSync(file, `${JSON.stringify({ ...report, isMet }, null, 2)}\n`)
  console.log(`${result.table}\n\n${file}`)
  for (const line of [...new Set(problems)].slice(0, 20)) console.error(line)
  if (docs) writeDocs(report)
}
