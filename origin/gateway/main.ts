// The process of a gateway; everything else is in gateway-node.ts.
import { letMemoryGrow } from '../../common/memory-growth.ts'
import { configFileArgument, roleMain } from '../../config/role-main.ts'
import { startGateway } from './gateway-node.ts'

export function main(configFile: string | undefined): Promise<number> {
  letMemoryGrow()
  return roleMain('gateway', configFile, startGateway)
}

if (import.meta.main) process.exit(await main(configFileArgument()))
