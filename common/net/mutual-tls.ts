// TLS between nodes, with a certificate on both sides: what a node shows, and whose certificates it believes.
import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { messageOf, ServiceError } from '../errors.ts'

export interface MutualTlsFiles {
  certFile: string
  keyFile: string
  caFile: string
}

/** PEM texts. Only `ca` is believed, none of the system's authorities. */
export interface MutualTls {
  cert: string
  key: string
  ca: string
}

/** Rejects with a `ServiceError` that names the files when they cannot be used. */
export async function readMutualTls(files: MutualTlsFiles): Promise<MutualTls> {
  const { certFile, keyFile, caFile } = files
  try {
    const [cert, key, ca] = await Promise.all(
      [certFile, keyFile, caFile].map((file) => readFile(file, 'utf8')),
    )
    const tls = { cert: cert!, key: key!, ca: ca! }
    createSecureContext(tls)
    return tls
  } catch (err) {
    throw new ServiceError(`${certFile}, ${keyFile} and ${caFile}: ${messageOf(err)}`, {
      code: 'certificate-bad',
      source: 'internal',
      cause: err,
    })
  }
}
