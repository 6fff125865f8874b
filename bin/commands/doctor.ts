// `nearcast doctor`: looks at everything that keeps a node from working, and says how to put it right.
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { systemClock } from '../../common/clock.ts'
import { listenersOf } from '../../config/listeners.ts'
import { ConfigError, loadConfig, type ResolvedConfig } from '../../config/load.ts'
import { checkCertificates } from '../doctor/certificate-checks.ts'
import { checkCluster, isNodeRunning, runningUp } from '../doctor/cluster-checks.ts'
import { type Finding, fail, findings, ok, warn } from '../doctor/finding.ts'
import {
  checkDisk,
  checkFfmpeg,
  checkGuards,
  checkMigration,
  checkNode,
  checkOpenFiles,
} from '../doctor/machine-checks.ts'
import { checkMutualTls } from '../doctor/mutual-tls-checks.ts'
import { checkPorts, checkUpPorts } from '../doctor/port-checks.ts'
import { printJson, printLine, verdictText } from '../output.ts'
import { defaultDataDir } from '../up/all-in-one.ts'

interface Options {
  config?: string
  json?: boolean
}

const recordingBytes = 20 * 1024 ** 3

export function register(program: Command): void {
  program
    .command('doctor')
    .description('check this machine, and a node where its config is given')
    .option('--config <file>', 'config file of a node; without it: what nearcast up needs')
    .option('--json', 'as JSON')
    .action(async ({ config, json }: Options) => {
      const found = await examine(config)
      const isHealthy = found.every(({ verdict }) => verdict !== 'FAIL')
      if (json) printJson({ ok: isHealthy, findings: found })
      else printLine(found.map(findingText).join('\n'))
      if (!isHealthy) process.exitCode = 1
    })
}

async function examine(configFile: string | undefined): Promise<Finding[]> {
  const machine = [
    ...(await findings('node', () => checkNode())),
    ...(await findings('open files', () => checkOpenFiles())),
  ]
  if (configFile === undefined) return [...machine, ...(await examineMachine())]
  const warnings: Finding[] = []
  let config: ResolvedConfig
  try {
    config = loadConfig(configFile, {
      warn: (text) =>
        warnings.push(warn('config', text, 'Put it right in the file or environment.')),
    })
  } catch (err) {
    if (!(err instanceof ConfigError)) throw err
    return [...machine, fail('config', err.message, 'nearcast check shows the same.'), ...warnings]
  }
  const summary = ok('config', `${configFile}: ${config.role} ${config.node.id}`)
  return [...machine, summary, ...warnings, ...(await examineNode(config))]
}

/** What `nearcast up` needs: it finds other ports by itself. */
async function examineMachine(): Promise<Finding[]> {
  return [
    ...(await findings('ffmpeg', () => checkFfmpeg())),
    ...(await findings('guards', () => checkGuards())),
    ...(await findings('ports', async () => {
      const url = await runningUp(join(defaultDataDir, 'ready.json'))
      return url
        ? [ok('ports', `nearcast up is running, its coordinator is ${url}`)]
        : checkUpPorts()
    })),
    ...(await findings('disk', () => checkDisk(resolve(defaultDataDir)))),
  ]
}

async function examineNode(config: ResolvedConfig): Promise<Finding[]> {
  const found: Finding[] = []
  if (config.role === 'transcoder') {
    const { ffmpeg, ffprobe } = config
    found.push(...(await findings('ffmpeg', () => checkFfmpeg(ffmpeg, ffprobe))))
    found.push(...(await findings('guards', () => checkGuards())))
  }
  const isRunning = await isNodeRunning(config)
  if (isRunning) found.push(ok('node', `${config.node.id} is running`))
  found.push(...(await findings('ports', () => checkPorts(listenersOf(config), isRunning))))
  const wanted = config.role === 'transcoder' ? recordingBytes : undefined
  found.push(...(await findings('disk', () => checkDisk(config.dataDir, wanted))))
  if (config.role === 'edge') {
    const now = systemClock.now()
    found.push(...(await findings('hand-over', () => checkMigration())))
    found.push(...(await findings('certificate', () => checkCertificates(config, now))))
  }
  found.push(...(await findings('mutual TLS', () => checkMutualTls(config, systemClock.now()))))
  found.push(...(await findings('coordinator', () => checkCluster(config, systemClock.now))))
  return found
}

function findingText({ verdict, name, detail, fix }: Finding): string {
  const line = `${verdictText(verdict)}  ${name.padEnd(14)}  ${detail}`
  return fix ? `${line}\n      ${''.padEnd(14)}  fix: ${fix}` : line
}
