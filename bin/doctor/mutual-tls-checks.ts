// The certificate that an edge and a gateway show each other: does it load, is it of the authority that both believe,
// for both ends of a connection and for the gateway's name, and for how long.
import { createPrivateKey, type X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { messageOf } from '../../common/errors.ts'
import { hostOf } from '../../common/net/addresses.ts'
import type { MutualTlsFiles } from '../../common/net/mutual-tls.ts'
import type { ResolvedConfig } from '../../config/load.ts'
import { checkDates, readChain } from './certificate-checks.ts'
import { type Finding, fail } from './finding.ts'

const name = 'mutual TLS'
/** Extended key usages (RFC 5280 §4.2.1.12): TLS server and TLS client. */
const usages = { '1.3.6.1.5.5.7.3.1': 'servers', '1.3.6.1.5.5.7.3.2': 'clients' }
const issue = 'Issue it anew: nearcast ca issue, with the --dir of the authority of all nodes.'

/** Nothing where it is not on. */
export function checkMutualTls(config: ResolvedConfig, now: number): Finding[] {
  if (config.role === 'edge') {
    const { mutualTls } = config.upstream
    return mutualTls ? checkFiles(mutualTls, undefined, now) : []
  }
  if (config.role !== 'gateway' || !config.mutualTls) return []
  const { publicUrl } = config.mutualTls
  return checkFiles(config.mutualTls, publicUrl && hostOf(new URL(publicUrl)), now)
}

function checkFiles(
  { certFile, keyFile, caFile }: MutualTlsFiles,
  host: string | undefined,
  now: number,
): Finding[] {
  let chain: X509Certificate[]
  let authorities: X509Certificate[]
  try {
    chain = readChain(certFile)
    authorities = readChain(caFile)
    if (!chain[0]!.checkPrivateKey(createPrivateKey(readFileSync(keyFile)))) {
      return [fail(name, `${certFile} does not belong to ${keyFile}`, issue)]
    }
  } catch (err) {
    return [fail(name, messageOf(err), 'All must be PEM files that the user of the node can read.')]
  }
  const [leaf] = chain as [X509Certificate]
  const found = [checkDates(name, leaf, now, `${issue} It is read at the start.`)]
  const top = chain.at(-1)!
  if (!authorities.some((it) => top.checkIssued(it) && top.verify(it.publicKey))) {
    found.push(fail(name, `${certFile} is not of the authority in ${caFile}`, issue))
  }
  for (const [oid, whom] of Object.entries(usages)) {
    // Without the extension it is for everything.
    if (leaf.keyUsage?.includes(oid) ?? true) continue
    found.push(fail(name, `${certFile} is not for ${whom}`, issue))
  }
  if (host !== undefined && !(isIP(host) ? leaf.checkIP(host) : leaf.checkHost(host))) {
    const fix = `Issue it anew with this name, or set mutualTls.publicUrl to one that it has.`
    found.push(fail(name, `${certFile} is not for ${host}`, fix))
  }
  return found
}
