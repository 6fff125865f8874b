// The options by which a command finds the coordinator: its URL and bearer, or the data directory of an
// `up` on this machine, whose ready file has both.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Command, Option } from 'commander'
import { messageOf, ServiceError } from '../common/errors.ts'
import { ApiClient } from './api-client.ts'
import { defaultDataDir } from './up/all-in-one.ts'
import { UsageError } from './usage-error.ts'

export interface CoordinatorOptions {
  url?: string
  token?: string
  tokenFile?: string
  data?: string
}

export function withCoordinator(command: Command): Command {
  return command
    .addOption(new Option('--url <url>', 'URL of the coordinator').env('NEARCAST_URL'))
    .addOption(new Option('--token <token>', 'its admin token').env('NEARCAST_TOKEN'))
    .addOption(new Option('--token-file <file>', 'file that holds the admin token'))
    .addOption(
      new Option('--data <dir>', `data directory of a running up (default: ${defaultDataDir})`),
    )
}

/** Throws with the way out where neither is known. */
export function coordinatorApi(options: CoordinatorOptions): ApiClient {
  const ready = options.data || !options.url ? readReadyFile(options) : undefined
  const url = options.url ?? ready?.url
  const token = options.tokenFile
    ? readToken(options.tokenFile)
    : (options.token ?? ready?.adminToken)
  if (!url || !token) {
    throw new UsageError(
      'which coordinator? Give --url and --token-file, or --data DIR of a running nearcast up',
    )
  }
  return new ApiClient({ url, token })
}

function readReadyFile(
  options: CoordinatorOptions,
): { url?: string; adminToken?: string } | undefined {
  const file = join(options.data ?? defaultDataDir, 'ready.json')
  try {
    return JSON.parse(readFileSync(file, 'utf8')).coordinator
  } catch (err) {
    if (!options.data) return undefined
    throw new ServiceError(`no running nearcast up in ${options.data}: ${messageOf(err)}`, {
      code: 'not-running',
      source: 'downstream',
    })
  }
}

function readToken(file: string): string {
  return readFileSync(file, 'utf8').trim()
}
