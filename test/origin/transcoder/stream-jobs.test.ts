// The first gate of a transcoder: whom it lets in, and what it makes of what the coordinator answers.
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createClusterAuth } from '../../../common/cluster/cluster-auth.ts'
import type { LeaseOutcome } from '../../../common/cluster/coordinator-client.ts'
import type { LeaseRenewal, PublishTicket } from '../../../common/contract/placement.ts'
import { refusal } from '../../../common/contract/refusal.ts'
import { silentLogger } from '../../../common/log.ts'
import type { ResolvedTranscoderConfig } from '../../../config/load.ts'
import type { ReceivedStream } from '../../../origin/transcoder/rtmp-receiver.ts'
import { StreamJobs } from '../../../origin/transcoder/stream-jobs.ts'
import { FakeClock, settle } from '../../support/fake-clock.ts'
import { sourceOnly } from '../../support/relayed-stream.ts'
import { transcoderConfig } from '../../support/transcoder-rig.ts'
import { until } from '../../support/until.ts'

const secret = 's'.repeat(40)
const instance = '5a3ee1a8-6d5f-4c30-9a5e-2f2a34a4ad11'
const broadcastId = '0190f8a2-7f4e-7c3a-9b1d-2f5e8a6c4d11'
const otherBroadcast = '0190f8a2-7f4e-7c3a-9b1d-2f5e8a6c4d12'

let dir: string
let clock: FakeClock
let auth: ReturnType<typeof createClusterAuth>
let answer: LeaseOutcome
let renewals: LeaseRenewal[]
/** Epochs that have ended unheard. */
let overUpTo: number
let releasing: Promise<void> | undefined
let isDraining: boolean
let jobs: StreamJobs
let streams: FakeStream[]

const held = (epoch = 4): LeaseOutcome => ({ outcome: 'held', epoch, stop: false })

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nearcast-jobs-'))
  clock = new FakeClock()
  auth = createClusterAuth(secret, clock)
  answer = held()
  renewals = []
  overUpTo = 0
  releasing = undefined
  isDraining = false
  streams = []
  const cluster = { coordinator: 'http://127.0.0.1:9', secret }
  const config = transcoderConfig(dir, { cluster, maxStreams: 2, holdMs: 60_000 })
  jobs = new StreamJobs({
    ...{ nodeId: 'tc-1', instance, auth, clock, log: silentLogger, mediaFolder: dir },
    config: { ...config, ladder: sourceOnly } as ResolvedTranscoderConfig,
    ladder: () => sourceOnly,
    guard: { wrap: (command, args) => [command, [...args]], kinds: [] },
    lease: {
      isOver: (_liveId, epoch) => epoch <= overUpTo,
      async renewLease(_liveId, renewal) {
        renewals.push(renewal)
        return answer
      },
      async releaseLease() {
        await releasing
      },
    },
    resumes: { take: () => undefined },
    recordings: { resume: async () => undefined } as never,
    metrics: new Proxy({} as never, { get: () => () => {} }),
    isDraining: () => isDraining,
    letGo: () => {},
  })
})

afterEach(async () => {
  for (const { media } of streams) media.end()
  await jobs[Symbol.asyncDispose]()
  await rm(dir, { recursive: true })
})

interface FakeStream {
  media: PassThrough
  /** What its publisher was told. */
  refusals: string[]
}

/** A ticket, and the way in that shows it. */
async function attempt(connection: string, more: Partial<PublishTicket> = {}) {
  const nonce = `nonce-of-${connection}`
  const ticket = await auth.signTicket({
    ...{ liveId: 'demo', broadcastId, broadcastTag: 'abcdefgh12', broadcastStartedAt: clock.now() },
    ...{ epoch: 4, nonce, connection, transcoder: 'tc-1', instance, record: false, takes: 0 },
    ...more,
  })
  return { pipe: randomUUID(), name: nonce, ticket, address: '192.0.2.7' }
}

async function refused(connection: string, more: Partial<PublishTicket> = {}) {
  return (await jobs.decide(await attempt(connection, more)))?.code
}

/** It is let in, and its media comes. */
async function joins(connection: string, more: Partial<PublishTicket> = {}): Promise<FakeStream> {
  const way = await attempt(connection, more)
  expect(await jobs.decide(way)).toBeUndefined()
  const stream: FakeStream = { media: new PassThrough(), refusals: [] }
  streams.push(stream)
  jobs.onStream({
    pipe: way.pipe,
    media: stream.media as unknown as ReceivedStream['media'],
    firstReachedMs: undefined,
    hasUnpublished: () => false,
    refuse(why) {
      stream.refusals.push(why.code)
      stream.media.end()
    },
    drop: () => void stream.media.end(),
  })
  const liveId = more.liveId ?? 'demo'
  await until('the job', () => jobs.job(liveId)?.renewal().nonce === way.name)
  return stream
}

test('a ticket opens one publish, by its own name, at the process that it was made for', async () => {
  const way = await attempt('first')
  for (const wrong of [
    { ...way, ticket: 'nonsense' },
    { ...way, name: 'another' },
    await attempt('first', { transcoder: 'tc-2' }),
    await attempt('first', { instance: otherBroadcast }),
  ]) {
    expect((await jobs.decide(wrong))?.code).toBe('lease-lost')
  }
  expect(renewals).toEqual([])
  expect(await jobs.decide(way)).toBeUndefined()
  expect(await jobs.decide(way)).toMatchObject({ code: 'lease-lost' })
  expect(renewals).toMatchObject([{ epoch: 4, nonce: way.name, broadcastId, state: 'live' }])
})

test('a lower epoch than that of what runs opens nothing, and nobody is asked', async () => {
  await joins('first', { epoch: 5 })
  const asked = renewals.length
  expect(await refused('second', { epoch: 4 })).toBe('lease-lost')
  expect(renewals.length).toBe(asked)
})

test('one epoch carries one broadcast, until that has ended', async () => {
  const stream = await joins('first')
  const asked = renewals.length
  expect(await refused('second', { broadcastId: otherBroadcast })).toBe('lease-lost')
  expect(renewals.length).toBe(asked)
  expect(stream.refusals).toEqual([])
  const { promise, resolve } = Promise.withResolvers<void>()
  releasing = promise
  const ending = jobs.job('demo')!.end('stopped')
  expect(await refused('third', { broadcastId: otherBroadcast })).toBeUndefined()
  resolve()
  await ending
})

test('the next broadcast does not wait for the coordinator to hear of the end before it; the node does', async () => {
  await joins('first')
  const { promise, resolve } = Promise.withResolvers<void>()
  releasing = promise
  const ending = jobs.job('demo')!.end('stopped')
  const next = { epoch: 5, broadcastId: otherBroadcast }
  const stream = await joins('second', next)
  expect(jobs.job('demo')).toMatchObject({ ...next, state: 'receiving' })
  resolve()
  await ending
  expect(jobs.job('demo')).toMatchObject({ ...next, state: 'receiving' })
  expect(stream.refusals).toEqual([])

  const last = Promise.withResolvers<void>()
  releasing = last.promise
  void jobs.job('demo')!.end('stopped')
  await until('the last to be over', () => jobs.count === 0)
  let isOver = false
  const leaving = jobs.endAll().then(() => {
    isOver = true
  })
  await settle()
  expect(isOver).toBe(false)
  last.resolve()
  await leaving
})

test('an epoch whose broadcast has ended here unheard opens nothing, and the next one does', async () => {
  overUpTo = 4
  expect(await refused('first')).toBe('lease-lost')
  expect(renewals).toEqual([])
  expect(await refused('second', { epoch: 5 })).toBeUndefined()
})

test('beyond its most streams it takes publishers of those that it has', async () => {
  await joins('first')
  await joins('second', { liveId: 'other', broadcastId: otherBroadcast })
  expect(await refused('third', { liveId: 'third', broadcastId: randomUUID() })).toBe(
    'no-transcoder',
  )
  expect(await refused('fourth')).toBeUndefined()
})

test('a node that drains lets those in whose broadcast is here', async () => {
  await joins('first')
  isDraining = true
  expect(await refused('second')).toBeUndefined()
  expect(await refused('third', { epoch: 5 })).toBe('maintenance')
  expect(await refused('fourth', { liveId: 'other' })).toBe('maintenance')
})

test.each<[string, LeaseOutcome, string | undefined]>([
  ['held', held(), undefined],
  ['an error', { outcome: 'error', error: 'away' }, undefined],
  ['lost', { outcome: 'lost', epoch: 5, stop: false }, 'lease-lost'],
  ['stopped', { ...held(), stop: true } as LeaseOutcome, 'broadcast-stopped'],
  [
    'held by another',
    { outcome: 'held', epoch: 4, stop: false, refused: refusal('already-publishing') },
    'already-publishing',
  ],
  [
    'lost for the key',
    { outcome: 'lost', epoch: 5, stop: false, refused: refusal('key-revoked') },
    'key-revoked',
  ],
  [
    'stopped by a ban',
    { outcome: 'held', epoch: 4, stop: true, refused: refusal('channel-banned') },
    'channel-banned',
  ],
])('an answer that is %s', async (_what, its, code) => {
  answer = its
  expect(await refused('first')).toBe(code)
})

test('whom it refused it has not let in; of those whom it has, each is named', async () => {
  await joins('first')
  answer = { outcome: 'held', epoch: 4, stop: false, refused: refusal('already-publishing') }
  expect(await refused('refused')).toBe('already-publishing')
  answer = held()
  for (const connection of ['second', 'first', 'third']) await refused(connection)
  expect(jobs.standing('demo')).toMatchObject({
    ...{ epoch: 4, connection: 'third', before: ['second', 'first'] },
  })
})

test('one who is let in under the next epoch and never sends changes nothing of what runs, and the epoch is used', async () => {
  await joins('first')
  expect(await refused('second', { epoch: 5, broadcastId: otherBroadcast })).toBeUndefined()
  expect(jobs.standing('demo')).toMatchObject({ epoch: 4, connection: 'first', before: [] })
  expect(await refused('third')).toBeUndefined()
  expect(jobs.standing('demo')).toMatchObject({ epoch: 4, connection: 'third', before: ['first'] })
  expect(jobs.lastEpochOf('demo')).toBe(5)
})

test('a publisher who may not have the channel is told why, and the broadcast waits', async () => {
  const stream = await joins('first')
  answer = { outcome: 'held', epoch: 4, stop: false, refused: refusal('key-revoked') }
  await clock.advance(2_000)
  await settle()
  expect(stream.refusals).toEqual(['key-revoked'])
  expect(jobs.job('demo')!.state).toBe('held')
  answer = held()
  const next = await joins('second')
  await clock.advance(4_000)
  expect([jobs.job('demo')!.state, next.refusals]).toEqual(['receiving', []])
})
