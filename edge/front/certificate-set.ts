// Certificates in use, chosen by server name, wherever they come from.
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import { messageOf } from '../../common/errors.ts'
import { plainAddress } from '../../common/net/addresses.ts'

export interface CertificatePair {
  cert: string
  key: string
}

export interface Certificate extends CertificatePair {
  digest: string
  names: readonly string[]
  context: SecureContext
  expiresAt: number
}

/** What a TLS port asks of them. */
export interface Certificates {
  /** What clients get that name no server. */
  readonly default: CertificatePair
  /** When the certificate that expires first does so; wall time in ms. */
  readonly expiresAt: number
  /** The certificate for a server name: exact, then wildcard; undefined for the default. Never throws. */
  select(serverName: string): SecureContext | undefined
  /** Calls back after each change. */
  onChange(listener: () => void): void
}

export class CertificateSet {
  readonly slots: readonly Certificate[]
  readonly #byName = new Map<string, Certificate>()

  constructor(slots: readonly Certificate[]) {
    this.slots = slots
    // The first pair that has a name keeps it.
    for (const slot of [...slots].reverse()) {
      for (const name of slot.names) this.#byName.set(name, slot)
    }
  }

  get default(): CertificatePair {
    return this.slots[0]!
  }

  get expiresAt(): number {
    return Math.min(...this.slots.map((slot) => slot.expiresAt))
  }

  select(serverName: string): SecureContext | undefined {
    const name = serverName.toLowerCase().replace(/\.$/, '')
    const parent = name.indexOf('.')
    const found =
      this.#byName.get(name) ??
      (parent > 0 ? this.#byName.get(`*${name.slice(parent)}`) : undefined)
    return found?.context
  }
}

/** Certificates that somebody else has read and found good. */
export class GivenCertificates implements Certificates {
  readonly #listeners = new Set<() => void>()
  #set: CertificateSet

  constructor(pairs: readonly CertificatePair[]) {
    this.#set = setOf(pairs)
  }

  get default(): CertificatePair {
    return this.#set.default
  }

  get expiresAt(): number {
    return this.#set.expiresAt
  }

  select(serverName: string): SecureContext | undefined {
    return this.#set.select(serverName)
  }

  onChange(listener: () => void): void {
    this.#listeners.add(listener)
  }

  replace(pairs: readonly CertificatePair[]): void {
    this.#set = setOf(pairs)
    for (const listener of this.#listeners) listener()
  }
}

function setOf(pairs: readonly CertificatePair[]): CertificateSet {
  return new CertificateSet(pairs.map((pair) => certificateOf({ ...pair, origin: 'certificate' })))
}

/** Throws where the two cannot be used; the message begins with `origin`. */
export function certificateOf({
  cert,
  key,
  origin,
}: CertificatePair & { origin: string }): Certificate {
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
