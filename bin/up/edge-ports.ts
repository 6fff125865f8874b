// Which ports the edges of an all-in-one cluster get: the real ones where they can be had.
import { createServer } from 'node:net'
import type { EdgePorts } from './cluster-plan.ts'

export interface PortChoice {
  ports: EdgePorts[]
  /** What to tell the user about a choice that was not the first one. */
  notes: string[]
}

export async function chooseEdgePorts(pops: number, autoPorts: boolean): Promise<PortChoice> {
  if (autoPorts) {
    return { ports: Array.from({ length: pops }, () => ({ https: 0, http: 0 })), notes: [] }
  }
  const ports = Array.from({ length: pops }, (_, i) => ({
    https: 8443 + 10 * i,
    http: 8080 + 10 * i,
  }))
  const problems = (await Promise.all([443, 80].map(problemOf))).filter(
    (text) => text !== undefined,
  )
  if (problems.length > 0) {
    const [first] = ports
    return {
      ports,
      notes: [`${problems.join(', ')}: POP 1 uses ${first?.https} and ${first?.http} instead`],
    }
  }
  ports[0] = { https: 443, http: 80 }
  return { ports, notes: [] }
}

/** Why a port cannot be bound, or undefined. */
function problemOf(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (err: NodeJS.ErrnoException) => {
      resolve(err.code === 'EACCES' ? `port ${port} may not be bound` : `port ${port} is taken`)
    })
    server.listen(port, () => server.close(() => resolve(undefined)))
  })
}
