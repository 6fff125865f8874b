// A coordinator that is back: it takes over what transcoders have let in without it, as far as its rows allow.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Adoption, PublishGrant } from '../../common/contract/placement.ts'
import { silentLogger } from '../../common/log.ts'
import { Adoptions } from '../../coordinator/adoptions.ts'
import { type Database, openDatabase } from '../../coordinator/database/database.ts'
import { LeaseStore } from '../../coordinator/lease-store.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { CoordinatorFixture, type FakeNode } from './coordinator-fixture.ts'
import { addChannel, keyDigest, liveId } from './lease-world.ts'

const broadcastId = '0190f8a2-7f4e-7c3a-9b1d-2f5e8a6c4d11'
let fixture: CoordinatorFixture
let gateway: FakeNode
let one: FakeNode
let two: FakeNode
let streamKey: string

beforeEach(async () => {
  fixture = await CoordinatorFixture.start()
  gateway = await fixture.node('gw-1', 'gateway')
  one = await fixture.node('tc-1', 'transcoder')
  two = await fixture.node('tc-2', 'transcoder')
  streamKey = await fixture.channel('demo')
})

afterEach(() => fixture[Symbol.asyncDispose]())

function adoption(more: Partial<Adoption> = {}, key = streamKey): Adoption {
  return {
    ...gateway.publishRequest(key),
    ...{ broadcastId, broadcastTag: 'abcdefgh12', broadcastStartedAt: 12_000, replaced: [] },
    ...more,
  }
}

const lease = () => fixture.coordinator.leaseStore.find('demo')
const outcome = async (node: FakeNode, epoch: number, adopt: Adoption) =>
  (await node.renew('demo', epoch, { adopt, nonce: adopt.nonce, broadcastId: adopt.broadcastId }))
    .body
/** Publishes through the coordinator, and is let in. */
async function live(connection = 'c'.repeat(16)): Promise<PublishGrant> {
  const nonce = 'n'.repeat(16)
  const grant = await gateway.granted(streamKey, null, { connection, nonce })
  await holderOf(grant).renew('demo', grant.epoch, { nonce })
  return grant
}

const holderOf = (grant: PublishGrant) => (grant.transcoder.id === one.id ? one : two)

test('a broadcast that began without it is taken over as it stands, with its first renewal', async () => {
  const adopt = adoption({ pop: 'pop-1' })
  expect(await outcome(one, 1, adopt)).toMatchObject({ outcome: 'held', epoch: 1 })
  expect(await lease()).toMatchObject({
    ...{ epoch: 1, instance: one.instance, transcoder: 'tc-1', broadcastId, state: 'live' },
    ...{ connection: adopt.connection, gateway: 'gw-1', pop: 'pop-1', startedAt: 12_000 },
    broadcastTag: 'abcdefgh12',
  })
  const { routes } = JSON.parse(await fixture.snapshot())
  expect(routes).toMatchObject([{ liveId: 'demo', epoch: 1, broadcastId, home: 'gw-1' }])
  const again = await gateway.granted(streamKey)
  expect([again.broadcastId, again.epoch]).toEqual([broadcastId, 1])
})

test('of two that claim one epoch the first to come has it, and the other has lost', async () => {
  await outcome(one, 1, adoption())
  const late = adoption({ broadcastId: '0190f8a2-7f4e-7c3a-9b1d-2f5e8a6c4d12' })
  expect(await outcome(two, 1, late)).toMatchObject({ outcome: 'lost', epoch: 1 })
  expect(await lease()).toMatchObject({ instance: one.instance, broadcastId })
})

test('a claim that is not above a row that somebody has come to is lost', async () => {
  const grant = await live()
  const other = holderOf(grant) === one ? two : one
  const before = await lease()
  expect(await outcome(other, grant.epoch, adoption())).toMatchObject({ outcome: 'lost' })
  expect(await lease()).toEqual(before)
})

test('a higher epoch ends what the row had, whose holder then hears that it has lost', async () => {
  const grant = await live()
  const former = holderOf(grant)
  const other = former === one ? two : one
  expect(await outcome(other, grant.epoch + 1, adoption())).toMatchObject({ outcome: 'held' })
  expect((await former.renew('demo', grant.epoch)).body).toMatchObject({ outcome: 'lost' })
  const { broadcasts } = await fixture.api<{ broadcasts: { endReason: string | null }[] }>(
    'GET',
    '/broadcasts',
  )
  expect(broadcasts.map(({ endReason }) => endReason).sort()).toEqual(['superseded', null].sort())
  // Its relay must not take the channel back.
  const back = await gateway.publish(streamKey, null, { connection: 'c'.repeat(16), attempt: 2 })
  expect(back).toMatchObject({ code: 'already-publishing' })
})

test('an answer to a publish that came too late leaves one broadcast to an epoch: the one that somebody came to', async () => {
  const late = await gateway.granted(streamKey)
  const holder = holderOf(late)
  const { epoch } = late
  const begun = adoption()
  expect(await outcome(holder, epoch, begun)).toMatchObject({ outcome: 'held', stop: false })
  expect(await lease()).toMatchObject({
    ...{ epoch, instance: holder.instance, broadcastId, broadcastTag: 'abcdefgh12' },
    ...{ connection: begun.connection, nonce: begun.nonce },
  })
  const { broadcastId: ended } = late
  expect((await holder.renew('demo', epoch, { broadcastId: ended })).body).toMatchObject({
    ...{ outcome: 'lost', epoch },
  })
  expect((await gateway.granted(streamKey)).broadcastId).toBe(broadcastId)
})

test('an answer that came too late, and placed it elsewhere, gives way to the claim that runs', async () => {
  const nonce = 'n'.repeat(16)
  const late = await gateway.granted(streamKey, null, { nonce })
  const other = holderOf(late) === one ? two : one
  const { epoch } = late
  const begun = adoption()
  expect(await outcome(other, epoch, begun)).toMatchObject({ outcome: 'held', epoch, stop: false })
  expect(await lease()).toMatchObject({
    ...{ epoch, instance: other.instance, broadcastId, waiting: [], replaced: [] },
    ...{ connection: begun.connection, nonce: begun.nonce, state: 'live' },
  })
  expect((await holderOf(late).renew('demo', epoch, { nonce })).body).toMatchObject({
    ...{ outcome: 'lost', epoch },
  })
  const { broadcasts } = await fixture.api<{ broadcasts: { id: string }[] }>('GET', '/broadcasts')
  expect(broadcasts.map(({ id }) => id)).toEqual([broadcastId])
  // The first claim has it now: another one is lost, as always.
  const second = adoption({ broadcastId: '0190f8a2-7f4e-7c3a-9b1d-2f5e8a6c4d12' })
  expect(await outcome(holderOf(late), epoch, second)).toMatchObject({ outcome: 'lost' })
})

test('so does one that moved a broadcast to where nobody has come, unless the operator has ended it', async () => {
  const first = await live()
  const former = holderOf(first)
  const away = { epoch: first.epoch, instance: former.instance }
  const again = { connection: 'c'.repeat(16), attempt: 2, away }
  const late = await gateway.granted(streamKey, null, again)
  const { epoch } = late
  expect([late.broadcastId, epoch]).toEqual([first.broadcastId, first.epoch + 1])
  await fixture.api('DELETE', '/streams/demo')
  const before = await lease()
  const begun = adoption({ connection: 'c'.repeat(16), attempt: 2 })
  expect(await outcome(former, epoch, begun)).toMatchObject({ outcome: 'lost' })
  expect(await lease()).toEqual(before)

  const other = await fixture.channel('other')
  const moved = await gateway.granted(other)
  const holder = holderOf(moved)
  await holder.renew('other', moved.epoch)
  const next = { away: { epoch: moved.epoch, instance: holder.instance } }
  expect((await gateway.granted(other, null, next)).epoch).toBe(moved.epoch + 1)
  const claim = adoption({}, other)
  const renewal = { adopt: claim, nonce: claim.nonce, broadcastId }
  const { body } = await holder.renew('other', moved.epoch + 1, renewal)
  expect(body).toMatchObject({ outcome: 'held', stop: false })
  expect(await fixture.coordinator.leaseStore.find('other')).toMatchObject({
    ...{ broadcastId, instance: holder.instance, connection: claim.connection },
  })
})

test('a claim that is over takes the channel from nobody, and is remembered', async () => {
  const grant = await live()
  const holder = holderOf(grant)
  const other = holder === one ? two : one
  const before = await lease()
  const over = { ...adoption(), isOver: true }
  const renewal = { adopt: over, nonce: null, broadcastId, state: 'held' as const, takes: 2 }
  expect((await other.renew('demo', grant.epoch + 1, renewal)).body).toMatchObject({
    outcome: 'lost',
  })
  await other.release('demo', grant.epoch + 1, 'publisher-left')
  expect(await lease()).toEqual(before)
  expect((await holder.renew('demo', grant.epoch)).body).toMatchObject({ outcome: 'held' })
  const { broadcasts } = await fixture.api<{ broadcasts: { id: string; endReason: string }[] }>(
    'GET',
    '/broadcasts',
  )
  expect(broadcasts.find(({ id }) => id === broadcastId)).toMatchObject({
    ...{ endReason: 'superseded', takes: 2, startedAt: new Date(12_000).toISOString() },
  })
})

test('nor does it from where somebody is about to come', async () => {
  const nonce = 'n'.repeat(16)
  const placed = await gateway.granted(streamKey, null, { nonce })
  const holder = holderOf(placed)
  const over = { ...adoption(), isOver: true }
  const renewal = { adopt: over, nonce: null, broadcastId, state: 'held' as const }
  await (holder === one ? two : one).renew('demo', placed.epoch, renewal)
  expect((await holder.renew('demo', placed.epoch, { nonce })).body).toMatchObject({
    outcome: 'held',
  })
})

test('where nobody has the channel a claim that is over is taken over, and ends', async () => {
  const over = { ...adoption(), isOver: true }
  const renewal = { adopt: over, nonce: null, broadcastId, state: 'held' as const, takes: 2 }
  expect((await one.renew('demo', 3, renewal)).body).toMatchObject({ outcome: 'held' })
  await one.release('demo', 3, 'publisher-left')
  const { broadcasts } = await fixture.api<{ broadcasts: object[] }>('GET', '/broadcasts')
  expect(broadcasts).toMatchObject([{ id: broadcastId, endReason: 'publisher-left', takes: 2 }])
  expect((await gateway.granted(streamKey)).epoch).toBe(4)
})

test('one that nobody begins any more at that epoch, as somebody came to the other, has lost', async () => {
  const grant = await live()
  expect(await outcome(holderOf(grant), grant.epoch, adoption())).toMatchObject({
    outcome: 'lost',
  })
  expect(await lease()).toMatchObject({ broadcastId: grant.broadcastId })
})

test('a publisher who came back without it is bound to the lease that stands', async () => {
  const grant = await live()
  const holder = holderOf(grant)
  const replaced = [{ connection: 'c'.repeat(16), takenAtMs: null }]
  const adopt = adoption({ broadcastId: grant.broadcastId, gateway: 'gw-2', replaced })
  expect(await outcome(holder, grant.epoch, adopt)).toMatchObject({ outcome: 'held' })
  expect(await lease()).toMatchObject({
    ...{ epoch: grant.epoch, broadcastId: grant.broadcastId },
    ...{ connection: adopt.connection, nonce: adopt.nonce, gateway: 'gw-2' },
    replaced: [{ connection: 'c'.repeat(16), takenAtMs: fixture.clock.now() }],
  })
})

test('a connection that has come through it since stays', async () => {
  const grant = await live('d'.repeat(16))
  const before = await lease()
  const adopt = adoption({ broadcastId: grant.broadcastId })
  expect(await outcome(holderOf(grant), grant.epoch, adopt)).toMatchObject({
    ...{ outcome: 'held', stop: false, refused: { code: 'already-publishing' } },
  })
  expect((await lease())!.connection).toBe(before!.connection)
})

test('who had a broadcast before it moved is older than whoever has come since', async () => {
  const first = await live()
  const away = { epoch: first.epoch, instance: first.instance }
  const second = { connection: 'd'.repeat(16), nonce: 'm'.repeat(16) }
  const moved = await gateway.granted(streamKey, null, { ...second, away })
  expect(moved.epoch).toBe(first.epoch + 1)
  const replaced = [{ connection: second.connection, takenAtMs: null }]
  const adopt = adoption({ broadcastId: first.broadcastId, replaced })
  const answer = await outcome(holderOf(moved), moved.epoch, adopt)
  expect([answer.outcome, answer.refused]).toEqual(['held', undefined])
  expect(await lease()).toMatchObject({ epoch: moved.epoch, connection: adopt.connection })
})

test('so it is once its transcoder has renewed without anybody', async () => {
  const first = await live()
  const away = { epoch: first.epoch, instance: first.instance }
  const second = { connection: 'd'.repeat(16), nonce: 'm'.repeat(16) }
  const moved = await gateway.granted(streamKey, null, { ...second, away })
  const holder = holderOf(moved)
  // The second has come and gone unheard.
  await holder.renew('demo', moved.epoch, { nonce: null, state: 'held', takes: 1 })
  const replaced = [{ connection: second.connection, takenAtMs: null }]
  const adopt = adoption({ broadcastId: first.broadcastId, replaced })
  const answer = await outcome(holder, moved.epoch, adopt)
  expect([answer.outcome, answer.refused]).toEqual(['held', undefined])
  expect(await lease()).toMatchObject({ epoch: moved.epoch, connection: adopt.connection })
  const late = adoption({ broadcastId: first.broadcastId, connection: 'e'.repeat(16) })
  expect((await outcome(holder, moved.epoch, late)).refused?.code).toBe('already-publishing')
})

test('a key that was revoked takes nothing over, and refuses whoever came back by it, and nobody else', async () => {
  const grant = await live()
  await fixture.api('POST', '/channels/demo/keys/rotate', {})
  const replaced = [{ connection: 'c'.repeat(16), takenAtMs: null }]
  const back = adoption({ broadcastId: grant.broadcastId, replaced })
  expect(await outcome(holderOf(grant), grant.epoch, back)).toMatchObject({
    ...{ outcome: 'held', stop: false, refused: { code: 'key-revoked' } },
  })
  expect((await holderOf(grant).renew('demo', grant.epoch)).body).toMatchObject({ stop: false })
  expect(await lease()).toMatchObject({ connection: 'c'.repeat(16) })
  expect(await outcome(one, grant.epoch + 1, adoption())).toMatchObject({
    ...{ outcome: 'lost', refused: { code: 'key-revoked' } },
  })
  const other = await fixture.channel('other')
  expect(await outcome(one, grant.epoch + 1, adoption({}, other))).toMatchObject({
    ...{ outcome: 'lost', refused: { code: 'key-unknown' } },
  })
})

test('a key that was revoked does not come in past a publisher whose media never came', async () => {
  const grant = await live('d'.repeat(16))
  await fixture.api('POST', '/channels/demo/keys/rotate', {})
  const replaced = [{ connection: 'c'.repeat(16), takenAtMs: null }]
  const adopt = adoption({ broadcastId: grant.broadcastId, replaced })
  expect(await outcome(holderOf(grant), grant.epoch, adopt)).toMatchObject({
    ...{ outcome: 'held', refused: { code: 'key-revoked' } },
  })
})

test('a ban ends what came back without it, and says so', async () => {
  const grant = await live()
  await fixture.api('POST', '/channels/demo/ban')
  const replaced = [{ connection: 'c'.repeat(16), takenAtMs: null }]
  const adopt = adoption({ broadcastId: grant.broadcastId, replaced })
  expect(await outcome(holderOf(grant), grant.epoch, adopt)).toMatchObject({
    ...{ outcome: 'held', stop: true, refused: { code: 'channel-banned' } },
  })
})

test('a ban that comes while a claim is written down counts', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'nearcast-adoptions-'))
  const clock = new FakeClock()
  const database = await openDatabase(join(dir, 'coordinator.db'), clock)
  try {
    await addChannel(database)
    const leases = new LeaseStore(database, { leaseTtlMs: 6_000, holdMs: 60_000 })
    const ban = () => database.db.updateTable('channels').set({ banned_at: clock.now() }).execute()
    const durably: Database['durably'] = async (work) => {
      await ban()
      return database.durably(work)
    }
    const adoptions = new Adoptions({
      database: { ...database, durably },
      ...{ leases, log: silentLogger },
    })
    const adopt = { ...adoption(), keyDigest }
    const facts = { video: null, audio: null, renditions: [], takes: 0, cost: 0 }
    const { instance } = one
    const renewal = { ...facts, epoch: 1, instance, nonce: adopt.nonce, state: 'live' as const }
    expect(await adoptions.adopt('tc-1', liveId, { ...renewal, adopt })).toMatchObject({
      code: 'channel-banned',
    })
    expect(await leases.epochOf(liveId)).toBe(0)
  } finally {
    await database[Symbol.asyncDispose]()
    await rm(dir, { recursive: true })
  }
})

test('one that the row has replaced is not let in, and who has the channel keeps it', async () => {
  const grant = await live()
  const nonce = 'm'.repeat(16)
  await gateway.granted(streamKey, null, { connection: 'd'.repeat(16), nonce })
  await holderOf(grant).renew('demo', grant.epoch, { nonce })
  const replaced = [{ connection: 'd'.repeat(16), takenAtMs: null }]
  const { broadcastId } = grant
  const adopt = adoption({ broadcastId, connection: 'c'.repeat(16), attempt: 2, replaced })
  expect(await outcome(holderOf(grant), grant.epoch, adopt)).toMatchObject({
    ...{ outcome: 'held', stop: false, refused: { code: 'already-publishing' } },
  })
  expect(await lease()).toMatchObject({ connection: 'd'.repeat(16), waiting: [] })
})

test('one that goes on after the row was rolled back is the same broadcast still', async () => {
  await outcome(one, 1, adoption())
  await one.release('demo', 1, 'publisher-left')
  expect(await outcome(one, 2, adoption())).toMatchObject({ outcome: 'held' })
  expect(await outcome(two, 3, adoption())).toMatchObject({ outcome: 'held' })
  expect(await lease()).toMatchObject({ broadcastId, epoch: 3, instance: two.instance })
})

test.each([
  ['restarted', () => fixture.restart()],
  ['frozen', () => fixture.clock.standStill(5_000)],
])(
  'until transcoders have told what they let in, a coordinator that was %s begins no broadcast',
  async (_how, away) => {
    await away()
    expect(await gateway.publish(streamKey)).toMatchObject({ code: 'coordinator-away' })
    await fixture.clock.advance(4_000)
    const next = await fixture.channel('next')
    expect(await gateway.publish(next)).toMatchObject({ code: 'coordinator-away' })
    await outcome(one, 1, adoption())
    expect(await gateway.granted(streamKey)).toMatchObject({ broadcastId, epoch: 1 })
    await fixture.clock.advance(2_000)
    await one.beat()
    expect(await gateway.granted(next)).toMatchObject({ epoch: 1 })
  },
)
