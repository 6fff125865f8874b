// TLS between nodes, with a certificate on both sides: what a node shows, and whose certificates it believes.
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { messageOf, ServiceError } from '../errors.ts'
import type { Metrics } from '../metrics.ts'

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

/** The files are read once: whoever watches this has to restart the node in time. */
export function gaugeExpiry(metrics: Metrics, { cert }: MutualTls): void {
  const expiresSeconds = new X509Certificate(cert).validToDate.getTime() / 1000
  metrics.gauge(
    {
      name: 'mutual_tls_certificate_expires_timestamp_seconds',
      help: 'When the certificate expires that this node shows to other nodes.',
    },
    (gauge) => gauge.set(expiresSeconds),
  )
}
