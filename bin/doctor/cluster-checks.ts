// Whether a node could join: is the coordinator there, do the clocks agree, is the secret the same.
import { readFileSync } from 'node:fs'
import { createClusterAuth } from '../../common/cluster/cluster-auth.ts'
import { messageOf } from '../../common/errors.ts'
import { isPublicAddress } from '../../common/net/allowed-networks.ts'
import type { ResolvedConfig } from '../../config/load.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

const timeoutMs = 5_000
// A Date header has whole seconds, and the answer takes its time.
const unsharpMs = 1_500
const warnMs = 2_000
/** Node tokens are refused beyond it. */
const failMs = 30_000

export async function checkCluster(config: ResolvedConfig, now: () => number): Promise<Finding[]> {
  if (config.role === 'coordinator') {
    const { host } = config.listen
    if (host !== '127.0.0.1' && host !== '::1' && host !== 'localhost') return []
    const fix = 'Set listen.host to an address that the other nodes reach.'
    return [warn('coordinator', `listens on ${host}: only this machine's nodes can join`, fix)]
  }
  const url = config.cluster.coordinator
  const found: Finding[] = []
  const { protocol, hostname } = new URL(url)
  if (protocol === 'http:' && isPublicAddress(hostname)) {
    const fix = 'Use https, or a private network or VPN between the sites.'
    found.push(warn('coordinator', `${url} is plain HTTP to a public address`, fix))
  }
  let answer: Response
  const sentAt = now()
  try {
    answer = await get(`${url}/livez`)
  } catch (err) {
    const fix = 'Start it, and check cluster.coordinator, firewall and DNS.'
    return [...found, fail('coordinator', `${url} does not answer: ${reason(err)}`, fix)]
  }
  const tookMs = now() - sentAt
  if (answer.status !== 200 || (await answer.text()).trim() !== 'ok') {
    const fix = 'Set cluster.coordinator to the URL of the coordinator.'
    const detail = `${url} answers ${answer.status} to /livez: something else listens there`
    return [...found, fail('coordinator', detail, fix)]
  }
  found.push(ok('coordinator', `${url} answers in ${Math.round(tookMs)} ms`))
  const date = Date.parse(answer.headers.get('date') ?? '')
  if (!Number.isNaN(date)) found.push(clockFinding(sentAt + tookMs / 2 - (date + 500)))
  found.push(await checkSecret(config, url))
  return found
}

export function clockFinding(aheadMs: number): Finding {
  const apart = Math.abs(aheadMs)
  const seconds = `${(apart / 1000).toFixed(1)} s ${aheadMs > 0 ? 'ahead of' : 'behind'} the coordinator`
  const fix = 'Keep both machines on NTP: timedatectl set-ntp true.'
  if (apart > failMs) return fail('clock', `${seconds}: its tokens are refused`, fix)
  if (apart > warnMs + unsharpMs) return warn('clock', seconds, fix)
  return ok('clock', 'agrees with the coordinator')
}

async function checkSecret(
  config: Exclude<ResolvedConfig, { role: 'coordinator' }>,
  url: string,
): Promise<Finding> {
  const name = 'cluster secret'
  const token = await createClusterAuth(config.cluster.secret).issueNodeToken(
    config.node.id,
    config.role,
  )
  try {
    // A live id that nobody can have: any answer but 401 says that we were let in.
    const { status } = await get(`${url}/internal/v1/channels/-/status`, {
      authorization: `Bearer ${token}`,
    })
    if (status === 401 || status === 403) {
      const fix = 'Copy the secret file of the coordinator to this node, byte by byte.'
      return fail(name, 'the coordinator has another one', fix)
    }
    if (status < 500) return ok(name, 'accepted by the coordinator')
    return warn(name, `the coordinator answered ${status}`, 'Look into its log.')
  } catch (err) {
    return warn(name, `not checked: ${reason(err)}`, 'Run this again.')
  }
}

function get(url: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url, { headers, redirect: 'manual', signal: AbortSignal.timeout(timeoutMs) })
}

function reason(err: unknown): string {
  return messageOf(err instanceof Error && err.cause ? err.cause : err)
}

/** Whether the node of this config is up, as its admin listener tells. */
export async function isNodeRunning({ admin, node }: ResolvedConfig): Promise<boolean> {
  const anyHost = admin.host === '::' || admin.host === '0.0.0.0'
  const host = anyHost ? 'localhost' : admin.host.includes(':') ? `[${admin.host}]` : admin.host
  try {
    const answer = await get(`http://${host}:${admin.port}/metrics`)
    return (await answer.text()).includes(`node="${node.id}"`)
  } catch {
    return false
  }
}

/** The coordinator's URL where the `up` that wrote this ready file still runs. */
export async function runningUp(readyFile: string): Promise<string | undefined> {
  try {
    const { coordinator } = JSON.parse(readFileSync(readyFile, 'utf8'))
    const { ok: answers } = await get(`${coordinator.url}/livez`)
    return answers ? coordinator.url : undefined
  } catch {
    return undefined
  }
}
