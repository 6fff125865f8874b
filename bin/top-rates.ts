// Two reports of a node's counters as rates, and those as tables.
import {
  type CacheCounts,
  deliveryProtocols,
  requestResults,
} from '../common/cache/cache-metrics.ts'
import type { Top } from '../common/cache/cache-report.ts'
import type { ViewerCount } from '../common/contract/membership.ts'
import { tableText } from './output.ts'

export interface NodeRates {
  node: string
  role: string
  /** Absent: its admin listener cannot be reached from here. */
  cache?: CacheRates
  viewers: number
  bitsOutPerSecond: number
}

export interface CacheRates
  extends Pick<CacheCounts, 'fills' | 'waiters' | 'held' | 'objects' | 'bytes'> {
  requestsPerSecond: number
  /** Of the requests, those that upstream was not asked for; null without requests. */
  hitRatio: number | null
}

export interface LiveRates {
  scope: string
  id: string
  viewers: number
  requestsPerSecond: number
  bitsPerSecond: number
}

/** Between two reports of one process; of another process nothing is known yet. */
export function nodeRates(before: Top | undefined, now: Top): NodeRates {
  const since = before?.instance === now.instance ? before : now
  const perSecond = perSecondOf(since, now)
  const asked = requestResults.map((result) => now.requests[result] - since.requests[result])
  const requests = asked.reduce((sum, count) => sum + count, 0)
  const upstream = requests - asked[0]! - asked[2]! - asked[3]!
  const bytes = deliveryProtocols.reduce(
    (sum, protocol) => sum + now.bytesOut[protocol] - since.bytesOut[protocol],
    0,
  )
  return {
    node: now.node,
    role: now.role,
    cache: {
      requestsPerSecond: perSecond(requests),
      hitRatio: requests > 0 ? 1 - upstream / requests : null,
      fills: now.fills,
      waiters: now.waiters,
      held: now.held,
      objects: now.objects,
      bytes: now.bytes,
    },
    viewers: now.viewers.reduce((sum, { current }) => sum + current, 0),
    bitsOutPerSecond: perSecond(8 * bytes),
  }
}

/** Per live id and recording, with activity or viewers, the most bits first. */
export function liveRates(reports: readonly { before: Top | undefined; now: Top }[]): LiveRates[] {
  const all = new Map<string, LiveRates>()
  const of = (scope: string, id: string): LiveRates => {
    const key = `${scope}/${id}`
    const known = all.get(key)
    if (known) return known
    const made = { scope, id, viewers: 0, requestsPerSecond: 0, bitsPerSecond: 0 }
    all.set(key, made)
    return made
  }
  for (const { before, now } of reports) {
    const since = before?.instance === now.instance ? before : now
    const perSecond = perSecondOf(since, now)
    const former = new Map(since.lives.map((live) => [`${live.scope}/${live.id}`, live]))
    for (const live of now.lives) {
      // One that was not among those told before is told from its beginning.
      const last = former.get(`${live.scope}/${live.id}`) ?? { requests: 0, bytes: 0 }
      const rates = of(live.scope, live.id)
      rates.requestsPerSecond += perSecond(live.requests - last.requests)
      rates.bitsPerSecond += perSecond(8 * (live.bytes - last.bytes))
    }
    for (const { liveId, current } of now.viewers as ViewerCount[])
      of('live', liveId).viewers += current
  }
  return [...all.values()]
    .filter((live) => live.viewers > 0 || live.requestsPerSecond > 0 || live.bitsPerSecond > 0)
    .sort((a, b) => b.bitsPerSecond - a.bitsPerSecond || b.viewers - a.viewers)
}

function perSecondOf(since: Top, now: Top): (count: number) => number {
  const seconds = (now.atMs - since.atMs) / 1000
  return (count) => (seconds > 0 ? Math.max(0, count) / seconds : 0)
}

export function topText(
  nodes: readonly NodeRates[],
  lives: readonly LiveRates[],
  limit: number,
): string {
  const rows = nodes.map(({ node, role, cache, viewers, bitsOutPerSecond }) => [
    node,
    role,
    cache && number(cache.requestsPerSecond),
    cache && (cache.hitRatio === null ? null : (100 * cache.hitRatio).toFixed(1)),
    megabits(bitsOutPerSecond),
    cache?.fills,
    cache?.waiters,
    cache?.held,
    role === 'edge' ? viewers : null,
    cache?.objects,
    cache && (cache.bytes / 1e6).toFixed(1),
  ])
  const head = [
    'NODE',
    'ROLE',
    'REQ/S',
    'HIT %',
    'MBIT/S',
    'FILLS',
    'WAITING',
    'HELD',
    'VIEWERS',
    'OBJECTS',
    'MB',
  ]
  const parts = [tableText(head, rows)]
  if (nodes.some(({ cache }) => !cache)) {
    parts.push(
      'A dash: the admin listener of that node is not reached from here; the rest is by its heartbeat.',
    )
  }
  const shown = lives.slice(0, limit)
  parts.push(
    tableText(
      ['LIVE ID OR RECORDING', 'VIEWERS', 'REQ/S', 'MBIT/S'],
      shown.map((live) => [
        live.id,
        live.scope === 'live' ? live.viewers : null,
        number(live.requestsPerSecond),
        megabits(live.bitsPerSecond),
      ]),
    ),
  )
  if (lives.length > shown.length) parts.push(`and ${lives.length - shown.length} more`)
  return parts.join('\n\n')
}

function number(value: number): string {
  return value.toFixed(value < 100 ? 1 : 0)
}

function megabits(bits: number): string {
  return (bits / 1e6).toFixed(bits < 1e8 ? 2 : 0)
}
