// `nearcast config init ROLE` and `nearcast config schema`: where a config file starts.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Argument, type Command } from 'commander'
import { roles } from '../../config/setting-tree.ts'

const schemaFile = fileURLToPath(
  new URL('../../config/schema/nearcast.schema.json', import.meta.url),
)

export function register(program: Command): void {
  const config = program.command('config').description('print config files and their schema')
  config
    .command('init')
    .description('print the commented example of a role')
    .addArgument(new Argument('<role>', 'role of the node').choices(roles))
    .action((role: string) => {
      // The copy may go anywhere, so the editor's way to the schema must not depend on its place.
      const example = read(`../../config/${role}.yaml`)
      process.stdout.write(
        example.replace('$schema=schema/nearcast.schema.json', `$schema=${schemaFile}`),
      )
    })
  config
    .command('schema')
    .description('print the JSON Schema of all config files, for editors')
    .action(() => void process.stdout.write(readFileSync(schemaFile, 'utf8')))
}

function read(name: string): string {
  return readFileSync(new URL(name, import.meta.url), 'utf8')
}
