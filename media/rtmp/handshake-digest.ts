// The digest that Flash hides inside the handshake, so that old encoders and servers believe each other
// (HMAC-SHA256 with fixed keys: a sign of kinship, not of security).
import { createHmac } from 'node:crypto'

export const handshakeBytes = 1536
const digestBytes = 32

const common = Buffer.from(
  'f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae',
  'hex',
)
const clientName = Buffer.from('Genuine Adobe Flash Player 001')
const serverName = Buffer.from('Genuine Adobe Flash Media Server 001')

export interface HandshakeKeys {
  /** Signs C1 or S1. */
  first: Buffer
  /** Signs C2 or S2. */
  second: Buffer
}

export const clientKeys: HandshakeKeys = {
  first: clientName,
  second: Buffer.concat([clientName, common]),
}
export const serverKeys: HandshakeKeys = {
  first: serverName,
  second: Buffer.concat([serverName, common]),
}

/** Where the four bytes stand whose sum places the digest: in the first or in the second half. */
export const digestSchemas = [8, 772] as const
export type DigestSchema = (typeof digestSchemas)[number]

function digestOffset(packet: Buffer, schema: DigestSchema): number {
  const sum = packet[schema]! + packet[schema + 1]! + packet[schema + 2]! + packet[schema + 3]!
  // Half of 764 bytes, without the four and without the digest itself.
  return (sum % 728) + schema + 4
}

function digestOf(packet: Buffer, at: number, key: Buffer): Buffer {
  return createHmac('sha256', key)
    .update(packet.subarray(0, at))
    .update(packet.subarray(at + digestBytes))
    .digest()
}

/** Finds the digest in C1 or S1, with the schema that it was made by. */
export function findDigest(
  packet: Buffer,
  keys: HandshakeKeys,
): { schema: DigestSchema; digest: Buffer } | undefined {
  for (const schema of digestSchemas) {
    const at = digestOffset(packet, schema)
    const digest = packet.subarray(at, at + digestBytes)
    if (digestOf(packet, at, keys.first).equals(digest)) return { schema, digest }
  }
  return undefined
}

/** Writes the digest into C1 or S1 and gives a copy of it. */
export function signFirst(packet: Buffer, schema: DigestSchema, keys: HandshakeKeys): Buffer {
  const at = digestOffset(packet, schema)
  const digest = digestOf(packet, at, keys.first)
  digest.copy(packet, at)
  return digest
}

function secondDigest(packet: Buffer, peerDigest: Buffer, keys: HandshakeKeys): Buffer {
  const key = createHmac('sha256', keys.second).update(peerDigest).digest()
  return createHmac('sha256', key)
    .update(packet.subarray(0, handshakeBytes - digestBytes))
    .digest()
}

/** Signs C2 or S2 at its end, as an answer to the peer's digest. */
export function signSecond(packet: Buffer, peerDigest: Buffer, keys: HandshakeKeys): void {
  secondDigest(packet, peerDigest, keys).copy(packet, handshakeBytes - digestBytes)
}

export function isSecondSigned(packet: Buffer, ownDigest: Buffer, keys: HandshakeKeys): boolean {
  const digest = packet.subarray(handshakeBytes - digestBytes)
  return secondDigest(packet, ownDigest, keys).equals(digest)
}
