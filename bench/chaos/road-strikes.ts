// Faults of the road between an edge and its gateways, as viewers of that edge and the gateway see them: cut for half a
// minute, and slow and failing.
import type { TakeoverStage } from '../../test/support/takeover-stage.ts'
import type { Fault, Strike } from './fault.ts'
import { type AskedOfGateway, GatewayFront } from './gateway-front.ts'
import { outcomesOf, pause, type Watched, Watchers } from './watchers.ts'

const struckEdge = 'pop-2'
const viewersOfEachKind = 4
const normalMs = 6_000
const cutMs = 30_000
const healedMs = 5_000
const brownOutMs = 20_000
const brownOut = { kind: 'brown-out', ms: 2_000, failedOfTen: 3 } as const

const stage: Fault['stage'] = {
  pops: 3,
  size: '640x360',
  // The source alone: what is tried is the road.
  args: ['--ladder', 'passthrough'],
  prepare: (cluster) => GatewayFront.start(cluster, struckEdge),
}

export const edgeCutOff: Fault = {
  id: 'F15',
  name: 'edge cut off from its gateways for 30 s',
  stage,
  allowedDisconnects: 0,
  goalTimesMs: { 'fresh again': 2_000 },
  goalFigures: {
    'target durations that a playlist was given out': 1.5,
    'cached segments not given': 0,
    'answers neither 200 nor 503 or 504 with Retry-After': 0,
    'requests for one object on heal': 2,
  },
  mayLose: false,
  strike: cutOff,
}

export const roadBrownOut: Fault = {
  id: 'F16',
  name: 'edge and gateway: 2 s latency and 30 % 503',
  stage,
  allowedDisconnects: 0,
  goalFigures: { 'upstream load to normal': 1.1, '% of cached refused': 0.5 },
  mayLose: false,
  strike: browned,
}

async function cutOff({ cluster, prepared }: TakeoverStage): Promise<Strike> {
  const front = prepared as GatewayFront
  const { struck, other } = foldersOf(cluster.facts)
  await using watchers = await Watchers.start(struck, viewersOfEachKind)
  await pause(normalMs)
  const struckAtMs = performance.now()
  front.obey({ kind: 'cut' })
  await pause(cutMs)
  const healedAtMs = performance.now()
  const heard = watchers.since(struckAtMs).filter((it) => it.endedAtMs! < healedAtMs)
  front.obey({ kind: 'pass' })
  await pause(healedMs)
  await watchers.stop()
  const playlists = heard.filter(({ kind }) => kind === 'polls')
  const given = playlists.filter(({ status }) => status === 200)
  const lastGivenAtMs = Math.max(struckAtMs, ...given.map(({ endedAtMs }) => endedAtMs!))
  const fresh = watchers.since(healedAtMs, 'polls').find(({ status }) => status === 200)
  const cached = heard.filter(({ kind }) => kind === 'again')
  const others = heard.filter(({ kind, status, retryAfter }) => {
    const isTold = (status === 503 || status === 504) && retryAfter !== undefined
    return kind !== 'again' && status !== 200 && !isTold
  })
  const onHeal = front.asked.filter(
    ({ atMs }) => atMs >= healedAtMs && atMs < healedAtMs + healedMs,
  )
  const counts = countsOf(onHeal)
  const longest = longestWaits(heard)
  const notes = [
    `while cut: ${outcomesOf(heard)}`,
    `longest waits while cut, ms: ${JSON.stringify(longest)}`,
    `asked on heal: ${onHeal.length}, of ${counts.size} objects`,
    ...[...counts].filter(([, count]) => count > 1).map(([path, count]) => `${count} × ${path}`),
    ...(await watchers.unlike(other)).map((path) => `${path} was cut short and ended cleanly`),
  ]
  return {
    struckAtMs,
    times: {
      'longest wait for an answer': Math.max(...Object.values(longest)),
      'fresh again': fresh ? fresh.endedAtMs! - healedAtMs : Number.POSITIVE_INFINITY,
    },
    figures: {
      'target durations that a playlist was given out':
        (lastGivenAtMs - struckAtMs) / watchers.targetDurationMs,
      'cached segments not given': cached.filter(({ status }) => status !== 200).length,
      'answers neither 200 nor 503 or 504 with Retry-After': others.length,
      'requests for one object on heal': Math.max(0, ...counts.values()),
    },
    notes,
    heal: async () => front.obey({ kind: 'pass' }),
  }
}

async function browned({ cluster, prepared }: TakeoverStage): Promise<Strike> {
  const front = prepared as GatewayFront
  const { struck, other } = foldersOf(cluster.facts)
  await using watchers = await Watchers.start(struck, viewersOfEachKind)
  // Tuning in asks for more than going on does.
  await pause(healedMs)
  const normalAtMs = performance.now()
  await pause(2 * normalMs)
  const struckAtMs = performance.now()
  front.obey(brownOut)
  await pause(brownOutMs)
  const endedAtMs = performance.now()
  front.obey({ kind: 'pass' })
  await watchers.stop()
  const heard = watchers.since(struckAtMs)
  const cached = heard.filter(({ kind }) => kind === 'again')
  const refused = cached.filter(({ status }) => status !== 200)
  const perSecond = (fromMs: number, toMs: number) => {
    const asked = front.asked.filter(({ atMs }) => atMs >= fromMs && atMs < toMs)
    return (1_000 * asked.length) / (toMs - fromMs)
  }
  const [normal, browned] = [perSecond(normalAtMs, struckAtMs), perSecond(struckAtMs, endedAtMs)]
  const notes = [
    `asked per second: ${normal.toFixed(1)}, then ${browned.toFixed(1)}`,
    `while slow and failing: ${outcomesOf(heard)}`,
    ...(await watchers.unlike(other)).map((path) => `${path} was cut short and ended cleanly`),
  ]
  return {
    struckAtMs,
    figures: {
      'upstream load to normal': browned / normal,
      '% of cached refused': (100 * refused.length) / cached.length,
    },
    notes,
    heal: async () => front.obey({ kind: 'pass' }),
  }
}

function foldersOf({ edges, channels }: TakeoverStage['cluster']['facts']) {
  const [, struck, other] = edges.map(({ http }) => `${http}/live/${channels[0]!.liveId}`)
  return { struck: struck!, other: other! }
}

/** Until an answer had ended, by kind of viewer. */
function longestWaits(watched: readonly Watched[]): Record<string, number> {
  const longest: Record<string, number> = {}
  for (const { kind, askedAtMs, endedAtMs } of watched) {
    longest[kind] = Math.round(Math.max(longest[kind] ?? 0, endedAtMs! - askedAtMs))
  }
  return longest
}

/** By object; a playlist without a position is another one each time. */
function countsOf(asked: readonly AskedOfGateway[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { path } of asked) {
    if (path.endsWith('.m3u8')) continue
    counts.set(path, (counts.get(path) ?? 0) + 1)
  }
  return counts
}
