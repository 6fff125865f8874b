// A node that carries out the purges of the snapshots that are pushed to it.
import { describe, expect, test } from 'vitest'
import { PurgeFollower } from '../../../common/cluster/purge-follower.ts'
import type { ClusterSnapshot } from '../../../common/contract/membership.ts'
import type { PurgeOutcome, PurgeReport } from '../../../common/contract/purge.ts'
import { silentLogger } from '../../../common/log.ts'
import { settle } from '../../support/fake-clock.ts'

const id = '6a3f0c80-0000-4000-8000-000000000001'

const purged = (count: number): PurgeOutcome => ({ purged: count, late: [] })

class Node {
  readonly purged: string[] = []
  readonly reports: PurgeReport[] = []
  isHeard = true
  readonly patience: boolean[] = []
  purge: () => Promise<PurgeOutcome> | PurgeOutcome = () => purged(2)
  readonly #follower = new PurgeFollower({
    role: 'edge',
    purge: (prefix, isAgain) => {
      this.purged.push(prefix)
      this.patience.push(isAgain)
      return this.purge()
    },
    report: async (_id, report) => {
      this.reports.push(report)
      return this.isHeard
    },
    log: silentLogger,
  })

  /** A snapshot arrives that asks edges for so many passes; undefined: that has no purge. */
  async hear(edge: number | undefined): Promise<void> {
    const purges =
      edge === undefined ? [] : [{ id, prefix: '/live/demo/', passes: { gateway: 9, edge } }]
    const snapshot: ClusterSnapshot = { generation: 1, nodes: [], routes: [], purges }
    this.#follower.update(snapshot)
    await settle()
  }
}

describe('a node with a cache', () => {
  test('does nothing before it is the turn of its role, and each pass once', async () => {
    const node = new Node()
    await node.hear(0)
    expect(node.purged).toEqual([])
    await node.hear(1)
    await node.hear(1)
    expect(node.purged).toEqual(['/live/demo/'])
    await node.hear(2)
    expect(node.reports).toEqual([
      { pass: 1, purged: 2 },
      { pass: 2, purged: 4 },
    ])
  })

  test('tells again what was not heard, and purges no second time for that', async () => {
    const node = new Node()
    node.isHeard = false
    await node.hear(1)
    node.isHeard = true
    await node.hear(1)
    await node.hear(1)
    expect(node.purged).toHaveLength(1)
    expect(node.reports).toEqual(Array(2).fill({ pass: 1, purged: 2 }))
  })

  test('makes a pass that is asked for during another after it', async () => {
    const node = new Node()
    const first = Promise.withResolvers<PurgeOutcome>()
    node.purge = () => first.promise
    await node.hear(1)
    await node.hear(2)
    expect(node.purged).toHaveLength(1)
    node.purge = () => purged(0)
    first.resolve(purged(5))
    await settle()
    expect(node.reports).toEqual([
      { pass: 1, purged: 5 },
      { pass: 2, purged: 5 },
    ])
  })

  test('says nothing of a purge that failed, and tries it with the next snapshot', async () => {
    const node = new Node()
    node.purge = () => Promise.reject(new Error('a worker is gone'))
    await node.hear(1)
    expect(node.reports).toEqual([])
    node.purge = () => purged(1)
    await node.hear(1)
    expect(node.reports).toEqual([{ pass: 1, purged: 1 }])
  })

  test('names the workers that are late, and says that it is done when they are', async () => {
    const node = new Node()
    const again = Promise.withResolvers<PurgeOutcome>()
    node.purge = () => {
      node.purge = () => again.promise
      return { purged: 3, late: [2] }
    }
    await node.hear(1)
    expect(node.reports).toEqual([{ pass: 0, purged: 3, late: [2] }])
    again.resolve(purged(1))
    await settle()
    expect(node.reports.slice(1)).toEqual([{ pass: 1, purged: 4 }])
    expect(node.patience).toEqual([false, true])
  })

  test('goes on with late workers where the coordinator did not hear of them', async () => {
    const node = new Node()
    node.isHeard = false
    node.purge = () => {
      node.purge = () => purged(0)
      return { purged: 3, late: [1] }
    }
    await node.hear(1)
    node.isHeard = true
    await node.hear(1)
    expect(node.purged).toHaveLength(2)
    expect(node.reports.at(-1)).toEqual({ pass: 1, purged: 3 })
  })
})
