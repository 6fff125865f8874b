// IP addresses as bytes and as text, with IPv4-mapped IPv6 folded into IPv4 so that one host has one name.
import { isIP, isIPv4, SocketAddress } from 'node:net'

export interface Endpoint {
  address: string
  port: number
}

const mappedPrefix = Buffer.from('00000000000000000000ffff', 'hex')

/** 4 or 16 bytes, or undefined where the text is not an address. A zone id (`%eth0`) is dropped. */
export function addressBytes(text: string): Buffer | undefined {
  const address = text.replace(/%.*$/, '')
  const version = isIP(address)
  if (version === 0) return undefined
  if (version === 4) return Buffer.from(address.split('.').map(Number))
  const bytes = ipv6Bytes(address)
  return bytes.subarray(0, 12).equals(mappedPrefix) ? bytes.subarray(12) : bytes
}

/** The canonical text of 4 or 16 bytes. */
export function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.')
  if (bytes.subarray(0, 12).equals(mappedPrefix)) return bytes.subarray(12).join('.')
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16))
  return new SocketAddress({ family: 'ipv6', address: groups.join(':') }).address
}

/** The canonical form of an address; text that is none comes back as it is. */
export function plainAddress(text: string): string {
  const bytes = addressBytes(text)
  return bytes ? addressText(bytes) : text
}

/** Widens an IPv4 address to its mapped IPv6 form. */
export function toIpv6Bytes(bytes: Buffer): Buffer {
  return bytes.length === 4 ? Buffer.concat([mappedPrefix, bytes]) : bytes
}

/** `text` is a valid IPv6 address without a zone. */
function ipv6Bytes(text: string): Buffer {
  const [head = '', tail] = text.split('::')
  const left = groupsOf(head)
  const right = tail === undefined ? [] : groupsOf(tail)
  const gap = Array<number>(8 - left.length - right.length).fill(0)
  const groups = [...left, ...gap, ...right]
  return Buffer.from(groups.flatMap((group) => [group >> 8, group & 0xff]))
}

function groupsOf(text: string): number[] {
  if (text === '') return []
  return text.split(':').flatMap((part) => {
    if (!isIPv4(part)) return [Number.parseInt(part, 16)]
    const [a = 0, b = 0, c = 0, d = 0] = part.split('.').map(Number)
    return [a * 256 + b, c * 256 + d]
  })
}

/** The host of a URL as sockets and certificates take it: IPv6 without its brackets. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '')
}

/**
 * What limits count as one peer: an IPv4 address, or the /64 that an IPv6 host can choose its addresses from.
 * Text that is no address stands for itself.
 */
export function addressGroup(text: string): string {
  const bytes = addressBytes(text)
  if (!bytes) return text
  if (bytes.length === 4) return addressText(bytes)
  const network = Buffer.alloc(16)
  bytes.copy(network, 0, 0, 8)
  return `${addressText(network)}/64`
}
