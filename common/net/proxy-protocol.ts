// PROXY protocol: who the client behind a relaying peer is. Writes version 2, reads versions 1 and 2.
// https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt (sections named below)
//
// The header stands in front of everything else on a connection. A reader calls the parser with all bytes so
// far until it answers something else than `more`; nothing is allocated for lengths that a peer only claims.
import { addressBytes, addressText, type Endpoint, plainAddress, toIpv6Bytes } from './addresses.ts'

export interface ProxyTlv {
  type: number
  value: Buffer
}

export interface ProxyHeader {
  version: 1 | 2
  /** Both are undefined where the peer speaks for itself (LOCAL, UNKNOWN) or names no IP address. */
  source: Endpoint | undefined
  destination: Endpoint | undefined
  tlvs: readonly ProxyTlv[]
}

export type ProxyParse =
  | { kind: 'more' }
  | { kind: 'absent' }
  | { kind: 'invalid'; reason: string }
  | { kind: 'header'; header: ProxyHeader; length: number }

/** No header is longer, however it is filled: room for addresses, a server name and a signed token. */
export const maxProxyHeaderBytes = 4096

const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')
const v1Prefix = Buffer.from('PROXY ')
const fixedBytes = 16
// §2.1: the longest line of version 1, with its line end.
const v1MaxBytes = 107
const commandLocal = 0x20
const commandProxy = 0x21
const tcp4 = 0x11
const tcp6 = 0x21
const addressLengths = { [tcp4]: 12, [tcp6]: 36 } as const

export interface ProxyHeaderParts {
  /** Absent: the LOCAL command, the connection is the sender's own. */
  source?: Endpoint
  /** A name instead of an address is written as the unspecified address. */
  destination?: Endpoint
  tlvs?: readonly ProxyTlv[]
}

/** Throws only where the TLVs exceed what any reader of ours takes; their values come from our own side. */
export function encodeProxyHeader(parts: ProxyHeaderParts): Buffer {
  const body = Buffer.concat([addressBlock(parts), ...(parts.tlvs ?? []).map(encodeTlv)])
  if (fixedBytes + body.length > maxProxyHeaderBytes) throw new RangeError('PROXY header too long')
  const fixed = Buffer.alloc(fixedBytes)
  signature.copy(fixed)
  const source = parts.source && addressBytes(parts.source.address)
  const addressLength = body.length - tlvLength(parts.tlvs ?? [])
  fixed[12] = source ? commandProxy : commandLocal
  fixed[13] = source ? (addressLength === addressLengths[tcp4] ? tcp4 : tcp6) : 0
  fixed.writeUInt16BE(body.length, 14)
  return Buffer.concat([fixed, body])
}

/** Reads the header at the start of `bytes`, which are all that has arrived so far. */
export function parseProxyHeader(bytes: Buffer): ProxyParse {
  if (startsLike(bytes, signature)) {
    return bytes.length < fixedBytes ? { kind: 'more' } : parseV2(bytes)
  }
  if (startsLike(bytes, v1Prefix)) {
    return bytes.length <= v1Prefix.length ? { kind: 'more' } : parseV1(bytes)
  }
  return { kind: 'absent' }
}

/** The value of the first TLV of a type, as text. */
export function tlvText(header: ProxyHeader, type: number): string | undefined {
  return header.tlvs.find((tlv) => tlv.type === type)?.value.toString('utf8')
}

function addressBlock({ source, destination }: ProxyHeaderParts): Buffer {
  const from = source && addressBytes(source.address)
  if (!source || !from) return Buffer.alloc(0)
  const to = (destination && addressBytes(destination.address)) ?? Buffer.alloc(from.length)
  const ports = Buffer.alloc(4)
  ports.writeUInt16BE(source.port, 0)
  ports.writeUInt16BE(destination?.port ?? 0, 2)
  return from.length === 4 && to.length === 4
    ? Buffer.concat([from, to, ports])
    : Buffer.concat([toIpv6Bytes(from), toIpv6Bytes(to), ports])
}

function encodeTlv({ type, value }: ProxyTlv): Buffer {
  const head = Buffer.alloc(3)
  head[0] = type
  head.writeUInt16BE(value.length, 1)
  return Buffer.concat([head, value])
}

function tlvLength(tlvs: readonly ProxyTlv[]): number {
  return tlvs.reduce((sum, tlv) => sum + 3 + tlv.value.length, 0)
}

function startsLike(bytes: Buffer, prefix: Buffer): boolean {
  const length = Math.min(bytes.length, prefix.length)
  return bytes.subarray(0, length).equals(prefix.subarray(0, length))
}

function invalid(reason: string): ProxyParse {
  return { kind: 'invalid', reason }
}

function parseV2(bytes: Buffer): ProxyParse {
  const command = bytes[12]!
  if (command >> 4 !== 2) return invalid(`version ${command >> 4}`)
  // §2.2: unassigned commands must be refused.
  if (command !== commandLocal && command !== commandProxy) return invalid('unknown command')
  const family = bytes[13]!
  const isTcp = family === tcp4 || family === tcp6
  // §2.2: a LOCAL header's family is to be ignored, and UNSPEC stands for an address nobody knows.
  if (command === commandProxy && !isTcp && family !== 0) {
    return invalid('not TCP over IPv4 or IPv6')
  }
  const length = fixedBytes + bytes.readUInt16BE(14)
  if (length > maxProxyHeaderBytes) return invalid('longer than 4096 bytes')
  if (bytes.length < length) return { kind: 'more' }
  const body = bytes.subarray(fixedBytes, length)
  const header = (parts: Partial<ProxyHeader>): ProxyParse => ({
    kind: 'header',
    length,
    header: { version: 2, source: undefined, destination: undefined, tlvs: [], ...parts },
  })

  if (!isTcp) {
    const tlvs = family === 0 ? readTlvs(body) : []
    return tlvs ? header({ tlvs }) : invalid('broken TLV')
  }
  const addresses = addressLengths[family]
  if (body.length < addresses) return invalid('shorter than its addresses')
  const tlvs = readTlvs(body.subarray(addresses))
  if (!tlvs) return invalid('broken TLV')
  if (command === commandLocal) return header({ tlvs })
  const width = (addresses - 4) / 2
  const endpoint = (index: 0 | 1): Endpoint => ({
    address: addressText(body.subarray(index * width, (index + 1) * width)),
    port: body.readUInt16BE(addresses - 4 + index * 2),
  })
  return header({ source: endpoint(0), destination: endpoint(1), tlvs })
}

function readTlvs(bytes: Buffer): ProxyTlv[] | undefined {
  const tlvs: ProxyTlv[] = []
  let at = 0
  while (at < bytes.length) {
    if (at + 3 > bytes.length) return undefined
    const end = at + 3 + bytes.readUInt16BE(at + 1)
    if (end > bytes.length) return undefined
    // A copy, so that a short value does not keep a socket's whole read buffer alive.
    tlvs.push({ type: bytes[at]!, value: Buffer.from(bytes.subarray(at + 3, end)) })
    at = end
  }
  return tlvs
}

// §2.1: PROXY SP (TCP4|TCP6) SP source SP destination SP port SP port CRLF, or PROXY UNKNOWN … CRLF.
const v1Line =
  /^PROXY (?:UNKNOWN(?: [^\r\n]*)?|(TCP[46]) ([0-9a-fA-F:.]+) ([0-9a-fA-F:.]+) (\d{1,5}) (\d{1,5}))$/

function parseV1(bytes: Buffer): ProxyParse {
  const end = bytes.subarray(0, v1MaxBytes).indexOf('\r\n')
  if (end === -1) return bytes.length < v1MaxBytes ? { kind: 'more' } : invalid('line too long')
  const match = v1Line.exec(bytes.toString('latin1', 0, end))
  if (!match) return invalid('broken line')
  const header: ProxyHeader = { version: 1, source: undefined, destination: undefined, tlvs: [] }
  if (match[1]) {
    const source = v1Endpoint(match[2]!, match[4]!)
    const destination = v1Endpoint(match[3]!, match[5]!)
    if (!source || !destination) return invalid('broken address')
    Object.assign(header, { source, destination })
  }
  return { kind: 'header', header, length: end + 2 }
}

function v1Endpoint(address: string, port: string): Endpoint | undefined {
  if (!addressBytes(address) || Number(port) > 65_535) return undefined
  return { address: plainAddress(address), port: Number(port) }
}
