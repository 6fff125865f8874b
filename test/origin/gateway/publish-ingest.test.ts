// A gateway between an edge and two transcoders, all on loopback; the test answers for the coordinator.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import type {
  BandwidthReport,
  BandwidthTestRequest,
} from '../../../common/contract/bandwidth-test.ts'
import type { PublishGrant, PublishRequest } from '../../../common/contract/placement.ts'
import type { Progress } from '../../../common/contract/progress.ts'
import {
  type Refusal,
  type RefusalCode,
  refusal,
  statusDescription,
} from '../../../common/contract/refusal.ts'
import { silentLogger } from '../../../common/log.ts'
import { Metrics } from '../../../common/metrics.ts'
import { BandwidthTests } from '../../../common/relay/bandwidth-tests.ts'
import { RelayHost } from '../../../common/relay/relay-host.ts'
import { digestOfKey } from '../../../common/relay/stream-key.ts'
import { GatewayIngest } from '../../../origin/gateway/publish-ingest.ts'
import { PublisherDoor } from '../../support/publisher-door.ts'
import { routeTo } from '../../support/routes.ts'
import { RtmpTestClient } from '../../support/rtmp-client.ts'
import { broadcast, rtmpMedia } from '../../support/rtmp-media.ts'
import { RtmpSink } from '../../support/rtmp-sink.ts'
import { ScriptedProgress } from '../../support/scripted-progress.ts'
import { until } from '../../support/until.ts'

const ofEdge = 'key-1?connection=abcdefghijklmnop&attempt=3&age=5000'
let stack: AsyncDisposableStack
let progress: ScriptedProgress
let door: PublisherDoor
let ingest: GatewayIngest
let pop: string | null
let asked: PublishRequest[]
let askedTests: BandwidthTestRequest[]
let reports: (BandwidthReport & { id: string })[]
let refused: Refusal[]
let tellers: Map<string, () => Progress | undefined>
let standIn: { granted: PublishGrant } | undefined
let stoodIn: PublishRequest[]
let answers: ({ granted: PublishGrant } | { refused: ReturnType<typeof refusal> })[]

beforeEach(async () => {
  stack = new AsyncDisposableStack()
  progress = new ScriptedProgress()
  pop = 'pop-1'
  asked = []
  askedTests = []
  reports = []
  refused = []
  tellers = new Map()
  answers = []
  standIn = undefined
  stoodIn = []
  const limits = { publishTimeoutMs: 5_000, idleTimeoutMs: 8_000 }
  const relays = new RelayHost({
    limits,
    refusalMemoryMs: 15_000,
    isRelayed: true,
    isDraining: () => false,
    clock: systemClock,
    log: silentLogger,
    metrics: new Metrics('gateway', 'gw-1', '0'),
  })
  ingest = new GatewayIngest({
    gatewayId: 'gw-1',
    config: { ingest: { ...limits, firstByteTimeoutMs: 5_000, connectTimeoutMs: 2_000 } },
    relays,
    coordinator: {
      publish: async (request) => {
        asked.push(request)
        return answers.shift() ?? { refused: refusal('coordinator-away') }
      },
      beginBandwidthTest: async (request) => {
        askedTests.push(request)
        return askedTests.length > 1
          ? { refused: refusal('key-revoked') }
          : { granted: { liveId: 'live-1' } }
      },
    },
    standIns: {
      publish: async (request) => {
        stoodIn.push(request)
        return standIn
      },
    },
    tests: new BandwidthTests({
      clock: systemClock,
      refusalMemoryMs: 15_000,
      report: async (id, report) => void reports.push({ id, ...report }),
    }),
    onRefused: (_keyDigest, reason) => void refused.push(reason),
    progressOf: progress.of,
    progress: {
      tell: (connection, told) => {
        tellers.set(connection, told)
        return { [Symbol.dispose]: () => void tellers.delete(connection) }
      },
    },
    clock: systemClock,
  })
  door = stack.use(
    new PublisherDoor((socket) => ingest.handle(socket, { clientAddress: '192.0.2.7', pop })),
  )
  await door.listen()
  stack.use(relays)
})

afterEach(() => stack.disposeAsync())

async function transcoder() {
  const sink = stack.use(new RtmpSink())
  return { sink, port: await sink.listen() }
}

/** Refuses every publish before its start. */
async function refusing(code: RefusalCode) {
  const description = statusDescription(refusal(code))
  const status = { level: 'error' as const, code: 'NetStream.Publish.Failed', description }
  const sink = stack.use(new RtmpSink({ refuse: () => status }))
  return { sink, port: await sink.listen() }
}

function grant(epoch: number, port: number): { granted: PublishGrant } {
  return {
    granted: {
      liveId: 'live-1',
      broadcastId: crypto.randomUUID(),
      epoch,
      instance: crypto.randomUUID(),
      transcoder: {
        id: `tc-${epoch}`,
        rtmp: `rtmp://127.0.0.1:${port}/live`,
        url: `http://tc-${epoch}`,
      },
      ticket: `ticket-${epoch}`,
    },
  }
}

const queryOf = (sink: RtmpSink) => new URLSearchParams(sink.connections[0]?.query)

describe('a gateway', () => {
  test('asks for another transcoder when one is lost, and hands in again what that one held', async () => {
    const [first, second] = [await transcoder(), await transcoder()]
    const [one, two] = [grant(1, first.port), grant(2, second.port)]
    answers.push(one, two)
    await using client = await RtmpTestClient.publish(door.url, ofEdge)
    const messages = broadcast(4)
    for (const message of messages) client.send(message)
    await first.sink.until(([hop]) => hop?.media.length === messages.length)
    expect(asked[0]).toMatchObject({ connection: 'abcdefghijklmnop', attempt: 3, pop: 'pop-1' })
    expect(asked[0]?.away).toBeUndefined()
    expect(queryOf(first.sink).get('age')).toBe('5000')
    progress.say('http://tc-1', 'abcdefghijklmnop', { takenMs: 7_000, neededMs: 4_000 })

    await first.sink[Symbol.asyncDispose]()
    const next = rtmpMedia.keyframe(8_000)
    client.send(next)
    await second.sink.until(([hop]) => hop?.media.at(-1)?.timestampMs === 8_000)
    const { epoch, instance } = one.granted
    expect(asked[1]).toMatchObject({
      connection: 'abcdefghijklmnop',
      attempt: 3,
      away: { epoch, instance },
    })
    expect(asked[1]?.nonce).not.toBe(asked[0]?.nonce)
    const [there] = second.sink.connections
    expect(there?.name).toBe(asked[1]?.nonce)
    expect(queryOf(second.sink).get('ticket')).toBe('ticket-2')
    const needed = messages.slice(3).filter(({ timestampMs }) => timestampMs >= 4_000)
    expect(there?.media.slice(3)).toEqual([...needed, next])
    expect(client.isClosed).toBe(false)
  })

  test('tells the edge that it has what came, and what is still needed', async () => {
    const { sink, port } = await transcoder()
    answers.push(grant(7, port))
    await using client = await RtmpTestClient.publish(door.url, ofEdge)
    for (const message of broadcast(4)) client.send(message)
    const told = () => tellers.get('abcdefghijklmnop')?.()
    await until('progress before the transcoder has said any', () => told()?.takenMs === 7_510)
    expect(told()).toEqual({
      liveId: 'live-1',
      epoch: 7,
      takenMs: 7_510,
      neededMs: 0,
    })
    progress.say('http://tc-7', 'abcdefghijklmnop', { takenMs: 7_000, neededMs: 2_000 })
    await until('what the transcoder needs', () => told()?.neededMs === 2_000)
    await client.leave()
    await sink.until(([hop]) => hop?.unpublished === true)
    expect(progress.watched).toBe(0)
    expect(tellers.size).toBe(0)
  })

  test('moves a publisher when its transcoder is taken out of service', async () => {
    const [first, second] = [await transcoder(), await transcoder()]
    answers.push(grant(1, first.port), grant(2, second.port))
    await using client = await RtmpTestClient.publish(door.url, ofEdge)
    for (const message of broadcast(4)) client.send(message)
    await first.sink.until(([hop]) => hop!.media.length > 0)
    const route = routeTo('live-1', { id: 'tc-1', url: 'http://tc-1' })
    const moving = { ...route, connection: 'abcdefghijklmnop', isMoving: true }
    ingest.update({
      routes: [
        { ...moving, epoch: 7 },
        { ...moving, connection: null },
      ],
    })
    expect(asked).toHaveLength(1)
    ingest.update({ routes: [moving] })
    await second.sink.until(([hop]) => hop?.media.at(-1)?.timestampMs === 7_510)
    expect(asked[1]?.away).toBeUndefined()
    await first.sink.until(([hop]) => hop!.closed)
    expect(first.sink.connections[0]!.unpublished).toBe(false)
    expect(client.isClosed).toBe(false)
  })

  test('ends no publish for an edge that leaves without a word: it goes on over another gateway', async () => {
    const { sink, port } = await transcoder()
    answers.push(grant(1, port))
    await using client = await RtmpTestClient.publish(door.url, ofEdge)
    for (const message of broadcast(4)) client.send(message)
    await sink.until(([hop]) => hop!.media.length > 0)
    client.socket.destroy()
    await sink.until(([hop]) => hop!.closed)
    expect(sink.connections[0]!.unpublished).toBe(false)
  })

  test('does not ask again for a transcoder that cannot be reached', async () => {
    const [first, gone, second] = [await transcoder(), await transcoder(), await transcoder()]
    await gone.sink[Symbol.asyncDispose]()
    const [one, two, three] = [grant(1, first.port), grant(2, gone.port), grant(3, second.port)]
    answers.push(one, two, { refused: refusal('coordinator-away') }, three)
    await using client = await RtmpTestClient.publish(door.url, ofEdge)
    for (const message of broadcast(1)) client.send(message)
    await first.sink.until(([hop]) => hop?.media.length === broadcast(1).length)
    await first.sink[Symbol.asyncDispose]()
    await second.sink.until(([hop]) => (hop?.media.length ?? 0) > 0)
    const { epoch, instance } = two.granted
    expect(asked.slice(2).map(({ away }) => away)).toEqual([
      { epoch, instance },
      { epoch, instance },
    ])
    expect(client.isClosed).toBe(false)
  })

  test('goes on with a transcoder that stands in for the coordinator, and only while that is away', async () => {
    const [first, second] = [await transcoder(), await transcoder()]
    standIn = grant(1, first.port)
    await using client = await RtmpTestClient.publish(door.url, ofEdge)
    expect(stoodIn).toEqual(asked)
    expect(first.sink.connections[0]?.name).toBe(asked[0]?.nonce)
    for (const message of broadcast(1)) client.send(message)
    answers.push({ refused: refusal('no-transcoder') }, grant(2, second.port))
    await first.sink[Symbol.asyncDispose]()
    await second.sink.until(([hop]) => (hop?.media.length ?? 0) > 0)
    expect(stoodIn).toHaveLength(1)
  })

  test('lets a publisher try again where nobody stands in', async () => {
    await using client = await RtmpTestClient.publish(door.url, ofEdge)
    expect(client.isStarted).toBe(false)
    expect(client.statuses.at(-1)).toMatchObject({
      code: 'NetStream.Publish.Failed',
      description: expect.stringContaining('(coordinator-away)'),
    })
  })

  test('asks for another transcoder before the start too, and the publisher does not notice', async () => {
    const [gone, full, free] = [await transcoder(), await refusing('node-full'), await transcoder()]
    await gone.sink[Symbol.asyncDispose]()
    const [one, two, three] = [grant(1, gone.port), grant(2, full.port), grant(3, free.port)]
    answers.push(one, two, three)
    await using client = await RtmpTestClient.publish(door.url, ofEdge)
    expect(client.isStarted).toBe(true)
    const holders = [one, two].map(({ granted: { epoch, instance } }) => ({ epoch, instance }))
    expect(asked.map(({ away }) => away)).toEqual([undefined, ...holders])
    expect(asked.map(({ attempt }) => attempt)).toEqual([3, 3, 3])
    expect(queryOf(free.sink).get('age')).toBe('5000')
    for (const message of broadcast(1)) client.send(message)
    await free.sink.until(([hop]) => hop?.media.length === broadcast(1).length)
    // Those that had no room then may have some now.
    answers.push(grant(4, free.port))
    const route = routeTo('live-1', { id: 'tc-3', url: 'http://tc-3' })
    const moving = { ...route, connection: 'abcdefghijklmnop', isMoving: true, epoch: 3 }
    ingest.update({ routes: [moving] })
    await free.sink.until((hops) => hops.length === 2)
    expect(asked[3]?.away).toBeUndefined()
  })

  test.each<[string, () => Promise<(typeof answers)[number][]>, RefusalCode, number]>([
    [
      'after three transcoders that have no room',
      async () => {
        const { port } = await refusing('no-transcoder')
        return [1, 2, 3, 4].map((epoch) => grant(epoch, port))
      },
      'no-transcoder',
      3,
    ],
    [
      'when the same one is named again',
      async () => {
        const one = grant(1, (await refusing('maintenance')).port)
        return [one, one]
      },
      'no-transcoder',
      2,
    ],
    [
      'on a verdict that holds everywhere',
      async () => [grant(1, (await refusing('input-quarantined')).port)],
      'input-quarantined',
      1,
    ],
  ])('asks no more %s', async (_name, given, code, times) => {
    answers.push(...(await given()))
    await using client = await RtmpTestClient.publish(door.url, ofEdge)
    expect(client.statuses[0]?.description).toContain(`(${code})`)
    expect(asked).toHaveLength(times)
  })

  test('owns the connection of a publisher that comes without an edge', async () => {
    pop = null
    const { port } = await transcoder()
    answers.push(grant(1, port))
    await using _client = await RtmpTestClient.publish(door.url, ofEdge)
    expect(asked[0]).toMatchObject({ attempt: 1, pop: null })
    expect(asked[0]?.connection).not.toBe('abcdefghijklmnop')
  })
})

describe('a bandwidth test at a gateway', () => {
  test('has its key checked, is measured, and is placed nowhere', async () => {
    await using client = await RtmpTestClient.publish(door.url, `${ofEdge}&bandwidthtest=true`)
    const messages = broadcast(4)
    for (const message of messages) client.send(message)
    await client.leave()
    await until('the report', () => reports.length > 0)
    expect(client.statuses).toEqual([expect.objectContaining({ level: 'status' })])
    expect(asked).toEqual([])
    expect(askedTests).toEqual([
      {
        keyDigest: digestOfKey('key-1'),
        gateway: 'gw-1',
        pop: 'pop-1',
        clientAddress: '192.0.2.7',
        connection: 'abcdefghijklmnop',
      },
    ])
    const sentBytes = messages.reduce((sum, { payload }) => sum + payload.length, 0)
    const [report] = reports as [(typeof reports)[0]]
    expect(report).toMatchObject({ id: 'abcdefghijklmnop', end: 'left' })
    expect(report.measure.bytes).toBeGreaterThan(sentBytes)
  })

  test('is refused as a publish would be', async () => {
    askedTests.push({} as BandwidthTestRequest)
    await using client = await RtmpTestClient.publish(door.url, `${ofEdge}&bandwidthtest=true`)
    expect(client.statuses[0]?.description).toContain('(key-revoked)')
    expect(reports).toEqual([])
  })
})

test.each([
  ['is told by its edge', 'pop-1', []],
  ['that came without one is told by the gateway', null, ['coordinator-away']],
])('a refusal of a publisher %s', async (_name, via, codes) => {
  pop = via
  await using client = await RtmpTestClient.publish(door.url, 'key-1')
  expect(client.statuses).toHaveLength(1)
  expect(refused.map(({ code }) => code)).toEqual(codes)
})
