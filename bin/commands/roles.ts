// `nearcast edge|gateway|transcoder|coordinator --config FILE`: one role in this process.
import type { Command } from 'commander'

type Main = (configFile: string | undefined, takeOver?: boolean) => Promise<number>

// Loaded when asked for: a command of an operator does not wait for the code of a whole role.
const roles: Record<string, { description: string; load: () => Promise<{ main: Main }> }> = {
  edge: {
    description: 'run a POP: takes publishers in, serves viewers',
    load: () => import('../../edge/main.ts'),
  },
  gateway: {
    description: 'run a gateway: places streams, relays them, shields the transcoders',
    load: () => import('../../origin/gateway/main.ts'),
  },
  transcoder: {
    description: 'run a transcoder: checks, encodes, packages, records',
    load: () => import('../../origin/transcoder/main.ts'),
  },
  coordinator: {
    description: 'run the coordinator: channels, keys, membership, placement, console',
    load: () => import('../../coordinator/main.ts'),
  },
}

export function register(program: Command): void {
  for (const [role, { description, load }] of Object.entries(roles)) {
    const command = program
      .command(role)
      .description(description)
      .requiredOption('--config <file>', `config file, as nearcast config init ${role} prints one`)
    if (role === 'edge') {
      command.option(
        '--take-over',
        'where an edge runs on the same dataDir: take its ports over, so that no request is lost; it then ends by itself',
      )
    }
    command.action(async ({ config, takeOver }: { config: string; takeOver?: boolean }) => {
      const { main } = await load()
      process.exit(await main(config, takeOver))
    })
  }
}
