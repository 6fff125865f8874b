import { beforeEach, expect, test } from 'vitest'
import type { LeaseOutcome } from '../../../common/cluster/coordinator-client.ts'
import type { Adoption, LeaseRelease, LeaseRenewal } from '../../../common/contract/placement.ts'
import { refusal } from '../../../common/contract/refusal.ts'
import { LeaseReports } from '../../../origin/transcoder/lease-reports.ts'
import { FakeClock } from '../../support/fake-clock.ts'

const held: LeaseOutcome = { outcome: 'held', epoch: 5, stop: false }
const away: LeaseOutcome = { outcome: 'error', error: 'away' }
const adoption = { broadcastId: 'one', connection: 'first' } as Adoption

let clock: FakeClock
let answer: LeaseOutcome
let heard: (LeaseRenewal | LeaseRelease)[]
let pending: Adoption | undefined
let pendingEpoch: number
/** Releases wait for it. */
let hanging: Promise<void> | undefined
let over: number[]
let letIn: (string | null)[]
let reports: LeaseReports

beforeEach(() => {
  clock = new FakeClock()
  answer = away
  heard = []
  pending = undefined
  pendingEpoch = 5
  hanging = undefined
  over = []
  letIn = []
  const hear = async (_liveId: string, what: LeaseRenewal | LeaseRelease) => {
    if (answer !== away) heard.push(what)
    return answer
  }
  reports = new LeaseReports({
    client: {
      renewLease: hear,
      async releaseLease(liveId, what) {
        await hanging
        return hear(liveId, what)
      },
    },
    standIn: {
      adoptionOf: (_liveId, { epoch }) => (epoch === pendingEpoch ? pending : undefined),
      letIn: (_liveId, { nonce }) => void letIn.push(nonce),
      told: (_liveId, it) => {
        if (pending === it) pending = undefined
      },
      over: (_liveId, epoch) => void over.push(epoch),
    },
    clock,
  })
})

const renewal = (epoch: number) => ({ epoch, state: 'live', nonce: 'n' }) as LeaseRenewal
const release = (epoch: number) => ({ epoch, reason: 'publisher-left' }) as LeaseRelease

test('a renewal carries what was let in without the coordinator until it is answered', async () => {
  pending = adoption
  expect(await reports.renewLease('demo', renewal(5))).toBe(away)
  answer = held
  await reports.renewLease('demo', renewal(5))
  await reports.renewLease('demo', renewal(5))
  expect(heard.map((it) => 'adopt' in it && it.adopt)).toEqual([adoption, false])
})

test('`lost` is an answer too, after which nothing joins that epoch here', async () => {
  pending = adoption
  answer = { outcome: 'lost', epoch: 6, stop: false }
  expect(await reports.renewLease('demo', renewal(5))).toBe(answer)
  expect([pending, over]).toEqual([undefined, [5]])
})

test('who is refused while it does not send hears of it once it does', async () => {
  pending = adoption
  answer = { ...held, refused: refusal('key-revoked') }
  await reports.renewLease('demo', { ...renewal(5), nonce: null, state: 'held' })
  expect(pending).toBe(adoption)
  expect(await reports.renewLease('demo', renewal(5))).toBe(answer)
  expect(pending).toBeUndefined()
})

test('whoever a renewal names is let in, but where it is lost, stopped or refused', async () => {
  for (const [nonce, its] of [
    ['lost', { ...held, outcome: 'lost' }],
    ['stopped', { ...held, stop: true }],
    ['refused', { ...held, refused: refusal('key-revoked') }],
    ['held', held],
    ['away', away],
  ] as const) {
    answer = its
    await reports.renewLease('demo', { ...renewal(5), nonce })
  }
  expect(letIn).toEqual(['held', 'away'])
})

test('an end that was not heard is told again, and first what it is the end of', async () => {
  pending = adoption
  await reports.renewLease('demo', renewal(5))
  await reports.releaseLease('demo', release(5))
  expect([
    reports.isOver('demo', 5),
    reports.isOver('demo', 6),
    reports.isOver('other', 5),
  ]).toEqual([true, false, false])
  await clock.advance(4_000)
  answer = held
  await clock.advance(2_000)
  expect(heard).toEqual([
    { ...renewal(5), nonce: null, state: 'held', adopt: { ...adoption, isOver: true } },
    release(5),
  ])
  expect(reports.isOver('demo', 5)).toBe(false)
  await clock.advance(10_000)
  expect(heard).toHaveLength(2)
})

test('several ends that were not heard are each told after their own last renewal', async () => {
  await reports.renewLease('demo', renewal(4))
  await reports.releaseLease('demo', release(4))
  pending = adoption
  await reports.renewLease('demo', renewal(5))
  await reports.releaseLease('demo', release(5))
  answer = held
  await clock.advance(2_000)
  const last = { nonce: null, state: 'held' }
  expect(heard).toEqual([
    ...[{ ...renewal(4), ...last }, release(4)],
    ...[{ ...renewal(5), ...last, adopt: { ...adoption, isOver: true } }, release(5)],
  ])
})

test('an end whose last renewal was heard is told alone', async () => {
  answer = held
  await reports.renewLease('demo', renewal(5))
  await reports.releaseLease('demo', release(5))
  expect(heard).toEqual([renewal(5), release(5)])
})

test('ends come before what began after them without the coordinator', async () => {
  pending = adoption
  pendingEpoch = 7
  await reports.releaseLease('demo', release(5))
  await reports.releaseLease('demo', release(6))
  expect(await reports.renewLease('demo', renewal(7))).toMatchObject({ outcome: 'error' })
  answer = held
  await reports.renewLease('demo', renewal(7))
  expect(heard).toEqual([release(5), release(6), { ...renewal(7), adopt: adoption }])
})

test('a lease that the coordinator has given is renewed at once, whatever hangs', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  hanging = promise
  answer = held
  const ending = reports.releaseLease('demo', release(5))
  expect(await reports.renewLease('demo', renewal(6))).toBe(held)
  pending = adoption
  pendingEpoch = 6
  expect(await reports.renewLease('demo', renewal(6))).toBe(held)
  const renewed = [renewal(6), { ...renewal(6), adopt: adoption }]
  expect(heard).toEqual(renewed)
  resolve()
  await ending
  expect(heard).toEqual([...renewed, release(5)])
})

test('what is to be taken over waits two seconds for the ends before it, and is told next time', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  hanging = promise
  answer = held
  pending = adoption
  pendingEpoch = 6
  const ending = reports.releaseLease('demo', release(5))
  const renewing = reports.renewLease('demo', renewal(6))
  await clock.advance(2_000)
  expect(await renewing).toMatchObject({ outcome: 'error' })
  expect(letIn).toEqual(['n'])
  resolve()
  await ending
  expect(await reports.renewLease('demo', renewal(6))).toBe(held)
  expect(heard).toEqual([release(5), { ...renewal(6), adopt: adoption }])
  expect(clock.pending).toBe(0)
})

test('an end that the coordinator rejects, or fails at time and again, keeps no renewal back for ever', async () => {
  const answers = (status: number) => {
    answer = { outcome: 'error', error: `answered ${status}`, status }
  }
  answers(400)
  await reports.releaseLease('demo', release(5))
  expect(reports.isOver('demo', 5)).toBe(false)
  for (const status of [401, 503]) {
    answers(status)
    await reports.releaseLease('demo', release(5))
    await clock.advance(60_000)
    expect(reports.isOver('demo', 5)).toBe(true)
  }
  answers(500)
  await clock.advance(6_000)
  expect(reports.isOver('demo', 5)).toBe(true)
  await clock.advance(60_000)
  expect(reports.isOver('demo', 5)).toBe(false)
  expect(clock.pending).toBe(0)
})

test('with nothing to tell it keeps no timer, and none after its end', async () => {
  answer = held
  await reports.releaseLease('demo', release(5))
  expect(clock.pending).toBe(0)
  answer = away
  await reports.releaseLease('demo', release(6))
  reports[Symbol.dispose]()
  expect(clock.pending).toBe(0)
})
