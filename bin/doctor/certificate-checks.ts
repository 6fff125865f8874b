// The certificates of an edge: do they load, fit their keys, cover the public names, and for how long.

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { messageOf } from '../../common/errors.ts'
import { readCaFacts } from '../../common/local-ca/local-ca.ts'
import { hostOf } from '../../common/net/addresses.ts'
import type { ResolvedEdgeConfig } from '../../config/load.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

const dayMs = 24 * 60 * 60 * 1000
const renewDays = 14

export async function checkCertificates(
  config: ResolvedEdgeConfig,
  now: number,
): Promise<Finding[]> {
  const names = publicNames(config)
  const { certificates, localCa } = config.tls
  const found = certificates.flatMap(({ certFile, keyFile }) => checkPair(certFile, keyFile, now))
  if (certificates.length > 0) {
    found.push(
      ...checkCoverage(
        certificates.map(({ certFile }) => certFile),
        names,
      ),
    )
  } else if (localCa.enabled) {
    found.push(await checkLocalCa(localCa.dir ?? join(config.dataDir, 'ca'), now))
    const uncovered = names.filter((name) => !localCa.names.includes(name))
    if (uncovered.length > 0) {
      const fix = 'Add it to tls.localCa.names.'
      found.push(fail('certificate', `the local CA certifies no ${uncovered.join(', ')}`, fix))
    }
  } else {
    const fix = 'Set tls.certificates, or tls.localCa.enabled: true.'
    found.push(fail('certificate', 'no certificate files, and the local CA is off', fix))
  }
  return [...found, ...(await checkNames(names))]
}

function publicNames({ publicUrls }: ResolvedEdgeConfig): string[] {
  const urls = [publicUrls.https, publicUrls.rtmps].filter((url) => url !== undefined)
  return [...new Set(urls.map((url) => hostOf(new URL(url))))]
}

function checkPair(certFile: string, keyFile: string, now: number): Finding[] {
  const name = 'certificate'
  let chain: X509Certificate[]
  try {
    chain = readChain(certFile)
    const key = createPrivateKey(readFileSync(keyFile))
    if (!chain[0]!.checkPrivateKey(key)) {
      const fix = 'Use the key that the certificate was requested with; the leaf must come first.'
      return [fail(name, `${certFile} does not belong to ${keyFile}`, fix)]
    }
  } catch (err) {
    const fix = 'Both must be PEM files that the user of the node can read.'
    return [fail(name, messageOf(err), fix)]
  }
  const leaf = chain[0]!
  const found = [
    checkDates(`${name} ${commonName(leaf)}`, leaf, now, 'Renew it; it is read again by itself.'),
  ]
  const gap = chain.findIndex((one, i) => chain[i + 1] && !one.checkIssued(chain[i + 1]!))
  const isAlone = chain.length === 1 && leaf.subject !== leaf.issuer
  if (gap >= 0 || isAlone) {
    const detail = isAlone
      ? 'the issuer is not in the file'
      : `entry ${gap + 2} did not issue entry ${gap + 1}`
    const fix =
      'Use the full chain (fullchain.pem), leaf first; encoders will not find the rest alone.'
    found.push(warn(name, `${certFile}: ${detail}`, fix))
  }
  return found
}

export function readChain(file: string): X509Certificate[] {
  const blocks = readFileSync(file, 'utf8').match(
    /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g,
  )
  if (!blocks) throw new Error(`${file} holds no PEM certificate`)
  return blocks.map((block) => new X509Certificate(block))
}

function commonName(certificate: X509Certificate): string {
  return /CN=([^\n]+)/.exec(certificate.subject)?.[1] ?? certificate.serialNumber
}

export function checkDates(
  name: string,
  certificate: X509Certificate,
  now: number,
  fix: string,
): Finding {
  const from = certificate.validFromDate.getTime()
  const days = Math.floor((certificate.validToDate.getTime() - now) / dayMs)
  if (days < 0) return fail(name, `expired on ${certificate.validTo}`, fix)
  if (from > now) return fail(name, `valid only from ${certificate.validFrom}`, 'Set the clock.')
  if (days < renewDays) return warn(name, `expires in ${days} days`, fix)
  return ok(name, `valid for ${days} days`)
}

function checkCoverage(files: readonly string[], names: readonly string[]): Finding[] {
  const leaves = files.flatMap((file) => {
    try {
      return readChain(file).slice(0, 1)
    } catch {
      return []
    }
  })
  if (leaves.length === 0) return []
  return names
    .filter(
      (name) => !leaves.some((leaf) => (isIP(name) ? leaf.checkIP(name) : leaf.checkHost(name))),
    )
    .map((name) => {
      return fail('certificate', `none is for ${name}`, `Request one with the name ${name}.`)
    })
}

async function checkLocalCa(dir: string, now: number): Promise<Finding> {
  const facts = await readCaFacts(dir)
  if (!facts) return ok('certificate', `the first start makes a local CA in ${dir}`)
  const fix = `Remove ${dir}; the next start makes a new CA, which clients must trust anew.`
  const dates = checkDates('certificate', new X509Certificate(facts.pem), now, fix)
  if (dates.verdict !== 'OK') return dates
  return ok(
    'certificate',
    `local CA ${facts.file}, ${dates.detail}; encoders must trust it (nearcast ca trust)`,
  )
}

async function checkNames(names: readonly string[]): Promise<Finding[]> {
  const found: Finding[] = []
  for (const name of names.filter((one) => isIP(one) === 0)) {
    try {
      const { address } = await lookup(name)
      found.push(ok(`name ${name}`, address))
    } catch (err) {
      const { code } = err as NodeJS.ErrnoException
      found.push(warn(`name ${name}`, `does not resolve: ${code}`, 'Add a DNS record for it.'))
    }
  }
  return found
}
