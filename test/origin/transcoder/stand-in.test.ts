// A transcoder that lets publishes in while the coordinator is away, over real HTTP where that matters.
import { createServer } from 'node:http'
import { beforeEach, expect, test } from 'vitest'
import { createClusterAuth } from '../../../common/cluster/cluster-auth.ts'
import { type StandInRequest, standInPath } from '../../../common/contract/stand-in.ts'
import { silentLogger } from '../../../common/log.ts'
import { listen } from '../../../common/net/listen.ts'
import { StandIn, type StandingBroadcast } from '../../../origin/transcoder/stand-in.ts'
import { FakeClock } from '../../support/fake-clock.ts'

const instance = '5a3ee1a8-6d5f-4c30-9a5e-2f2a34a4ad11'
const elsewhere = '5a3ee1a8-6d5f-4c30-9a5e-2f2a34a4ad12'
let clock: FakeClock
let auth: ReturnType<typeof createClusterAuth>
let standIn: StandIn
let running: StandingBroadcast | undefined
let isDraining: boolean
let lastEpoch: number

beforeEach(() => {
  clock = new FakeClock()
  auth = createClusterAuth('s'.repeat(40), clock)
  running = undefined
  isDraining = false
  lastEpoch = 0
  standIn = new StandIn({
    ...{ nodeId: 'tc-1', instance, auth, clock, log: silentLogger },
    urls: () => ({ rtmp: 'rtmp://tc-1.test/live', url: 'http://tc-1.test' }),
    standing: () => running,
    lastEpochOf: () => lastEpoch,
    isDraining: () => isDraining,
  })
})

function asked(connection: string, more: Partial<StandInRequest> = {}): StandInRequest {
  return {
    keyDigest: 'd'.repeat(64),
    gateway: 'gw-1',
    pop: 'pop-1',
    clientAddress: '192.0.2.7',
    connection: connection.padEnd(16, '-'),
    attempt: 1,
    nonce: `nonce-of-${connection}`.padEnd(16, '-'),
    liveId: 'demo',
    epoch: 4,
    record: true,
    ...more,
  }
}

async function granted(connection: string, more: Partial<StandInRequest> = {}) {
  const answer = await standIn.grant(asked(connection, more))
  if ('refused' in answer) throw new Error(answer.refused.code)
  return { ...answer.granted, ticket: await auth.verifyTicket(answer.granted.ticket) }
}

const nonceOf = (connection: string) => asked(connection).nonce
const adoptionOf = (connection: string | null, epoch = 4) =>
  standIn.adoptionOf('demo', { epoch, nonce: connection && nonceOf(connection) })
const letIn = (connection: string, epoch = 4) => {
  standIn.letIn('demo', { epoch, nonce: nonceOf(connection) })
  if (running) running = { ...running, connection: asked(connection).connection }
}

async function refused(connection: string, more: Partial<StandInRequest> = {}) {
  const answer = await standIn.grant(asked(connection, more))
  return 'refused' in answer ? answer.refused.code : undefined
}

function runs(epoch: number, more: Partial<StandingBroadcast> = {}): void {
  const facts = {
    broadcastId: '0190f8a2-7f4e-7c3a-9b1d-2f5e8a6c4d11',
    broadcastTag: 'abcdefgh12',
    startedAtMs: 12_000,
    isRecorded: false,
  }
  running = {
    epoch,
    facts,
    state: 'held',
    connection: 'first'.padEnd(16, '-'),
    before: [],
    takes: 3,
    ...more,
  }
}

test('a publisher of a broadcast that is held here joins it: same lease, same epoch', async () => {
  runs(4)
  const grant = await granted('second')
  expect(grant).toMatchObject({
    ...{ liveId: 'demo', epoch: 4, instance, broadcastId: running!.facts.broadcastId },
    transcoder: { id: 'tc-1', rtmp: 'rtmp://tc-1.test/live', url: 'http://tc-1.test' },
  })
  expect(grant.ticket).toMatchObject({
    ...{
      epoch: 4,
      takes: 3,
      record: false,
      broadcastTag: 'abcdefgh12',
      broadcastStartedAt: 12_000,
    },
    ...{ transcoder: 'tc-1', instance, connection: 'second----------' },
  })
  expect(adoptionOf('second')).toMatchObject({
    broadcastId: running!.facts.broadcastId,
    connection: 'second----------',
    replaced: [{ connection: 'first-----------', takenAtMs: null }],
  })
  expect(adoptionOf('second', 5)).toBeUndefined()
})

test('without one a broadcast begins one epoch above all that is known', async () => {
  const grant = await granted('first')
  expect(grant.epoch).toBe(5)
  expect(grant.ticket).toMatchObject({ takes: 0, record: true, broadcastStartedAt: clock.now() })
  runs(7)
  expect((await granted('other', { epoch: 9 })).epoch).toBe(10)
  lastEpoch = 12
  expect((await granted('third', { epoch: 11 })).epoch).toBe(13)
})

test('whoever comes before it has begun gets the same one, by whatever gateway', async () => {
  const first = await granted('first')
  const second = await granted('second', { gateway: 'gw-2' })
  expect([second.epoch, second.broadcastId]).toEqual([first.epoch, first.broadcastId])
  await clock.advance(60_000)
  expect((await granted('third')).epoch).toBe(first.epoch + 1)
})

test('no epoch is given twice: once a broadcast is over, the next one is above it', async () => {
  const first = await granted('first')
  standIn.over('demo', first.epoch)
  const second = await granted('second')
  expect(second.epoch).toBe(first.epoch + 1)
  expect(second.broadcastId).not.toBe(first.broadcastId)
})

test('a broadcast that somebody else has the epoch of is not joined', async () => {
  runs(4, { state: 'live' })
  expect((await granted('second', { instance: elsewhere })).epoch).toBe(5)
  runs(4, { state: 'live' })
  expect((await granted('third', { liveId: 'other', instance })).epoch).toBe(4)
})

test('the newest connection wins, and one that it replaced does not come back', async () => {
  runs(4, { state: 'live' })
  await granted('second', { attempt: 2 })
  expect(await refused('second', { attempt: 1 })).toBe('already-publishing')
  letIn('second')
  expect(await refused('first')).toBe('already-publishing')
  for (const connection of ['third', 'fourth']) {
    await granted(connection)
    letIn(connection)
  }
  expect(await refused('fifth')).toBe('takeover-too-often')
})

test('of all who came under the epoch, by whatever way, none comes back over the one who came last', async () => {
  const names = ['first', 'second', 'third'].map((it) => asked(it).connection)
  runs(4, { state: 'live', connection: names[2]!, before: names.slice(0, 2) })
  expect(await refused('first', { attempt: 2 })).toBe('already-publishing')
  await granted('fourth')
  expect(adoptionOf('fourth')!.replaced.map((it) => it.connection)).toEqual(names)
})

test('one who was granted and has not come replaces nobody, and is told of by its own renewal alone', async () => {
  runs(4, { state: 'live', connection: null })
  await granted('first')
  letIn('first')
  await granted('second')
  expect(adoptionOf('first')).toMatchObject({ connection: 'first-----------', replaced: [] })
  expect(adoptionOf(null)).toMatchObject({ connection: 'first-----------' })
  expect(await refused('first', { attempt: 2 })).toBeUndefined()
  const replaced = [{ connection: 'first-----------', takenAtMs: clock.now() }]
  expect(adoptionOf('second')).toMatchObject({ connection: 'second----------', replaced })
  expect(adoptionOf('somebody')).toBeUndefined()
  letIn('second')
  expect(adoptionOf(null)).toMatchObject({ connection: 'second----------', replaced })
})

test('what the coordinator has heard is told once, and what came after it stays to be told', async () => {
  runs(4)
  await granted('second')
  letIn('second')
  const told = adoptionOf('second')!
  await granted('third')
  letIn('third')
  standIn.told('demo', told)
  expect(adoptionOf('second')).toBeUndefined()
  const next = adoptionOf('third')!
  expect(next.connection).toBe('third-----------')
  expect(adoptionOf(null)).toEqual(next)
  standIn.told('demo', next)
  expect([adoptionOf('third'), adoptionOf(null)]).toEqual([undefined, undefined])
})

test('with the last one who came the coordinator has heard of those before it', async () => {
  runs(4)
  await granted('second')
  letIn('second')
  await granted('third')
  standIn.told('demo', adoptionOf('third')!)
  expect(adoptionOf('second')).toBeDefined()
  letIn('third')
  expect([adoptionOf('second'), adoptionOf(null)]).toEqual([undefined, undefined])
})

test('whoever came by the coordinator since is not followed by one who came without it and never sent', async () => {
  runs(4)
  await granted('second')
  letIn('second')
  running = { ...running!, connection: asked('third').connection }
  expect(adoptionOf(null)).toBeUndefined()
  await granted('fourth')
  expect(adoptionOf('fourth')!.replaced).toMatchObject([{ connection: 'third-----------' }])
})

test('whoever came by the coordinator between a grant and its use was before it, and stays so', async () => {
  runs(4, { state: 'live' })
  await granted('second')
  const [first, third] = ['first', 'third'].map((it) => asked(it).connection)
  running = { ...running!, connection: third!, before: [first!] }
  const before = [first, third]
  expect(adoptionOf('second')!.replaced.map((it) => it.connection)).toEqual(before)
  letIn('second')
  running = { ...running, before: [first!, third!] }
  expect(adoptionOf('second')!.replaced.map((it) => it.connection)).toEqual(before)
  expect(await refused('third')).toBe('already-publishing')
  await granted('fourth')
  expect(adoptionOf('fourth')!.replaced.map((it) => it.connection)).toEqual([
    ...before,
    asked('second').connection,
  ])
})

test('a node that drains begins nothing, and keeps what runs here', async () => {
  isDraining = true
  expect(await refused('first')).toBe('maintenance')
  runs(4)
  expect((await granted('second')).epoch).toBe(4)
  expect(await refused('third', { epoch: 5 })).toBe('maintenance')
})

test('only a gateway may ask, and for itself', async () => {
  const server = createServer((request, response) => void standIn.serve(request, response))
  const { port } = await listen(server, { host: '127.0.0.1', port: 0 })
  const ask = async (token: string | undefined, body: object) => {
    const answer = await fetch(`http://127.0.0.1:${port}${standInPath}`, {
      method: 'POST',
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      body: JSON.stringify(body),
    })
    return { status: answer.status, text: await answer.text() }
  }
  try {
    const gateway = await auth.issueNodeToken('gw-1', 'gateway')
    const ok = await ask(gateway, asked('first'))
    expect([ok.status, JSON.parse(ok.text).epoch]).toEqual([200, 5])
    isDraining = true
    const draining = await ask(gateway, asked('first', { attempt: 2 }))
    expect([draining.status, JSON.parse(draining.text).code]).toEqual([503, 'maintenance'])
    expect((await ask(gateway, asked('first', { gateway: 'gw-2' }))).status).toBe(400)
    expect((await ask(gateway, { liveId: 'demo' })).status).toBe(400)
    expect((await ask(gateway, asked('x'.repeat(70_000)))).status).toBe(400)
    const edge = await auth.issueNodeToken('gw-1', 'edge')
    expect((await ask(edge, asked('first'))).status).toBe(403)
    expect((await ask(undefined, asked('first'))).status).toBe(403)
  } finally {
    server.closeAllConnections()
    server.close()
  }
})
