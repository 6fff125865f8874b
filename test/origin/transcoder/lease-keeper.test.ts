import { describe, expect, test } from 'vitest'
import type { Clock } from '../../../common/clock.ts'
import type { LeaseAnswer, LeaseRenewal } from '../../../common/contract/placement.ts'
import { type Refusal, refusal } from '../../../common/contract/refusal.ts'
import { silentLogger } from '../../../common/log.ts'
import { LeaseKeeper } from '../../../origin/transcoder/lease-keeper.ts'
import { FakeClock } from '../../support/fake-clock.ts'

type Answer = LeaseAnswer | { outcome: 'error'; error: string }
const held: Answer = { outcome: 'held', epoch: 3, stop: false }

function keep(answers: (Answer | Promise<Answer>)[]) {
  const clock = new FakeClock()
  let frozenMs = 0
  /** As a process has it that may be frozen: time goes on, its timers do not. */
  const own: Clock = {
    now: () => clock.now(),
    monotonic: () => clock.monotonic() + frozenMs,
    setTimeout: (callback, ms) => clock.setTimeout(callback, ms),
    setInterval: (callback, ms) => clock.setInterval(callback, ms),
  }
  const freeze = (ms: number) => {
    frozenMs += ms
  }
  const events: string[] = []
  const sent: LeaseRenewal[] = []
  const renewal = { epoch: 3, nonce: 'first' } as LeaseRenewal
  const keeper = new LeaseKeeper({
    liveId: 'demo',
    clock: own,
    log: silentLogger,
    client: {
      async renewLease(_liveId, it) {
        sent.push(it)
        return (await answers.shift()) ?? held
      },
      async releaseLease() {},
    },
    renewal: () => ({ ...renewal }),
    onLost: (epoch, refused) => events.push(`lost to ${epoch}${whyOf(refused)}`),
    onStop: (refused) => events.push(`stop${whyOf(refused)}`),
    onRefused: (refused) => events.push(`turned away${whyOf(refused)}`),
    onSure: () => events.push('sure'),
  })
  keeper.start()
  return { clock, events, sent, keeper, renewal, freeze }
}

function whyOf(refused: Refusal | undefined): string {
  return refused ? `: ${refused.code}` : ''
}

const revoked = refusal('key-revoked')

test('renews every two seconds', async () => {
  const { clock, sent } = keep([])
  await clock.advance(6_000)
  expect(sent).toHaveLength(3)
})

test('keeps the stream on an error, for as long as it lasts', async () => {
  const away: Answer = { outcome: 'error', error: 'away' }
  const { clock, events, sent } = keep([away, away, away, away])
  await clock.advance(10_000)
  expect(events).toEqual([])
  expect(sent).toHaveLength(5)
})

test('gives up at once when the lease is lost, and asks no more', async () => {
  const { clock, events, sent } = keep([held, { outcome: 'lost', epoch: 4, stop: false }])
  await clock.advance(20_000)
  expect(events).toEqual(['lost to 4'])
  expect(sent).toHaveLength(2)
})

test('ends when the operator asks for it', async () => {
  const { clock, events } = keep([{ ...held, stop: true }])
  await clock.advance(10_000)
  expect(events).toEqual(['stop'])
})

test('turns a publisher away who may not have the channel, and keeps the lease', async () => {
  const { clock, events, sent } = keep([{ ...held, refused: revoked }])
  await clock.advance(4_000)
  expect(events).toEqual(['turned away: key-revoked'])
  expect(sent).toHaveLength(2)
})

test.each<[string, LeaseAnswer, string]>([
  ['lost', { outcome: 'lost', epoch: 4, stop: false }, 'lost to 4'],
  ['stopped', { ...held, stop: true }, 'stop'],
])('what is %s tells why, of its own publisher alone', async (_how, answer, event) => {
  const first = keep([{ ...answer, refused: revoked }])
  await first.keeper.renew()
  expect(first.events).toEqual([`${event}: key-revoked`])
  const next = keep([{ ...answer, refused: revoked }])
  const answered = next.keeper.renew()
  next.renewal.nonce = 'second'
  await answered
  expect(next.events).toEqual([event])
})

test('turns nobody away who has come since', async () => {
  for (const nonce of ['second', null]) {
    const { events, keeper, renewal } = keep([{ ...held, refused: revoked }])
    const answered = keeper.renew()
    renewal.nonce = nonce
    await answered
    expect(events).toEqual([])
  }
})

test('does not take an answer to an older epoch for its own', async () => {
  const { clock, events, sent, renewal, keeper } = keep([
    { outcome: 'lost', epoch: 4, stop: false },
  ])
  const answered = keeper.renew()
  renewal.epoch = 4
  await answered
  await clock.advance(4_000)
  expect(events).toEqual([])
  expect(sent).toHaveLength(3)
})

describe('after a standstill', () => {
  const lost: Answer = { outcome: 'lost', epoch: 4, stop: false }

  test('is not sure whose the stream is until it has been renewed', async () => {
    const { clock, events, sent, keeper, freeze } = keep([])
    await clock.advance(2_000)
    expect(keeper.isSure()).toBe(true)
    freeze(7_000)
    expect(keeper.isSure()).toBe(false)
    expect(sent).toHaveLength(2)
    await clock.advance(1)
    expect([keeper.isSure(), ...events]).toEqual([true, 'sure'])
  })

  test('never is where the lease was lost meanwhile', async () => {
    const { clock, events, keeper, freeze } = keep([held, lost])
    await clock.advance(2_000)
    freeze(7_000)
    expect(keeper.isSure()).toBe(false)
    await clock.advance(10_000)
    expect(events).toEqual(['lost to 4'])
  })

  test('does not believe an answer to what it asked before', async () => {
    const before = Promise.withResolvers<Answer>()
    const { clock, events, sent, keeper, freeze } = keep([held, before.promise, lost])
    await clock.advance(4_000)
    freeze(13_000)
    expect(keeper.isSure()).toBe(false)
    before.resolve(held)
    await clock.advance(1)
    expect(sent).toHaveLength(3)
    expect(events).toEqual(['lost to 4'])
  })

  test('goes on where the coordinator is away', async () => {
    const { clock, events, keeper, freeze } = keep([held, { outcome: 'error', error: 'away' }])
    await clock.advance(2_000)
    freeze(7_000)
    expect(keeper.isSure()).toBe(false)
    await clock.advance(1)
    expect([keeper.isSure(), ...events]).toEqual([true, 'sure'])
  })

  // A node that does not answer is taken for gone before its lease is over, and its broadcasts may be ended then.
  test.each([
    [3_000, true],
    [3_001, false],
  ])('of %d ms it is sure: %s', async (frozenMs, isSure) => {
    const { clock, sent, keeper, freeze } = keep([])
    await clock.advance(2_000)
    expect(keeper.isSure()).toBe(true)
    freeze(frozenMs)
    expect(keeper.isSure()).toBe(isSure)
    expect(sent).toHaveLength(isSure ? 1 : 2)
  })
})
