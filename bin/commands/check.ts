// `nearcast check --config FILE…`: what a node would say of its config file, without starting it.
import type { Command } from 'commander'
import { ConfigError, configExitCode, loadConfig } from '../../config/load.ts'
import { printJson, printLine, printNote } from '../output.ts'

interface Checked {
  file: string
  ok: boolean
  role?: string
  node?: string
  warnings: string[]
  problems: unknown[]
}

export function register(program: Command): void {
  program
    .command('check')
    .description('validate config files, with the environment as it is now')
    .requiredOption('--config <file...>', 'config files')
    .option('--json', 'as JSON')
    .action(({ config: files, json }: { config: string[]; json?: boolean }) => {
      const results = files.map((file) => check(file, json === true))
      if (json) printJson(results)
      if (results.some((result) => !result.ok)) process.exitCode = configExitCode
    })
}

function check(file: string, quiet: boolean): Checked {
  const warnings: string[] = []
  try {
    const config = loadConfig(file, { warn: (warning) => warnings.push(warning) })
    if (!quiet) {
      for (const warning of warnings) printNote(`warning: ${warning}`)
      printLine(`${file}: ok, ${config.role} ${config.node.id}`)
    }
    return { file, ok: true, role: config.role, node: config.node.id, warnings, problems: [] }
  } catch (err) {
    if (!(err instanceof ConfigError)) throw err
    if (!quiet) printNote(err.message)
    const problems = err.problems.map(({ excerpt: _, ...problem }) => problem)
    return { file, ok: false, warnings, problems }
  }
}
