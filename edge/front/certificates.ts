// The certificates of the TLS port: PEM files chosen by server name, or one from the local CA. A reload takes all or
// none. They are also loaded again when the files change; what cannot be loaded then leaves its predecessor in place.
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext, type SecureContext } from 'node:tls'
import type { Clock, Timer } from '../../common/clock.ts'
import { messageOf, ServiceError } from '../../common/errors.ts'
import { LocalCa } from '../../common/local-ca/local-ca.ts'
import type { Logger } from '../../common/log.ts'
import { plainAddress } from '../../common/net/addresses.ts'
import { watchFiles } from './file-watch.ts'

export interface CertificateOptions {
  /** The first one is for clients that name no server, or one that nobody knows. */
  files: readonly { certFile: string; keyFile: string }[]
  /** Used where there are no files. */
  localCa: { dir: string; names: readonly string[] } | undefined
  clock: Clock
  log: Logger
}

export interface CertificatePair {
  cert: string
  key: string
}

interface Certificate extends CertificatePair {
  digest: string
  names: readonly string[]
  context: SecureContext
  expiresAt: number
}

const dayMs = 24 * 60 * 60 * 1000
const renewalCheckMs = dayMs / 2
const expiryWarningMs = 14 * dayMs

export class CertificateStore implements AsyncDisposable {
  readonly #options: CertificateOptions
  readonly #listeners = new Set<() => void>()
  /** One slot per pair of files, or a single one for the local CA. */
  #slots: Certificate[] = []
  #byName = new Map<string, Certificate>()
  #reloading: Promise<void> = Promise.resolve()
  #files: CertificateOptions['files']
  #watch: Disposable | undefined
  #renewal: Timer | undefined

  constructor(options: CertificateOptions) {
    this.#options = options
    this.#files = options.files
  }

  /** Rejects with a `ServiceError` that names the file when something cannot be loaded. */
  async start(): Promise<void> {
    // Watched before they are read, so that no change falls between.
    await this.#startWatch()
    const failures = await this.#load()
    if (failures.length > 0) {
      await this[Symbol.asyncDispose]()
      throw bad(failures)
    }
    this.#renewal = this.#options.clock.setInterval(() => this.#onChange(), renewalCheckMs)
  }

  /** What clients get that name no server. */
  get default(): CertificatePair {
    return this.#slots[0]!
  }

  /** When the certificate that expires first does so; wall time in ms. */
  get expiresAt(): number {
    return Math.min(...this.#slots.map((slot) => slot.expiresAt))
  }

  /** The certificate for a server name: exact, then wildcard; undefined for the default. Never throws. */
  select(serverName: string): SecureContext | undefined {
    const name = serverName.toLowerCase().replace(/\.$/, '')
    const parent = name.indexOf('.')
    const found =
      this.#byName.get(name) ??
      (parent > 0 ? this.#byName.get(`*${name.slice(parent)}`) : undefined)
    return found?.context
  }

  /** Calls back after each change. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener)
  }

  /**
   * Loads all of a list, or rejects with nothing changed. What is returned takes them into use, all at once; it resolves
   * when changes of these files are watched for.
   */
  async prepare(files: CertificateOptions['files'] = this.#files): Promise<() => Promise<void>> {
    const { loaded, failures } = await this.#read(files)
    if (failures.length > 0) throw bad(failures)
    return async () => {
      const isNew = !isSameList(files, this.#files)
      if (isNew) this.#files = files
      this.#use(loaded.filter((slot) => slot !== undefined))
      if (isNew) await this.#startWatch()
    }
  }

  /** Takes all of a list, or rejects and keeps what is in use. */
  reload(files?: CertificateOptions['files']): Promise<void> {
    return this.#inTurn(async () => (await this.prepare(files))())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch?.[Symbol.dispose]()
    this.#renewal?.cancel()
    await this.#reloading
  }

  /** Each pair alone: one that is bad for long must not keep the others from being renewed. */
  #onChange(): void {
    const loading = this.#inTurn(async () => {
      const failures = await this.#load()
      if (failures.length > 0) throw bad(failures)
    })
    loading.catch((err) =>
      this.#options.log.error(
        { detail: messageOf(err) },
        'new certificate refused; the old one stays',
      ),
    )
  }

  async #startWatch(): Promise<void> {
    const { clock, log } = this.#options
    this.#watch?.[Symbol.dispose]()
    this.#watch = await watchFiles({
      files: this.#files.flatMap(({ certFile, keyFile }) => [certFile, keyFile]),
      clock,
      log,
      onChange: () => this.#onChange(),
    })
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const next = this.#reloading.then(work)
    this.#reloading = next.catch(() => {})
    return next
  }

  /** Takes what can be loaded, keeps what is there of the others, and answers what went wrong with them. */
  async #load(): Promise<string[]> {
    const files = this.#files
    const { loaded, failures } = await this.#read(files)
    // Others have come into use meanwhile.
    if (files !== this.#files) return []
    const slots = loaded.map((slot, i) => slot ?? this.#slots[i]).filter((it) => it !== undefined)
    if (slots.length === loaded.length) this.#use(slots)
    return failures
  }

  async #read(files: CertificateOptions['files']) {
    const failures: string[] = []
    const loaded = await Promise.all(
      this.#sources(files).map(async (source) => {
        try {
          return certificateOf(await source())
        } catch (err) {
          failures.push(messageOf(err))
          return undefined
        }
      }),
    )
    return { loaded, failures }
  }

  #use(slots: Certificate[]): void {
    const before = this.#slots
    this.#slots = slots
    this.#byName = new Map()
    // The first pair that has a name keeps it.
    for (const slot of [...slots].reverse()) {
      for (const name of slot.names) this.#byName.set(name, slot)
      this.#warnOfExpiry(slot)
    }
    const isSame = slots.every((slot, i) => slot.digest === before[i]?.digest)
    // The first of all has nobody to hear of it.
    if (before.length === 0 || (isSame && slots.length === before.length)) return
    this.#options.log.info({ names: slots.flatMap((slot) => slot.names) }, 'certificates loaded')
    for (const listener of this.#listeners) listener()
  }

  #sources(
    files: CertificateOptions['files'],
  ): (() => Promise<CertificatePair & { origin: string }>)[] {
    const { localCa, clock } = this.#options
    if (files.length > 0) {
      return files.map(({ certFile, keyFile }) => async () => ({
        cert: await readPem(certFile),
        key: await readPem(keyFile),
        origin: `${certFile} and ${keyFile}`,
      }))
    }
    if (!localCa) {
      throw new ServiceError('tls.certificates is empty and tls.localCa is off: one is needed', {
        code: 'certificate-missing',
        source: 'internal',
      })
    }
    return [
      async () => {
        const issued = await (await LocalCa.open({ dir: localCa.dir, clock })).issue(localCa.names)
        return { cert: issued.certificatePem, key: issued.keyPem, origin: localCa.dir }
      },
    ]
  }

  #warnOfExpiry(slot: Certificate): void {
    const leftMs = slot.expiresAt - this.#options.clock.now()
    if (leftMs > expiryWarningMs) return
    const expires = new Date(slot.expiresAt).toISOString()
    this.#options.log.warn(
      { names: slot.names, expires },
      leftMs < 0 ? 'certificate has expired' : 'certificate expires soon',
    )
  }
}

function bad(failures: readonly string[]): ServiceError {
  return new ServiceError(failures.join('; '), { code: 'certificate-bad', source: 'internal' })
}

function isSameList(a: CertificateOptions['files'], b: CertificateOptions['files']): boolean {
  const same = (one: (typeof a)[number], other: (typeof b)[number] | undefined) =>
    one.certFile === other?.certFile && one.keyFile === other.keyFile
  return a.length === b.length && a.every((pair, i) => same(pair, b[i]))
}

async function readPem(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (err) {
    throw new Error(`${file} cannot be read: ${messageOf(err)}`)
  }
}

function certificateOf({ cert, key, origin }: CertificatePair & { origin: string }): Certificate {
  try {
    const parsed = new X509Certificate(cert)
    if (!parsed.checkPrivateKey(createPrivateKey(key))) {
      throw new Error('certificate and key do not belong together')
    }
    return {
      cert,
      key,
      digest: createHash('sha256').update(cert).update(key).digest('hex'),
      names: namesOf(parsed),
      context: createSecureContext({ cert, key }),
      expiresAt: parsed.validToDate.getTime(),
    }
  } catch (err) {
    throw new Error(`${origin}: ${messageOf(err)}`)
  }
}

/** DNS names (wildcards too) and addresses of the subject alternative names. */
function namesOf(certificate: X509Certificate): string[] {
  return (certificate.subjectAltName ?? '').split(', ').flatMap((entry) => {
    if (entry.startsWith('DNS:')) return [entry.slice(4).toLowerCase()]
    if (entry.startsWith('IP Address:')) return [plainAddress(entry.slice(11))]
    return []
  })
}
