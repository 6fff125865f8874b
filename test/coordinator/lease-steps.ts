// What can happen to the leases of a channel, one step at a time, for schedules made at random.
import fc from 'fast-check'

/** How a publish goes: whether whoever was granted comes, and whether the coordinator answers when nobody waits for it. */
export interface Way {
  comes: boolean
  isLate: boolean
}

export type Step =
  | ({
      do: 'publish'
      who: number
      as: 'new' | 'next' | 'same' | 'late' | 'former'
      away: boolean
    } & Way)
  | { do: 'renew' | 'commit' | 'giveBack' | 'unbind' | 'freeze' | 'deafen'; node: number }
  | { do: 'recover' | 'cutOff' | 'drain' | 'restart'; node: number }
  | { do: 'wait'; seconds: number; renews: boolean }
  | { do: 'copy' | 'rollBack' | 'restartCoordinator' | 'stop' }
  | { do: 'goAway' | 'comeBack' | 'partGateway' | 'healGateway' }

const node = fc.nat({ max: 2 })
const publishStep = fc.record({
  do: fc.constant('publish' as const),
  who: fc.nat({ max: 1 }),
  as: fc.constantFrom('new', 'next', 'next', 'next', 'same', 'late', 'former'),
  away: fc.boolean(),
  comes: fc.constantFrom(true, true, true, false),
  isLate: fc.constantFrom(false, false, false, true),
})
export const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: publishStep },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('renew' as const), node }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('commit' as const), node }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom('freeze', 'deafen', 'cutOff', 'recover', 'recover', 'restart', 'drain'),
      node,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('giveBack', 'unbind'), node }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      seconds: fc.constantFrom(2, 2, 8, 70),
      renews: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('copy', 'copy', 'rollBack', 'rollBack', 'restartCoordinator', 'stop'),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constantFrom('goAway', 'goAway', 'comeBack', 'comeBack', 'partGateway', 'healGateway'),
    }),
  },
)
