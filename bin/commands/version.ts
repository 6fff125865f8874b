// `nearcast version`
import type { Command } from 'commander'
import { version } from '../../common/version.ts'
import { printJson, printLine } from '../output.ts'

export function register(program: Command): void {
  program
    .command('version')
    .description('print the versions of nearcast and of Node')
    .option('--json', 'as JSON')
    .action(({ json }: { json?: boolean }) => {
      const facts = {
        nearcast: version,
        node: process.versions.node,
        platform: process.platform,
        arch: process.arch,
      }
      if (json) printJson(facts)
      else printLine(`nearcast ${version}, Node ${facts.node}, ${facts.platform} ${facts.arch}`)
    })
}
