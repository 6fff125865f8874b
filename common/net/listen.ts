// Binds a server to a port; where that fails the error names the port and, as far as it can be seen, who has it.

import { readdir, readFile, readlink } from 'node:fs/promises'
import type { AddressInfo, Server } from 'node:net'
import { messageOf, ServiceError } from '../errors.ts'

export interface ListenTarget {
  /** `::` also takes IPv4, and is `0.0.0.0` on a machine without IPv6. */
  host: string
  /** 0 takes a free one. */
  port: number
  /** Others that say so too may listen on the same port: the kernel spreads connections over them (SO_REUSEPORT). */
  reusePort?: boolean
}

/** Rejects with a `ServiceError`: `port-taken`, `port-forbidden`, `address-unavailable` or `listen-failed`. */
export async function listen(server: Server, target: ListenTarget): Promise<AddressInfo> {
  try {
    return await bind(server, target)
  } catch (err) {
    const code = (err as NodeJS.ErrnoException).code
    if (target.host === '::' && (code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL')) {
      return await listen(server, { ...target, host: '0.0.0.0' })
    }
    throw await explain(err, code, target)
  }
}

/** Where the kernel spreads connections over all who listen on one port; elsewhere `reusePort` is an error. */
export const canSharePorts = ['linux', 'freebsd', 'dragonfly', 'sunos', 'aix'].includes(
  process.platform,
)

function bind(
  server: Server,
  { host, port, reusePort = false }: ListenTarget,
): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    const onError = (err: Error) => {
      server.off('listening', onListening)
      reject(err)
    }
    const onListening = () => {
      server.off('error', onError)
      resolve(server.address() as AddressInfo)
    }
    server.once('error', onError)
    server.once('listening', onListening)
    server.listen({ host, port, reusePort })
  })
}

async function explain(cause: unknown, code: string | undefined, { host, port }: ListenTarget) {
  const failure = (errorCode: string, message: string) =>
    new ServiceError(message, { code: errorCode, source: 'internal', cause })
  if (code === 'EADDRINUSE') {
    const owner = await portOwner(port)
    const by = owner ? `by ${owner.name} (pid ${owner.pid})` : 'by another process'
    return failure('port-taken', `Port ${port} on ${host} is already in use ${by}.`)
  }
  if (code === 'EACCES') {
    return failure(
      'port-forbidden',
      `Port ${port} on ${host} may not be bound by this user. Ports below 1024 need root, the ` +
        'CAP_NET_BIND_SERVICE capability, or a lower net.ipv4.ip_unprivileged_port_start.',
    )
  }
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return failure('address-unavailable', `${host} is not an address of this machine.`)
  }
  return failure('listen-failed', `Cannot listen on ${host} port ${port}: ${messageOf(cause)}`)
}

export interface PortOwner {
  pid: number
  name: string
}

/** The process that listens on a TCP port, where /proc shows it to this user. */
export async function portOwner(port: number): Promise<PortOwner | undefined> {
  const inodes = new Set<string>()
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    const text = await readFile(table, 'latin1').catch(() => '')
    for (const inode of listeningInodes(text, port)) inodes.add(inode)
  }
  if (inodes.size === 0) return undefined
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))
  for (const pid of pids) {
    if (!(await holdsSocket(pid, inodes))) continue
    const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')
    return { pid: Number(pid), name: name.trim() || 'a process' }
  }
  return undefined
}

const stateListen = '0A'

/** Socket inodes of a /proc/net/tcp table that listen on a port. */
export function listeningInodes(table: string, port: number): string[] {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0')
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const fields = line.trim().split(/\s+/)
      const isMatch = fields[1]?.endsWith(`:${wanted}`) && fields[3] === stateListen
      return isMatch && fields[9] ? [fields[9]] : []
    })
}

async function holdsSocket(pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => [])
  for (const descriptor of descriptors) {
    const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '')
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1]
    if (inode !== undefined && inodes.has(inode)) return true
  }
  return false
}
