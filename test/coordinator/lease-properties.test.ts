// What must hold for leases whatever happens, in whatever order.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { RingView } from '../../coordinator/api/schemas.ts'
import { CoordinatorFixture, type FakeNode } from './coordinator-fixture.ts'

test('one transcoder more or less moves no live stream, and of the others only its own', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 2, max: 5 }),
      fc.integer({ min: 1, max: 10 }),
      fc.boolean(),
      async (nodeCount, channelCount, joins) => {
        await using fixture = await CoordinatorFixture.start()
        const gateway = await fixture.node('gw-1', 'gateway')
        const nodes: FakeNode[] = []
        for (let i = 0; i < nodeCount; i++) nodes.push(await fixture.node(`tc-${i}`, 'transcoder'))
        const liveIds = Array.from({ length: channelCount }, (_, i) => `live-${i}`)
        const keys = await Promise.all(liveIds.map((liveId) => fixture.channel(liveId)))
        const before = await Promise.all(keys.map((key) => gateway.granted(key)))
        const idle = Array.from({ length: 40 }, (_, i) => `idle-${i}`)
        const idleBefore = await ringPlaces(fixture, idle)

        const changed = joins ? 'tc-new' : 'tc-0'
        if (joins) await fixture.node(changed, 'transcoder')
        else await nodes[0]!.leave()

        const after = await Promise.all(keys.map((key) => gateway.granted(key)))
        for (const [i, grant] of after.entries()) {
          const holderIsGone = !joins && before[i]!.transcoder.id === changed
          if (holderIsGone) {
            expect(grant.epoch).toBe(before[i]!.epoch + 1)
          } else {
            expect(grant.transcoder.id).toBe(before[i]!.transcoder.id)
            expect(grant.epoch).toBe(before[i]!.epoch)
          }
        }
        for (const [i, place] of (await ringPlaces(fixture, idle)).entries()) {
          if (place === idleBefore[i]) continue
          expect([place, idleBefore[i]]).toContain(changed)
        }
      },
    ),
    { numRuns: 12 },
  )
})

async function ringPlaces(fixture: CoordinatorFixture, liveIds: string[]) {
  return Promise.all(
    liveIds.map(async (liveId) => {
      const { where } = await fixture.api<RingView>('GET', `/ring?liveId=${liveId}`)
      return where[0]!.order[0]
    }),
  )
}

type Step =
  | { do: 'publish' | 'release' | 'unbind' | 'renew' | 'renewOld'; channel: number }
  | { do: 'restartNode' | 'leave' | 'beatAll'; node: number }
  | { do: 'wait'; ms: number }
  | { do: 'restartCoordinator' }

const channel = fc.nat({ max: 1 })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('publish' as const), channel }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('renew' as const), channel }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom('release', 'unbind', 'renewOld'), channel }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('restartNode', 'leave', 'beatAll'),
      node: fc.nat({ max: 2 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      ms: fc.constantFrom(1_000, 5_000, 30_000, 70_000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restartCoordinator' as const) }) },
)

interface Holder {
  node: FakeNode
  instance: string
  epoch: number
}

test('epochs never fall, one epoch has one holder, and an older holder never renews', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
      await using fixture = await CoordinatorFixture.start()
      const gateway = await fixture.node('gw-1', 'gateway')
      const nodes = await Promise.all([0, 1, 2].map((i) => fixture.node(`tc-${i}`, 'transcoder')))
      const keys = [await fixture.channel('one'), await fixture.channel('two')]
      const liveIds = ['one', 'two']
      const holders: Holder[][] = [[], []]

      const publish = async (index: number) => {
        const grant = await gateway.publish(keys[index]!)
        if ('code' in grant) {
          const passing = ['no-transcoder', 'takeover-too-often', 'coordinator-away']
          return expect(passing).toContain(grant.code)
        }
        const node = nodes.find(({ id }) => id === grant.transcoder.id)!
        const last = holders[index]!.at(-1)
        const ticket = await fixture.auth.verifyTicket(grant.ticket)
        expect(ticket!.instance).toBe(node.instance)
        if (grant.epoch === last?.epoch) {
          expect([node.id, node.instance]).toEqual([last.node.id, last.instance])
        } else {
          expect(grant.epoch).toBe((last?.epoch ?? 0) + 1)
          holders[index]!.push({ node, instance: node.instance, epoch: grant.epoch })
        }
      }
      const renew = async (index: number, holder: Holder | undefined) => {
        if (!holder) return
        const { body } = await holder.node.renew(liveIds[index]!, holder.epoch, {
          instance: holder.instance,
        })
        const newest = holders[index]!.at(-1)!
        if (holder !== newest) expect(body.outcome).toBe('lost')
        expect(body.epoch).toBe(newest.epoch)
      }

      for (const now of steps) {
        if (now.do === 'publish') await publish(now.channel)
        if (now.do === 'renew') await renew(now.channel, holders[now.channel]!.at(-1))
        if (now.do === 'renewOld') await renew(now.channel, holders[now.channel]!.at(-2))
        if (now.do === 'release' || now.do === 'unbind') {
          const holder = holders[now.channel]!.at(-1)
          const reason = now.do === 'release' ? 'publisher-left' : 'transcoder-failed'
          await holder?.node.release(liveIds[now.channel]!, holder.epoch, reason)
        }
        if (now.do === 'restartNode') await nodes[now.node]!.restart()
        if (now.do === 'leave') await nodes[now.node]!.leave()
        if (now.do === 'beatAll') for (const node of nodes) await node.beat()
        if (now.do === 'wait') await fixture.clock.advance(now.ms)
        if (now.do === 'restartCoordinator') await fixture.restart()
      }
    }),
    { numRuns: 40 },
  )
}, 60_000)
