// An edge hands over to another process of itself: F29, a rolling upgrade under viewers and publishers.
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EdgeUpgrades } from '../support/edge-upgrade.ts'
import { missingForNamespace, runInNamespace } from '../support/network-namespace.ts'
import type { Storm } from '../support/request-storm.ts'
import { TakeoverStage } from '../support/takeover-stage.ts'
import { until } from '../support/until.ts'

const storm = fileURLToPath(new URL('../support/hand-over-stage.ts', import.meta.url))
const missing = missingForNamespace()

test.skipIf(missing)(
  `no request of a storm fails while an edge hands over${missing ? `: ${missing}` : ''}`,
  async () => {
    const said = JSON.parse(await runInNamespace(storm, ['2'], { migrate: true })) as Storm
    for (const tally of Object.values(said)) {
      expect(tally.failed).toEqual({})
      expect(tally.ok).toBeGreaterThan(0)
    }
  },
)

describe('a rolling upgrade of all POPs', () => {
  let stage: TakeoverStage
  let upgrades: EdgeUpgrades

  beforeAll(async () => {
    stage = await TakeoverStage.start({
      pops: 2,
      size: '320x180',
      reconnectAfterMs: 2_000,
      prepare: async (cluster) => {
        upgrades = new EdgeUpgrades(cluster)
        return upgrades
      },
    })
  })

  afterAll(() => stage?.[Symbol.asyncDispose]())

  test('is nothing to viewers', async () => {
    const watched = stage.cluster.facts.edges.at(-1)!
    const left = await upgrades.upgrade(watched)
    await stage.segments(2)
    await left()
    await stage.segments(1)
    expect(stage.publisher.disconnects).toBe(0)
  })

  test('lets a publisher stay, then has it connect again, once', async () => {
    const { publisher } = stage
    const published = stage.cluster.facts.edges[0]!
    await upgrades.limitPublishers(published, 4_000)
    const left = await upgrades.upgrade(published)
    expect(publisher.disconnects).toBe(0)
    await until('the publisher to be back', () => publisher.startedAtMs.length === 2)
    expect(publisher.disconnects).toBe(1)
    await left()
    await stage.segments(2)
  })

  test('breaks no playlist', async () => {
    const { faults } = await stage.audit.stop(stage.publisher.sent)
    expect(faults).toEqual([])
  })
})
