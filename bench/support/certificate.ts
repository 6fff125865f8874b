// One key and certificate for all servers of a run, and what TLS a server really speaks, as openssl tells.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { tlsName } from './bench-server.ts'
import { requiredPath } from './tools.ts'

export interface Certificate {
  certificateFile: string
  keyFile: string
  /** PEM. */
  certificate: string
}

/** Of the kind of key that our own authority issues; its files go with the stack. */
export async function makeCertificate(stack: AsyncDisposableStack): Promise<Certificate> {
  const folder = mkdtempSync(join(tmpdir(), 'nearcast-bench-'))
  stack.defer(() => rmSync(folder, { recursive: true }))
  const certificateFile = join(folder, 'cert.pem')
  const keyFile = join(folder, 'key.pem')
  await promisify(execFile)(requiredPath('openssl'), [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-days', '2', '-subj', `/CN=${tlsName}`, '-addext', `subjectAltName=DNS:${tlsName}`],
    ...['-keyout', keyFile, '-out', certificateFile],
  ])
  return { certificateFile, keyFile, certificate: readFileSync(certificateFile, 'utf8') }
}

export interface Negotiated {
  version: string
  cipher: string
  keyBits: string
  signature: string
  application: string
}

/** What openssl's client gets from a port of the loopback address. */
export async function negotiatedAt(port: number, alpn: 'h2' | 'http/1.1'): Promise<Negotiated> {
  const client = promisify(execFile)(requiredPath('openssl'), [
    ...['s_client', '-connect', `127.0.0.1:${port}`, '-servername', tlsName, '-alpn', alpn],
  ])
  client.child.stdin?.end()
  return readNegotiated((await client).stdout)
}

/** Throws where the text tells of no session. */
export function readNegotiated(text: string): Negotiated {
  const session = /^New, (\S+), Cipher is (\S+)$/m.exec(text)
  if (!session || session[2] === '(NONE)') throw new Error(`no TLS session:\n${text}`)
  const [, version, cipher] = session
  return {
    version: version!,
    cipher: cipher!,
    keyBits: /^Server public key is (\d+) bit/m.exec(text)?.[1] ?? '',
    signature: /^Peer signature type: (.+)$/m.exec(text)?.[1] ?? '',
    application: /^ALPN protocol: (.+)$/m.exec(text)?.[1] ?? 'none',
  }
}
