// Whether the ports of a node can be opened, and who has those that cannot.
import { createServer } from 'node:net'
import { ServiceError } from '../../common/errors.ts'
import { listen, portOwner } from '../../common/net/listen.ts'
import type { Listener } from '../../config/listeners.ts'
import { ClusterPlan, type PlannedNode } from '../up/cluster-plan.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/**
 * `isRunning`: the node itself is up, so that it is the one that has its ports. `otherPort` says how to get
 * another one; default: by the setting of the listener.
 */
export async function checkPorts(
  listeners: readonly Listener[],
  isRunning: boolean,
  otherPort = (section: string) => `set ${section}.port to a free port`,
): Promise<Finding[]> {
  const found: Finding[] = []
  for (const { section, host, port } of listeners) {
    if (port !== 0) found.push(await checkPort(section, host, port, isRunning, otherPort(section)))
  }
  return found
}

/** The ports of `nearcast up` with one node of each role; a POP there has others to fall back on. */
export async function checkUpPorts(): Promise<Finding[]> {
  const plan = new ClusterPlan({
    dataDir: '',
    pops: 1,
    gateways: 1,
    transcoders: 1,
    transcoding: {},
    autoPorts: false,
    logLevel: 'info',
  })
  const [edge] = plan.edges('', [{ https: 443, http: 80 }])
  const nodes = [plan.coordinator(), ...plan.transcoders(''), ...plan.gateways(''), edge!]
  const otherPort = () => 'run nearcast up --ports auto'
  const found = await checkPorts(nodes.flatMap(plannedListeners), false, otherPort)
  const isLow = ({ name, verdict }: Finding) => verdict === 'FAIL' && /^port (443|80)$/.test(name)
  if (!found.some(isLow)) return found
  const fallback = [8443, 8080].map((port) => ({ section: 'pop-1', host: '::', port }))
  const instead = 'Nothing: nearcast up takes 8443 and 8080 instead.'
  return [
    ...found.map((one) => (isLow(one) ? warn(one.name, one.detail, instead) : one)),
    ...(await checkPorts(fallback, false, otherPort)),
  ]
}

function plannedListeners({ id, config }: PlannedNode): Listener[] {
  return ['tls', 'http', 'listen', 'admin'].flatMap((section) => {
    const value = config[section] as { host?: string; port?: number } | undefined
    if (!value?.port) return []
    return [{ section: `${id} ${section}`, host: value.host ?? '::', port: value.port }]
  })
}

async function checkPort(
  section: string,
  host: string,
  port: number,
  isRunning: boolean,
  otherPort: string,
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
      return fail(name, message, `Stop ${who}, or ${otherPort}.`)
    }
    if (code === 'port-forbidden') {
      const fix = `sysctl net.ipv4.ip_unprivileged_port_start=80, or ${otherPort}.`
      return fail(name, message, fix)
    }
    return fail(name, message, `Set ${section}.host to an address of this machine.`)
  }
}
