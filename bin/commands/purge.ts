// `nearcast purge`: drops an object, a live id or a recording from all caches of the cluster.
import type { Command } from 'commander'
import { type CoordinatorOptions, coordinatorApi, withCoordinator } from '../coordinator-access.ts'
import { printJson, printLine, printNote, tableText } from '../output.ts'

interface Purge {
  id: string
  prefix: string
  complete: boolean
  milliseconds: number
  nodes: {
    id: string
    role: string
    outcome: 'purged' | 'not-reached' | 'away'
    objects: number
    lateWorkers?: number[]
  }[]
}

const outcomes = {
  purged: 'purged',
  'not-reached': 'not reached',
  away: 'away',
}
const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export function register(program: Command): void {
  withCoordinator(program.command('purge'))
    .description('drop an object, a live id or a recording from the caches of all nodes')
    .argument('<what>', 'URL or path of an object, a live id, or the id of a recording')
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      `
Gateways forget first, then edges, all within a second. Exit code 1 where a node did not answer, or a worker
thread of it: it purges when it is heard of again within ten minutes. What is live is fetched anew from where it is made.`,
    )
    .action(async (what: string, options: CoordinatorOptions & { json?: boolean }) => {
      const purge = await coordinatorApi(options).post<Purge>('/api/v1/purges', targetOf(what))
      if (options.json) printJson(purge)
      else printLine(purgeText(purge))
      if (!purge.complete) {
        if (!options.json)
          printNote('not every cache has answered: the objects may still be served')
        process.exitCode = 1
      }
    })
}

export function targetOf(
  what: string,
): { url: string } | { recordingId: string } | { liveId: string } {
  if (what.includes('/')) return { url: what }
  return uuid.test(what) ? { recordingId: what } : { liveId: what }
}

function purgeText({ prefix, milliseconds, nodes }: Purge): string {
  const done = nodes.filter(({ outcome }) => outcome === 'purged').length
  const head = `${prefix}: ${done} of ${nodes.length} caches in ${milliseconds} ms`
  const rows = nodes.map(({ id, role, outcome, objects, lateWorkers }) => [
    id,
    role,
    lateWorkers ? `worker ${lateWorkers.join(', ')} late` : outcomes[outcome],
    outcome === 'purged' ? objects : null,
  ])
  return `${head}\n${tableText(['NODE', 'ROLE', 'OUTCOME', 'OBJECTS'], rows)}`
}
