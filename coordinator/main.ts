// The process of the coordinator; everything else is in coordinator-node.ts.
import { configFileArgument, roleMain } from '../config/role-main.ts'
import { startCoordinator } from './coordinator-node.ts'

export function main(configFile: string | undefined): Promise<number> {
  return roleMain('coordinator', configFile, startCoordinator)
}

if (import.meta.main) process.exit(await main(configFileArgument()))
