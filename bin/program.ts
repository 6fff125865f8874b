// The command line as a whole: its commands, and what becomes of an error. Exit codes: 0 ok, 1 failure,
// 2 usage, 78 bad configuration.
import { Command, CommanderError } from 'commander'
import { messageOf } from '../common/errors.ts'
import { version } from '../common/version.ts'
import { ConfigError, configExitCode } from '../config/config-error.ts'
import { UsageError } from './usage-error.ts'

const failureExitCode = 1
const usageExitCode = 2

type CommandModule = { register(program: Command): void }

const roles = () => import('./commands/roles.ts')
const drain = () => import('./commands/drain.ts')

// In the order of the help. Only the command that is asked for is loaded: none waits for the code of the others.
const commands: Record<string, () => Promise<CommandModule>> = {
  up: () => import('./commands/up.ts'),
  edge: roles,
  gateway: roles,
  transcoder: roles,
  coordinator: roles,
  check: () => import('./commands/check.ts'),
  doctor: () => import('./commands/doctor.ts'),
  config: () => import('./commands/config.ts'),
  channel: () => import('./commands/channel.ts'),
  key: () => import('./commands/key.ts'),
  ring: () => import('./commands/ring.ts'),
  drain,
  undrain: drain,
  cache: () => import('./commands/cache.ts'),
  top: () => import('./commands/top.ts'),
  purge: () => import('./commands/purge.ts'),
  console: () => import('./commands/console.ts'),
  publish: () => import('./commands/publish.ts'),
  ca: () => import('./commands/ca.ts'),
  version: () => import('./commands/version.ts'),
}

async function buildProgram(name: string | undefined): Promise<Command> {
  const program = new Command('nearcast')
    .description('Live video: publish to the nearest POP, watch from the nearest POP.')
    .version(version, '-V, --version', 'print the version')
    .exitOverride()
    .showHelpAfterError('(add --help for the options)')
    .addHelpText('after', '\nExit codes: 0 ok, 1 failure, 2 usage, 78 bad configuration.')
  const isKnown = name !== undefined && Object.hasOwn(commands, name)
  const loaders = isKnown ? [commands[name]!] : new Set(Object.values(commands))
  for (const load of loaders) (await load()).register(program)
  return program
}

/** Runs one command line and answers the exit code; everything that goes wrong is a line on standard error. */
export async function run(argv: readonly string[]): Promise<number> {
  try {
    const program = await buildProgram(argv[2])
    await program.parseAsync(argv)
    return Number(process.exitCode ?? 0)
  } catch (err) {
    if (err instanceof CommanderError) return err.exitCode === 0 ? 0 : usageExitCode
    if (err instanceof UsageError) {
      process.stderr.write(`nearcast: ${err.message}\n`)
      return usageExitCode
    }
    const isConfig = err instanceof ConfigError
    process.stderr.write(isConfig ? `${err.message}\n` : `nearcast: ${messageOf(err)}\n`)
    return isConfig ? configExitCode : failureExitCode
  }
}
