// The host that other nodes are told for a listener: its own address, or this machine's where it listens on all.
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { isPublicAddress } from './allowed-networks.ts'

/**
 * For a listener on `::` or `0.0.0.0` the first private IPv4 address of the machine, else its first address,
 * else loopback. A node behind address translation has to set its public URL instead. IPv6 is bracketed.
 */
export function reachableHost(listenHost: string): string {
  if (listenHost !== '::' && listenHost !== '0.0.0.0') {
    return isIP(listenHost) === 6 ? `[${listenHost}]` : listenHost
  }
  const addresses = Object.values(networkInterfaces())
    .flatMap((entries) => entries ?? [])
    .filter((entry) => !entry.internal && entry.family === 'IPv4')
    .map((entry) => entry.address)
  return addresses.find((address) => !isPublicAddress(address)) ?? addresses[0] ?? '127.0.0.1'
}
