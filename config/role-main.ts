// What every role's main.ts does: read the config, make the log, run until told to stop. Answers the exit code.
import { createLogger, type Logger } from '../common/log.ts'
import { type RunningRole, runRole } from '../common/role-process.ts'
import { ConfigError, configExitCode, loadConfig, type ResolvedConfigs } from './load.ts'
import { createReread, type Reread } from './reload.ts'

const usageExitCode = 2

export async function roleMain<R extends keyof ResolvedConfigs>(
  role: R,
  configFile: string | undefined,
  start: (
    config: ResolvedConfigs[R],
    log: Logger,
    overrides: { reread: Reread<ResolvedConfigs[R]> },
  ) => Promise<RunningRole>,
): Promise<number> {
  if (configFile === undefined) {
    process.stderr.write(`usage: ${role} --config FILE\n`)
    return usageExitCode
  }
  let config: ResolvedConfigs[R]
  try {
    config = loadConfig(configFile, { role })
  } catch (err) {
    if (!(err instanceof ConfigError)) throw err
    process.stderr.write(`${err.message}\n`)
    process.send?.({ type: 'failed', message: err.message })
    return configExitCode
  }
  const log = createLogger({ name: config.node.id, ...config.log })
  const reread = createReread(role, configFile, config, log)
  return await runRole(log, () => start(config, log, { reread }))
}

/** The value of `--config` on the command line of this process. */
export function configFileArgument(argv: readonly string[] = process.argv): string | undefined {
  const at = argv.indexOf('--config')
  if (at >= 0) return argv[at + 1]
  return argv.find((argument) => argument.startsWith('--config='))?.slice('--config='.length)
}
