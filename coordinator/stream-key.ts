// Stream keys: how they are made, what is stored of them, and how a sealed copy is opened again.
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto'

const nonceBytes = 12
const tagBytes = 16

/** 192 random bits, with a prefix by which logs recognise and hide them. */
export function makeStreamKey(): string {
  return `nc_${randomBytes(24).toString('base64url')}`
}

/** Lower-case hex SHA-256. The secrets digested here are random, so no slow hash is needed. */
export function digestOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

/** Encrypts stream keys under the cluster secret (AES-256-GCM), bound to the row that holds them. */
export class KeySealer {
  readonly #key: Buffer

  constructor(clusterSecret: string) {
    this.#key = Buffer.from(hkdfSync('sha256', clusterSecret, '', 'nearcast sealed stream key', 32))
  }

  seal(streamKey: string, keyId: string): Uint8Array {
    const nonce = randomBytes(nonceBytes)
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(Buffer.from(keyId))
    const sealed = Buffer.concat([cipher.update(streamKey, 'utf8'), cipher.final()])
    return Buffer.concat([nonce, sealed, cipher.getAuthTag()])
  }

  /** `undefined` when the copy was sealed under another secret or for another row. */
  open(sealed: Uint8Array, keyId: string): string | undefined {
    const bytes = Buffer.from(sealed)
    if (bytes.length < nonceBytes + tagBytes) return undefined
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, nonceBytes))
        .setAAD(Buffer.from(keyId))
        .setAuthTag(bytes.subarray(-tagBytes))
      const open = decipher.update(bytes.subarray(nonceBytes, -tagBytes), undefined, 'utf8')
      return open + decipher.final('utf8')
    } catch {
      return undefined
    }
  }
}
