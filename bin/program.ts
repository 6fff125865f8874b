// The command line as a whole: its commands, and what becomes of an error. Exit codes: 0 ok, 1 failure,
// 2 usage, 78 bad configuration.
import { Command, CommanderError } from 'commander'
import { messageOf } from '../common/errors.ts'
import { version } from '../common/version.ts'
import { ConfigError, configExitCode } from '../config/config-error.ts'
import { register as registerCa } from './commands/ca.ts'
import { register as registerChannel } from './commands/channel.ts'
import { register as registerCheck } from './commands/check.ts'
import { register as registerConfig } from './commands/config.ts'
import { register as registerDoctor } from './commands/doctor.ts'
import { register as registerKey } from './commands/key.ts'
import { register as registerPublish } from './commands/publish.ts'
import { register as registerRoles } from './commands/roles.ts'
import { register as registerUp } from './commands/up.ts'
import { register as registerVersion } from './commands/version.ts'

export const failureExitCode = 1
export const usageExitCode = 2

export function buildProgram(): Command {
  const program = new Command('nearcast')
    .description('Live video: publish to the nearest POP, watch from the nearest POP.')
    .version(version, '-V, --version', 'print the version')
    .exitOverride()
    .showHelpAfterError('(add --help for the options)')
    .addHelpText('after', '\nExit codes: 0 ok, 1 failure, 2 usage, 78 bad configuration.')
  registerUp(program)
  registerRoles(program)
  registerCheck(program)
  registerDoctor(program)
  registerConfig(program)
  registerChannel(program)
  registerKey(program)
  registerCa(program)
  registerPublish(program)
  registerVersion(program)
  return program
}

/** Runs one command line and answers the exit code; everything that goes wrong is a line on standard error. */
export async function run(argv: readonly string[]): Promise<number> {
  try {
    await buildProgram().parseAsync(argv)
    return Number(process.exitCode ?? 0)
  } catch (err) {
    if (err instanceof CommanderError) return err.exitCode === 0 ? 0 : usageExitCode
    process.stderr.write(
      err instanceof ConfigError ? `${err.message}\n` : `nearcast: ${messageOf(err)}\n`,
    )
    return err instanceof ConfigError ? configExitCode : failureExitCode
  }
}
