// The process of a transcoder; everything else is in transcoder-node.ts.
import { configFileArgument, roleMain } from '../../config/role-main.ts'
import { startTranscoder } from './transcoder-node.ts'

export function main(configFile: string | undefined): Promise<number> {
  return roleMain('transcoder', configFile, startTranscoder)
}

if (import.meta.main) process.exit(await main(configFileArgument()))
