// Scenario `key-guessing`: does the time of a refusal tell a key that no channel has from one that a channel had?
//
// Thousands of tries of either kind in one shuffled order, each with a key of its own: random ones, and ones that a
// channel had and that were revoked. They are made at the POP, where answers to wrong keys come on a grid of time,
// and behind it at the gateway, where no attacker gets, to show what the grid has to hide. Compared by Welch's t.
import { randomBytes } from 'node:crypto'
import { Cluster } from '../test/support/cluster.ts'
import { refusedPublish } from './support/refused-publish.ts'
import type { Scenario, ScenarioOptions } from './support/scenario.ts'
import { mean, median, rounded, table, welchT } from './support/statistics.ts'

const triesPerRound = 400
const atATime = 8
const warmUp = 48
/** |t| below this: no difference that so many tries would show. */
const goalT = 4.5
const goalMs = 5
const codes = { unknown: 'key-unknown', revoked: 'key-revoked' } as const
type Kind = keyof typeof codes
const kinds: readonly Kind[] = ['unknown', 'revoked']

export interface GuessingRun {
  where: 'POP' | 'gateway'
  /** Milliseconds from the publish to its answer. */
  answersMs: Record<Kind, number[]>
}

export const keyGuessing: Scenario = {
  name: 'key-guessing',
  missing: () => undefined,
  async run(options) {
    const runs = await benchGuessing(options)
    const tries = options.rounds * triesPerRound
    return {
      setting: `${tries} tries of either kind in one shuffled order, each with another key, ${atATime} at a time, cluster and attacker on the same machine.`,
      table: guessingTable(runs),
      data: runs,
    }
  },
}

async function benchGuessing({ rounds, progress }: ScenarioOptions): Promise<GuessingRun[]> {
  await using cluster = await Cluster.start({ args: ['--log-level', 'warn'] })
  const tries = rounds * triesPerRound
  progress(`key-guessing: ${tries} keys that are revoked`)
  const revoked = await revokedKeys(cluster, tries)
  const unknown = randomKeys(tries)
  const { edges, gateways } = cluster.facts
  const runs: GuessingRun[] = []
  for (const [where, server] of [
    ['POP', edges[0]!.rtmps],
    ['gateway', gateways[0]!.rtmp],
  ] as const) {
    progress(`key-guessing: at the ${where}`)
    await guess(server, { unknown: randomKeys(warmUp), revoked: [] })
    runs.push({ where, answersMs: await guess(server, { unknown, revoked }) })
  }
  return runs
}

function randomKeys(count: number): string[] {
  return Array.from({ length: count }, () => `nc_${randomBytes(24).toString('base64url')}`)
}

/** Each new key of a channel revokes the one before. */
async function revokedKeys(cluster: Cluster, count: number): Promise<string[]> {
  type Made = { streamKey: string }
  const keys = [(await cluster.api<Made>('POST', '/api/v1/channels', { liveId: 'x' })).streamKey]
  while (keys.length <= count) {
    const path = '/api/v1/channels/x/keys/rotate'
    keys.push((await cluster.api<Made>('POST', path, {})).streamKey)
  }
  return keys.slice(0, count)
}

async function guess(
  server: string,
  keys: Record<Kind, readonly string[]>,
): Promise<GuessingRun['answersMs']> {
  const answersMs: GuessingRun['answersMs'] = { unknown: [], revoked: [] }
  const tries = shuffled(kinds.flatMap((kind) => keys[kind].map((key) => ({ kind, key }))))
  const guessOn = async () => {
    for (let one = tries.pop(); one; one = tries.pop()) {
      const { code, answerMs } = await refusedPublish(server, one.key)
      if (code !== codes[one.kind])
        throw new Error(`refused with ${code}, a key that is ${one.kind}`)
      answersMs[one.kind].push(answerMs)
    }
  }
  await Promise.all(Array.from({ length: atATime }, guessOn))
  return answersMs
}

function shuffled<T>(values: readonly T[]): T[] {
  return values
    .map((value) => ({ value, order: Math.random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ value }) => value)
}

export function guessingTable(runs: readonly GuessingRun[]): string {
  const rows = runs.map(({ where, answersMs: { unknown, revoked } }) => {
    const t = welchT(unknown, revoked)
    const apartMs = mean(unknown) - mean(revoked)
    const isMet = Math.abs(t) < goalT && Math.abs(apartMs) < goalMs
    return [
      where === 'POP' ? 'at the POP' : 'behind it, at the gateway',
      ...[median(unknown), median(revoked), apartMs, t].map(rounded),
      ...(where === 'POP'
        ? [`t within ± ${goalT}, means within ± ${goalMs} ms`, isMet ? 'met' : 'missed']
        : ['', '']),
    ]
  })
  return table([
    [
      'answer to a wrong key',
      'unknown ms',
      'revoked ms',
      'means apart ms',
      "Welch's t",
      'goal',
      '',
    ],
    ...rows,
  ])
}
