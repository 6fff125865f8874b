import { expect, test } from 'vitest'
import type { LeaseAnswer, LeaseRenewal } from '../../../common/contract/placement.ts'
import { silentLogger } from '../../../common/log.ts'
import { LeaseKeeper } from '../../../origin/transcoder/lease-keeper.ts'
import { FakeClock } from '../../support/fake-clock.ts'

type Answer = LeaseAnswer | { outcome: 'error'; error: string }
const held: Answer = { outcome: 'held', epoch: 3, stop: false }

function keep(answers: Answer[]) {
  const clock = new FakeClock()
  const events: string[] = []
  const sent: LeaseRenewal[] = []
  const renewal = { epoch: 3 } as LeaseRenewal
  const keeper = new LeaseKeeper({
    liveId: 'demo',
    clock,
    log: silentLogger,
    client: {
      async renewLease(_liveId, it) {
        sent.push(it)
        return answers.shift() ?? held
      },
      async releaseLease() {},
    },
    renewal: () => renewal,
    onLost: (epoch) => events.push(`lost to ${epoch}`),
    onStop: () => events.push('stop'),
  })
  keeper.start()
  return { clock, events, sent, keeper, renewal }
}

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

test('does not take an answer to an older epoch for its own', async () => {
  const { clock, events, renewal, keeper } = keep([{ outcome: 'lost', epoch: 4, stop: false }])
  const answered = keeper.renew()
  renewal.epoch = 4
  Object.assign(renewal, { epoch: 4 })
  await answered
  await clock.advance(4_000)
  expect(events).toEqual(['lost to 4'])
})
