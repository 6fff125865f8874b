// The process of an edge; everything else is in edge-node.ts.
import { letMemoryGrow } from '../common/memory-growth.ts'
import { configFileArgument, roleMain } from '../config/role-main.ts'
import { startEdge } from './edge-node.ts'

export function main(configFile: string | undefined): Promise<number> {
  // Holds for the worker threads too.
  letMemoryGrow()
  return roleMain('edge', configFile, startEdge)
}

if (import.meta.main) process.exit(await main(configFileArgument()))
