// Rates from two reports of counters.
import { describe, expect, test } from 'vitest'
import { liveRates, nodeRates, topText } from '../../bin/top-rates.ts'
import type { Top } from '../../common/cache/cache-report.ts'

function report(overrides: Partial<Top>): Top {
  return {
    node: 'pop-1',
    role: 'edge',
    instance: 'one',
    atMs: 0,
    requests: { hit: 0, miss: 0, collapsed: 0, stale: 0, error: 0 },
    bytesOut: { http: 0, https: 0, h2: 0 },
    bytes: 0,
    objects: 0,
    fills: 0,
    readers: 0,
    waiters: 0,
    held: 0,
    lives: [],
    viewers: [],
    ...overrides,
  }
}

const before = report({
  requests: { hit: 100, miss: 10, collapsed: 0, stale: 0, error: 0 },
  bytesOut: { http: 1_000_000, https: 0, h2: 0 },
  lives: [{ scope: 'live', id: 'demo', requests: 110, bytes: 1_000_000 }],
})
const now = report({
  atMs: 2_000,
  requests: { hit: 107, miss: 11, collapsed: 1, stale: 1, error: 0 },
  bytesOut: { http: 1_000_000, https: 500_000, h2: 500_000 },
  lives: [
    { scope: 'live', id: 'demo', requests: 118, bytes: 1_750_000 },
    { scope: 'live', id: 'new', requests: 2, bytes: 250_000 },
    { scope: 'live', id: 'idle', requests: 0, bytes: 0 },
  ],
  viewers: [{ liveId: 'demo', current: 3, total: 9 }],
})

describe('rates', () => {
  test('are differences over the time of the node; all but misses and errors were no question upstream', () => {
    expect(nodeRates(before, now)).toMatchObject({
      cache: { requestsPerSecond: 5, hitRatio: 0.9 },
      viewers: 3,
      bitsOutPerSecond: 4_000_000,
    })
  })

  test('of a process that began in between are not known', () => {
    const restarted = { ...now, instance: 'two' }
    expect(nodeRates(before, restarted)).toMatchObject({
      cache: { requestsPerSecond: 0, hitRatio: null },
      bitsOutPerSecond: 0,
    })
    expect(liveRates([{ before, now: restarted }])).toMatchObject([
      { id: 'demo', viewers: 3, bitsPerSecond: 0 },
    ])
  })

  test('per live id add up over nodes, the most bits first, without what rests', () => {
    const one = { before, now }
    expect(liveRates([one, one])).toEqual([
      { scope: 'live', id: 'demo', viewers: 6, requestsPerSecond: 8, bitsPerSecond: 6_000_000 },
      { scope: 'live', id: 'new', viewers: 0, requestsPerSecond: 2, bitsPerSecond: 2_000_000 },
    ])
  })

  test('of a node whose listener is not reached are dashes, but for what its heartbeat tells', () => {
    const away = { node: 'pop-2', role: 'edge', viewers: 7, bitsOutPerSecond: 2_500_000 }
    const text = topText([nodeRates(before, now), away], liveRates([{ before, now }]), 1)
    expect(text).toMatch(/\npop-2 +edge +- +- +2\.50 +- +- +- +7 +- +-\n/)
    expect(text).toContain('not reached from here')
    expect(text).toMatch(/\nand 1 more$/)
  })
})
