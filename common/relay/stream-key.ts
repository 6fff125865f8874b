// What the coordinator and the logs see of a stream key: a digest and a short fingerprint, never the key.
import { createHash } from 'node:crypto'

/** Lower-case hex SHA-256. Keys are 192 random bits, so a plain digest cannot be searched. */
export function digestOfKey(streamKey: string): string {
  return createHash('sha256').update(streamKey).digest('hex')
}

/** Enough to tell keys apart in a log. */
export function fingerprintOf(keyDigest: string): string {
  return keyDigest.slice(0, 8)
}
