// `nearcast config init ROLE` and `nearcast config schema`: where a config file starts.
import { readFileSync } from 'node:fs'
import { Argument, type Command } from 'commander'
import { roles } from '../../config/setting-tree.ts'

export function register(program: Command): void {
  const config = program.command('config').description('print config files and their schema')
  config
    .command('init')
    .description('print the commented example of a role')
    .addArgument(new Argument('<role>', 'role of the node').choices(roles))
    .action((role: string) => printFile(`../../config/${role}.yaml`))
  config
    .command('schema')
    .description('print the JSON Schema of all config files, for editors')
    .action(() => printFile('../../config/schema/nearcast.schema.json'))
}

function printFile(name: string): void {
  process.stdout.write(readFileSync(new URL(name, import.meta.url), 'utf8'))
}
