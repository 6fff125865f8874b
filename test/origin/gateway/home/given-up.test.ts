// Which homes come back when memory is free again: a house of sizes and a clock that stands still.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Route } from '../../../../common/contract/membership.ts'
import { GivenUpHomes } from '../../../../origin/gateway/home/given-up.ts'
import type { FollowedGrant } from '../../../../origin/gateway/home/home.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { routeTo } from '../../../support/routes.ts'

const limitBytes = 100
const transcoder = { id: 'tc-1', url: 'http://tc-1' }

function grantOf(liveId: string): FollowedGrant {
  const { broadcastId, epoch, instance } = routeTo(liveId, transcoder)
  return { liveId, broadcastId, epoch, instance, transcoder }
}

/** Windows arrive whole, one size at a time, unless they are held up. */
class House {
  readonly clock = new FakeClock()
  readonly held = new Map<string, number>()
  readonly sizes: Record<string, number>
  readonly givenUp: string[] = []
  readonly back: string[] = []
  /** Followed, and nothing heard of yet. */
  readonly arriving = new Map<string, number>()
  isHeldUp = false
  readonly homes: GivenUpHomes

  constructor(sizes: Record<string, number>) {
    this.sizes = sizes
    this.homes = new GivenUpHomes({
      gatewayId: 'gw-1',
      limitBytes,
      clock: this.clock,
      heldBytes: () => this.bytes,
      arrivingBytes: (liveId) => this.arriving.get(liveId),
      takeBack: ({ liveId }) => {
        this.back.push(liveId)
        if (this.isHeldUp) this.arriving.set(liveId, 0)
        else this.hold(liveId)
      },
    })
  }

  get bytes(): number {
    return [...this.held.values()].reduce((sum, it) => sum + it, 0)
  }

  /** By steps, as bodies arrive: whoever came last is given up with what it has by then. */
  hold(liveId: string): void {
    this.held.set(liveId, 0)
    while (this.held.has(liveId) && this.held.get(liveId)! < this.sizes[liveId]!) {
      this.held.set(liveId, this.held.get(liveId)! + 1)
      if (this.bytes > limitBytes) this.giveUp([...this.held.keys()].at(-1)!)
    }
  }

  giveUp(
    liveId: string,
    bytes = this.held.get(liveId)!,
    grantedAtMs = this.clock.monotonic(),
  ): void {
    this.givenUp.push(liveId)
    this.held.delete(liveId)
    this.homes.add(grantOf(liveId), grantedAtMs, bytes)
  }

  /** What a route of each of these says. */
  hear(...told: (Partial<Route> & { liveId: string })[]): void {
    const routes = told.map((it) => ({ ...routeTo(it.liveId, transcoder), home: 'gw-1', ...it }))
    this.homes.update({ routes })
  }
}

it('takes a home back when it fits below three quarters of the limit, and no sooner than after 30 s', async () => {
  const house = new House({ first: 50, last: 60 })
  house.hold('first')
  house.hold('last')
  expect(house.givenUp).toEqual(['last'])
  expect(house.homes.waiting).toBe(1)
  house.held.set('first', 24)
  await house.clock.advance(29_000)
  expect(house.back).toEqual([])
  house.held.set('first', 25)
  await house.clock.advance(60_000)
  expect(house.back).toEqual([])
  house.held.set('first', 24)
  await house.clock.advance(5_000)
  expect([house.back, house.homes.waiting]).toEqual([['last'], 0])
})

it('takes the newest grants back first, and what fits beside them', async () => {
  const house = new House({})
  await house.clock.advance(10)
  // The newest is given up first.
  house.giveUp('d', 30, 4)
  house.giveUp('c', 40, 3)
  house.giveUp('b', 40, 2)
  house.giveUp('a', 4, 1)
  house.isHeldUp = true
  await house.clock.advance(40_000)
  // Nothing has come of them yet, and their room is taken.
  expect(house.back).toEqual(['d', 'c', 'a'])
  house.arriving.clear()
  house.held.set('d', 30)
  await house.clock.advance(5_000)
  expect(house.back).toEqual(['d', 'c', 'a', 'b'])
})

it('needs the most that it ever held, and stays out twice as long each time', async () => {
  const house = new House({})
  house.isHeldUp = true
  house.giveUp('a', 60)
  await house.clock.advance(35_000)
  expect(house.back).toEqual(['a'])
  house.arriving.clear()
  house.giveUp('a', 20)
  await house.clock.advance(55_000)
  expect(house.back).toEqual(['a'])
  house.held.set('other', 20)
  await house.clock.advance(60_000)
  expect(house.back).toEqual(['a'])
  house.held.clear()
  await house.clock.advance(5_000)
  expect(house.back).toEqual(['a', 'a'])
})

it('takes one back alone that leaves no room for others', async () => {
  const house = new House({ large: 90 })
  house.held.set('other', 20)
  house.hold('large')
  await house.clock.advance(60_000)
  expect(house.back).toEqual([])
  house.held.clear()
  await house.clock.advance(5_000)
  expect(house.back).toEqual(['large'])
})

it.each<[string, (house: House) => void]>([
  ['has no route any more', (house) => house.hear()],
  ['has its home elsewhere', (house) => house.hear({ liveId: 'a', home: 'gw-2' })],
  ['has a later epoch', (house) => house.hear({ liveId: 'a', epoch: 2 })],
  ['is forgotten', (house) => house.homes.forget('a')],
  ['has been granted anew', (house) => house.homes.granted(grantOf('a'))],
])('does not take back what %s', async (_, happen) => {
  const house = new House({ a: 10 })
  house.giveUp('a', 10)
  happen(house)
  await house.clock.advance(600_000)
  expect([house.back, house.homes.waiting]).toEqual([[], 0])
})

it.each<[string, number, string[]]>([
  ['takes back', 60_000, ['a']],
  ['has forgotten', 120_000, []],
])('%s what has a route again after %i ms', async (_, ms, back) => {
  const house = new House({ a: 10 })
  house.giveUp('a', 10)
  house.hear()
  await house.clock.advance(ms)
  house.hear({ liveId: 'a', home: null })
  await house.clock.advance(10_000)
  expect(house.back).toEqual(back)
})

it('leaves no timer behind', () => {
  const house = new House({})
  house.giveUp('a', 10)
  house.homes[Symbol.dispose]()
  expect(house.clock.pending).toBe(0)
})

it('never goes to and fro: each home is given up a few times at most, and then there is peace', async () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 110 }), { minLength: 1, maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(sizes, fc.nat(7), async (all, leaving) => {
      const house = new House(Object.fromEntries(all.map((size, at) => [`s${at}`, size])))
      for (const liveId of Object.keys(house.sizes)) house.hold(liveId)
      await house.clock.advance(600_000)
      house.held.delete(`s${leaving}`)
      house.homes.forget(`s${leaving}`)
      await house.clock.advance(7_200_000)
      const { length } = house.givenUp
      await house.clock.advance(86_400_000)
      expect(house.givenUp).toHaveLength(length)
      for (const liveId of Object.keys(house.sizes)) {
        expect(house.givenUp.filter((it) => it === liveId).length).toBeLessThanOrEqual(5)
      }
    }),
    { numRuns: 20 },
  )
})
