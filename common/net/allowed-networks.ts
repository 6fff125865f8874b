// Which peers a listener lets in, by network, and which addresses belong to the public internet.
import { BlockList, isIP } from 'node:net'
import { ServiceError } from '../errors.ts'
import { plainAddress } from './addresses.ts'

export interface NetworkList {
  /** IPv4-mapped IPv6 counts as IPv4; what is no address is in no network. */
  includes(address: string | undefined): boolean
}

/** Networks as `10.0.0.0/8`, `fd00::/8`, or single addresses. Throws with the entry that cannot be read. */
export function createNetworkList(networks: readonly string[]): NetworkList {
  const list = new BlockList()
  for (const network of networks) {
    const parsed = parseNetwork(network)
    if (!parsed) {
      throw new ServiceError(`"${network}" is not a network such as 10.0.0.0/8 or fd00::/8`, {
        code: 'network-invalid',
        source: 'internal',
      })
    }
    list.addSubnet(parsed.address, parsed.prefix, parsed.family)
  }
  return {
    includes(address) {
      if (address === undefined) return false
      const plain = plainAddress(address)
      const version = isIP(plain)
      return version !== 0 && list.check(plain, version === 4 ? 'ipv4' : 'ipv6')
    },
  }
}

/** True for text that `createNetworkList` takes. */
export function isNetwork(text: string): boolean {
  return parseNetwork(text) !== undefined
}

function parseNetwork(text: string) {
  const match = /^([0-9a-fA-F.:]+)(?:\/(\d{1,3}))?$/.exec(text)
  const address = match?.[1] ?? ''
  const version = isIP(address)
  if (version === 0) return undefined
  const bits = version === 4 ? 32 : 128
  const prefix = match?.[2] === undefined ? bits : Number(match[2])
  if (prefix > bits) return undefined
  return { address, prefix, family: version === 4 ? ('ipv4' as const) : ('ipv6' as const) }
}

// Not reachable from the internet at large: IANA's special-purpose registries for IPv4 and IPv6.
const notPublic = createNetworkList([
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
  '::/127',
  'fc00::/7',
  'fe80::/10',
  'ff00::/8',
  '2001:db8::/32',
])

const privateName = /^(?:[^.]+|.+\.(?:localhost|local|internal|home\.arpa|lan|intranet|test))$/i

/**
 * Whether plain traffic to a host would cross the internet. Of a name only what it says by itself is known:
 * a single label and the private-use endings are inside, every other name counts as public.
 */
export function isPublicAddress(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '')
  if (isIP(bare.replace(/%.*$/, ''))) return !notPublic.includes(bare)
  return !privateName.test(bare)
}
