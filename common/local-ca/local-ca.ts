// A certificate authority of this installation's own, for machines that have no certificate yet: made once,
// kept below a directory, trusted by whoever installs its ca.pem.
//
// Files: ca-key.pem (mode 0600) comes first, ca.pem is signed with it, leaf-<digest of the names>.pem holds a
// server certificate and its key. Each is linked into place whole, and the first one wins; so several edges of
// a machine may open one directory at the same moment, and a crash between two files heals at the next start.
import './metadata-polyfill.ts'

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  X509Certificate,
} from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { isIP } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import {
  X509Certificate as AsnCertificate,
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'
import type { Clock } from '../clock.ts'
import { messageOf, ServiceError } from '../errors.ts'
import { createPem, readPem, replacePem } from './pem-files.ts'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const dayMs = 24 * 60 * 60 * 1000
const caLifetimeMs = 3650 * dayMs
// Browsers and Apple's systems refuse server certificates that are valid for more than 398 days.
const leafLifetimeMs = 397 * dayMs
const renewBeforeMs = 132 * dayMs
// For clients whose clock is behind ours.
const backdateMs = 60 * 60 * 1000

export interface LocalCaOptions {
  dir: string
  clock: Clock
}

export interface IssuedCertificate {
  certificatePem: string
  keyPem: string
  /** Wall time, ms: `issue` answers a new certificate from then on. */
  renewAt: number
}

export interface CaFacts {
  file: string
  subject: string
  fingerprint256: string
  validTo: string
  pem: string
}

export function caFile(dir: string): string {
  return join(dir, 'ca.pem')
}

/** What can be told about the CA of a directory; undefined where none has been made. */
export async function readCaFacts(dir: string): Promise<CaFacts | undefined> {
  const file = caFile(dir)
  const pem = await readPem(file)
  if (pem === undefined) return undefined
  const certificate = parse(file, () => new X509Certificate(pem))
  return {
    file,
    subject: certificate.subject,
    fingerprint256: certificate.fingerprint256,
    validTo: certificate.validToDate.toISOString(),
    pem,
  }
}

export class LocalCa {
  readonly #dir: string
  readonly #clock: Clock
  readonly #certificate: X509Certificate
  readonly #key: KeyObject

  private constructor(options: LocalCaOptions, certificate: X509Certificate, key: KeyObject) {
    this.#dir = options.dir
    this.#clock = options.clock
    this.#certificate = certificate
    this.#key = key
  }

  /** Opens the CA of a directory and makes what of it is missing. */
  static async open(options: LocalCaOptions): Promise<LocalCa> {
    const { dir, clock } = options
    await mkdir(dir, { recursive: true })
    const keyFile = join(dir, 'ca-key.pem')
    const keyPem = (await readPem(keyFile)) ?? (await createPem(keyFile, 'key', await newKeyPem()))
    const key = parse(keyFile, () => createPrivateKey(keyPem))
    const pem =
      (await readPem(caFile(dir))) ??
      (await createPem(caFile(dir), 'certificate', await signCa(key, clock.now())))
    const certificate = parse(caFile(dir), () => new X509Certificate(pem))
    const problem = !certificate.checkPrivateKey(key)
      ? 'does not belong to ca-key.pem beside it'
      : certificate.validToDate.getTime() < clock.now()
        ? `expired on ${certificate.validTo}`
        : undefined
    if (problem) {
      throw broken(`${caFile(dir)} ${problem}. Remove both files to have a new CA made.`)
    }
    return new LocalCa(options, certificate, key)
  }

  /**
   * A server certificate for DNS names (wildcards too) and IP addresses. The same names get the same
   * certificate, also after a restart, until it is time to renew.
   */
  async issue(names: readonly string[]): Promise<IssuedCertificate> {
    const wanted = wantedNames(names)
    const file = join(this.#dir, `leaf-${digestOf(wanted.join('\n'))}.pem`)
    const there = await readPem(file)
    const kept = this.#usable(there)
    if (kept) return kept
    const keyPem = await newKeyPem()
    const certificatePem = await this.#signLeaf(names, wanted, createPrivateKey(keyPem), [
      ExtendedKeyUsage.serverAuth,
    ])
    const made = certificatePem + keyPem
    const first = there === undefined && this.#usable(await createPem(file, 'key', made))
    const issued = first || (await this.#replace(file, there ?? '', made))
    if (!issued) throw broken(`${caFile(this.#dir)} expires too soon to issue certificates.`)
    return issued
  }

  /** Of several processes that replace the same file at a time the first one wins, too. */
  async #replace(file: string, old: string, made: string): Promise<IssuedCertificate | undefined> {
    const next = `${file}.after-${digestOf(old)}`
    try {
      const first = await createPem(next, 'key', made).catch(missing)
      // The first one may be through with all of it by now.
      const kept = this.#usable(await readPem(file))
      if (kept) return kept
      const winner = first !== undefined && this.#usable(first) ? first : made
      await replacePem(file, 'key', winner)
      return this.#usable(winner)
    } finally {
      await rm(next, { force: true })
    }
  }

  /**
   * A new certificate for a node of the cluster, which it shows as a client and as a server. It is kept nowhere: its
   * key belongs to that node alone.
   */
  async issueForNode(names: readonly string[]): Promise<IssuedCertificate> {
    const keyPem = await newKeyPem()
    const usages = [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]
    const key = createPrivateKey(keyPem)
    const certificatePem = await this.#signLeaf(names, wantedNames(names), key, usages)
    const issued = this.#usable(certificatePem + keyPem)
    if (!issued) throw broken(`${caFile(this.#dir)} expires too soon to issue certificates.`)
    return issued
  }

  #usable(pem: string | undefined): IssuedCertificate | undefined {
    const split = pem?.indexOf('-----BEGIN PRIVATE KEY-----') ?? -1
    if (pem === undefined || split <= 0) return undefined
    try {
      const certificate = new X509Certificate(pem)
      const renewAt = certificate.validToDate.getTime() - renewBeforeMs
      const isOurs =
        certificate.verify(this.#certificate.publicKey) &&
        certificate.checkPrivateKey(createPrivateKey(pem.slice(split)))
      const isCurrent =
        renewAt > this.#clock.now() && certificate.validFromDate.getTime() <= this.#clock.now()
      if (!isOurs || !isCurrent) return undefined
      return { certificatePem: pem.slice(0, split), keyPem: pem.slice(split), renewAt }
    } catch {
      return undefined
    }
  }

  async #signLeaf(
    names: readonly string[],
    wanted: readonly string[],
    key: KeyObject,
    usages: readonly ExtendedKeyUsage[],
  ): Promise<string> {
    const now = this.#clock.now()
    const publicKey = await publicOf(key)
    const caExpiry = this.#certificate.validToDate.getTime()
    const certificate = await X509CertificateGenerator.create({
      subject: commonName(names[0]!),
      issuer: new AsnCertificate(this.#certificate.raw).subjectName,
      notBefore: new Date(now - backdateMs),
      notAfter: new Date(Math.min(now - backdateMs + leafLifetimeMs, caExpiry)),
      publicKey,
      signingKey: await this.#key.toCryptoKey(algorithm, false, ['sign']),
      signingAlgorithm: algorithm,
      extensions: [
        new SubjectAlternativeNameExtension(
          wanted.map((name) => ({ type: isIP(name) ? 'ip' : 'dns', value: name })),
        ),
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([...usages]),
        await AuthorityKeyIdentifierExtension.create(await publicOf(this.#key)),
        await SubjectKeyIdentifierExtension.create(publicKey),
      ],
    })
    return `${certificate.toString('pem')}\n`
  }
}

function missing(err: NodeJS.ErrnoException): undefined {
  if (err.code !== 'ENOENT') throw err
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16)
}

function wantedNames(names: readonly string[]): string[] {
  const wanted = [...new Set(names.map((name) => name.toLowerCase()))].sort()
  if (wanted.length === 0) throw broken('a certificate needs at least one name')
  return wanted
}

async function signCa(key: KeyObject, now: number): Promise<string> {
  const publicKey = await publicOf(key)
  const certificate = await X509CertificateGenerator.create({
    subject: commonName(`Nearcast local CA (${hostname()})`),
    issuer: commonName(`Nearcast local CA (${hostname()})`),
    notBefore: new Date(now - backdateMs),
    notAfter: new Date(now + caLifetimeMs),
    publicKey,
    signingKey: await key.toCryptoKey(algorithm, false, ['sign']),
    signingAlgorithm: algorithm,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(publicKey),
    ],
  })
  return `${certificate.toString('pem')}\n`
}

// RFC 5280, appendix A: a common name has at most 64 characters.
const commonNameLimit = 64

function commonName(name: string): Name {
  return new Name([{ CN: [name.slice(0, commonNameLimit)] }])
}

async function newKeyPem(): Promise<string> {
  const { privateKey } = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const der = await crypto.subtle.exportKey('pkcs8', privateKey)
  return `${PemConverter.encode(der, 'PRIVATE KEY')}\n`
}

function publicOf(key: KeyObject): Promise<CryptoKey> {
  return Promise.resolve(createPublicKey(key).toCryptoKey(algorithm, true, ['verify']))
}

function parse<T>(file: string, read: () => T): T {
  try {
    return read()
  } catch (err) {
    throw broken(`${file} cannot be read: ${messageOf(err)}`, err)
  }
}

function broken(message: string, cause?: unknown): ServiceError {
  return new ServiceError(message, { code: 'local-ca-broken', source: 'internal', cause })
}
