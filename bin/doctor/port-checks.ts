// Whether the ports of a node can be opened, and who has those that cannot.
import { createServer } from 'node:net'
import { ServiceError } from '../../common/errors.ts'
import { listen, portOwner } from '../../common/net/listen.ts'
import type { Listener } from '../../config/listeners.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** `isRunning`: the node itself is up, so that it is the one that has its ports. */
export async function checkPorts(
  listeners: readonly Listener[],
  isRunning: boolean,
): Promise<Finding[]> {
  const found: Finding[] = []
  for (const { section, host, port } of listeners) {
    if (port !== 0) found.push(await checkPort(section, host, port, isRunning))
  }
  return found
}

async function checkPort(
  section: string,
  host: string,
  port: number,
  isRunning: boolean,
): Promise<Finding> {
  const name = `port ${port}`
  const server = createServer()
  try {
    await listen(server, { host, port })
    await new Promise((resolve) => server.close(resolve))
    if (!isRunning) return ok(name, `free (${section})`)
    const fix = `The node runs but does not listen for ${section}: look into its log.`
    return warn(name, `free (${section}) though the node is running`, fix)
  } catch (err) {
    const code = err instanceof ServiceError ? err.code : ''
    const message = `${section}: ${(err as Error).message}`
    if (code === 'port-taken' && isRunning) return ok(name, `in use by this node (${section})`)
    if (code === 'port-taken') {
      const owner = await portOwner(port)
      const who = owner ? `${owner.name}, pid ${owner.pid}` : 'the other process'
      return fail(name, message, `Stop ${who}, or set ${section}.port to a free port.`)
    }
    if (code === 'port-forbidden') {
      const fix = `Set ${section}.port above 1023, or: sysctl net.ipv4.ip_unprivileged_port_start=80`
      return fail(name, message, fix)
    }
    return fail(name, message, `Set ${section}.host to an address of this machine.`)
  }
}
