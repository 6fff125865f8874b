// Lines of the access log, without what must not be in a log: values of queries, playback tokens, stream keys.
import { scrubSecrets } from '../../common/log.ts'
import { addressBytes, addressText } from '../../common/net/addresses.ts'
import type { EdgeConfig } from '../../config/schema.ts'

export interface Exchange {
  /** Wall ms of the request. */
  at: number
  method: string
  /** As it came. */
  target: string
  /** 499: the connection ended before there was an answer. */
  status: number
  /** Of the body, handed to the connection. */
  bytes: number
  /** From the request to the end of the answer. */
  ms: number
  /** What the cache did; undefined where it was not asked. */
  outcome: string | undefined
  address: string
  agent: string
  /** `http`, `https` or `h2`. */
  protocol: string
}

type Addresses = EdgeConfig['accessLog']['addresses']

const maxTarget = 512
const maxAgent = 256
const directive = /^_HLS_(?:msn|part|skip)=[A-Za-z0-9]{1,15}$/

export function jsonLine(exchange: Exchange, addresses: Addresses): string {
  const { at, method, target, status, bytes, ms, outcome, address, agent, protocol } = exchange
  const { path, query } = redactTarget(target)
  return `${JSON.stringify({
    time: new Date(at).toISOString(),
    address: shownAddress(address, addresses),
    method,
    target: query === '' ? path : `${path}?${query}`,
    status,
    bytes,
    ms: Math.round(ms * 10) / 10,
    cache: outcome,
    agent: redactAgent(agent),
    protocol,
  })}\n`
}

export const w3cFields =
  'date time c-ip cs-method cs-uri-stem cs-uri-query sc-status sc-bytes time-taken cs(User-Agent) x-cache x-protocol'

/** W3C Extended Log File Format: a field has no spaces, and is a dash where there is nothing. */
export function w3cLine(exchange: Exchange, addresses: Addresses): string {
  const { at, method, target, status, bytes, ms, outcome, address, agent, protocol } = exchange
  const [date, time] = new Date(at).toISOString().slice(0, 19).split('T')
  const { path, query } = redactTarget(target)
  const fields = [
    date,
    time,
    shownAddress(address, addresses),
    method,
    path,
    query,
    status,
    bytes,
    (ms / 1000).toFixed(3),
    redactAgent(agent).replace(/\s/g, '+'),
    outcome,
    protocol,
  ]
  return `${fields.map((field) => (field === undefined || field === '' ? '-' : field)).join(' ')}\n`
}

/** Of a query only the delivery directives are kept; a playback token in the path is cut. */
export function redactTarget(target: string): { path: string; query: string } {
  const mark = target.indexOf('?')
  const path = (mark < 0 ? target : target.slice(0, mark)).replace(/^\/t\/[^/]*/, '/t/-')
  const query = mark < 0 ? '' : target.slice(mark + 1, mark + 1 + 4 * maxTarget)
  return {
    path: scrubbed(path, maxTarget).replace(/[^\x21-\x7e]/g, escaped),
    query: query
      .split('&')
      .filter((pair) => directive.test(pair))
      .join('&'),
  }
}

function redactAgent(agent: string): string {
  return scrubbed(agent, maxAgent).replace(/[^\x20-\x7e]/g, '?')
}

/** Cut after it is scrubbed: half a key is not recognised as one. */
function scrubbed(text: string, length: number): string {
  return scrubSecrets(text.slice(0, 2 * length)).slice(0, length)
}

function escaped(character: string): string {
  return encodeURIComponent(character.isWellFormed() ? character : '?')
}

/** Truncated to the /24 of IPv4, the /48 of IPv6. */
function shownAddress(address: string, addresses: Addresses): string {
  if (addresses === 'none') return '-'
  const bytes = addressBytes(address)
  if (!bytes) return '-'
  if (addresses === 'truncated') bytes.fill(0, bytes.length === 4 ? 3 : 6)
  return addressText(bytes)
}
