// The process of an edge; everything else is in edge-node.ts.
import { letHeapGrow } from '../common/heap-growth.ts'
import { configFileArgument, roleMain } from '../config/role-main.ts'
import { startEdge } from './edge-node.ts'

export function main(configFile: string | undefined): Promise<number> {
  letHeapGrow()
  return roleMain('edge', configFile, startEdge)
}

if (import.meta.main) process.exit(await main(configFileArgument()))
