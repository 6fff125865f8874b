// The process of an edge; everything else is in edge-node.ts.
import { letMemoryGrow } from '../common/memory-growth.ts'
import { configFileArgument, roleMain } from '../config/role-main.ts'
import { startEdge } from './edge-node.ts'

/** `takeOver`: from the edge that runs on the same data directory. */
export function main(configFile: string | undefined, takeOver = false): Promise<number> {
  letMemoryGrow()
  return roleMain('edge', configFile, (config, log, { reread }) =>
    startEdge(config, log, { reread, takeOver }),
  )
}

if (import.meta.main) {
  process.exit(await main(configFileArgument(), process.argv.includes('--take-over')))
}
