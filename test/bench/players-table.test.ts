// What the table of players says of kills: quantiles of stalls, sums, and what was agreed and missed.
import { expect, test } from 'vitest'
import { missesOfPlayer, playersTable, type WatchedKill } from '../../bench/chaos/players-table.ts'

function kill(change: Partial<WatchedKill> = {}): WatchedKill {
  return {
    player: 'hls.js, plain',
    stalledMs: 1_000,
    stalls: 1,
    stalledBeforeMs: 0,
    reloads: 0,
    skippedSeconds: 0,
    wentOn: true,
    errors: [],
    ...change,
  }
}

test.each<[string, Partial<WatchedKill>]>([
  ['did not go on', { wentOn: false }],
  ['reloads', { reloads: 1 }],
])('one kill can miss: %s', (name, change) => {
  expect(missesOfPlayer([kill(), kill(change)])).toContain(name)
})

test('the stall of 95 in 100 is held against the goal', () => {
  const calm = Array.from({ length: 19 }, () => kill())
  expect(missesOfPlayer([...calm, kill({ stalledMs: 9_000 })])).toEqual([])
  expect(
    missesOfPlayer([...calm.slice(1), kill({ stalledMs: 9_000 }), kill({ stalledMs: 4_001 })]),
  ).toEqual(['stall'])
})

test('a line per player has quantiles, sums and the verdict', () => {
  const errors = ['fatal: gone', 'networkError levelLoadTimeOut']
  const text = playersTable([
    kill(),
    kill({ stalledMs: 3_000, stalls: 2, stalledBeforeMs: 500, errors }),
    kill({ player: 'dash.js, low-latency', reloads: 1 }),
  ])
  const [, , first, second] = text.split('\n')
  const cells = first!.split('|').map((cell) => cell.trim())
  expect(cells.slice(1, -1)).toEqual([
    ...['hls.js, plain', '2', '1.00', '3.00', '3.00', '0.500'],
    ...['3', '0', '0', '2', '1', 'met'],
  ])
  expect(second).toContain('missed: reloads')
})
