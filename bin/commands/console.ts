// `nearcast console`: the address of the console with a fresh one-time code in it.
import type { Command } from 'commander'
import { type CoordinatorOptions, coordinatorApi, withCoordinator } from '../coordinator-access.ts'
import { printJson, printLine } from '../output.ts'

export function register(program: Command): void {
  withCoordinator(program.command('console'))
    .description('print an address that opens the console once')
    .option('--json', 'as JSON')
    .action(async (options: CoordinatorOptions & { json?: boolean }) => {
      const api = coordinatorApi(options)
      const { code } = await api.post<{ code: string }>('/api/v1/login-codes')
      const url = `${api.url}/#code=${code}`
      return options.json ? printJson({ url }) : printLine(url)
    })
}
