// An edge between an encoder and two gateways, all on loopback: the encoder notices nothing when a gateway goes.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import type { BandwidthReport } from '../../../common/contract/bandwidth-test.ts'
import type { NodeInfo } from '../../../common/contract/membership.ts'
import {
  type Refusal,
  refusal,
  statusCodeOf,
  statusDescription,
} from '../../../common/contract/refusal.ts'
import { silentLogger } from '../../../common/log.ts'
import { Metrics } from '../../../common/metrics.ts'
import { BandwidthTests } from '../../../common/relay/bandwidth-tests.ts'
import { RelayHost } from '../../../common/relay/relay-host.ts'
import { digestOfKey } from '../../../common/relay/stream-key.ts'
import { GatewayPicker } from '../../../edge/ingest/gateway-picker.ts'
import { PublishIngest } from '../../../edge/ingest/publish-ingest.ts'
import type { MediaMessage } from '../../../media/rtmp/message.ts'
import { PublisherDoor } from '../../support/publisher-door.ts'
import { RtmpTestClient } from '../../support/rtmp-client.ts'
import { broadcast, rtmpMedia } from '../../support/rtmp-media.ts'
import { RtmpSink, type RtmpSinkOptions } from '../../support/rtmp-sink.ts'
import { ScriptedProgress } from '../../support/scripted-progress.ts'
import { until } from '../../support/until.ts'

let stack: AsyncDisposableStack
let gateways: GatewayPicker
let progress: ScriptedProgress
let door: PublisherDoor
let metrics: Metrics
let reports: (BandwidthReport & { id: string })[]
let refused: (Refusal & { keyDigest: string })[]

beforeEach(async () => {
  stack = new AsyncDisposableStack()
  metrics = new Metrics('edge', 'pop-1', '0')
  progress = new ScriptedProgress()
  reports = []
  refused = []
  gateways = new GatewayPicker({ clock: systemClock, allowPlain: true })
  const timeouts = { publishTimeoutMs: 5_000, idleTimeoutMs: 8_000 }
  const relays = new RelayHost({
    limits: timeouts,
    refusalMemoryMs: 15_000,
    isDraining: () => false,
    clock: systemClock,
    log: silentLogger,
    metrics,
  })
  const ingest = new PublishIngest({
    popId: 'pop-1',
    config: {
      ingest: {
        ...timeouts,
        firstByteTimeoutMs: 5_000,
        refusalMemoryMs: 15_000,
        maxConnections: 10,
      },
      upstream: { connectTimeoutMs: 2_000 },
    } as ConstructorParameters<typeof PublishIngest>[0]['config'],
    relays,
    gateways,
    tests: new BandwidthTests({
      clock: systemClock,
      refusalMemoryMs: 15_000,
      report: async (id, report) => void reports.push({ id, ...report }),
    }),
    onRefused: (keyDigest, reason) => void refused.push({ keyDigest, ...reason }),
    progressOf: progress.of,
    nodeToken: async () => 'a-token',
    clock: systemClock,
  })
  door = stack.use(
    new PublisherDoor((socket) => {
      const { remoteAddress = '', remotePort = 0, localAddress = '', localPort = 0 } = socket
      ingest.handle(socket, { remoteAddress, remotePort, localAddress, localPort })
    }),
  )
  await door.listen()
  stack.use(relays)
})

afterEach(() => stack.disposeAsync())

async function gatewayOf(options: RtmpSinkOptions = {}) {
  const sink = stack.use(new RtmpSink({ isBehindProxy: true, ...options }))
  return { sink, port: await sink.listen() }
}

/** The first is the one that a publisher is sent to. */
function know(...ports: number[]): void {
  const nodes = ports.map((port, index) => ({
    id: `gw-${index + 1}`,
    role: 'gateway',
    draining: false,
    weight: 1,
    urls: { http: `http://127.0.0.1:${port}` },
    load: { streams: index },
  }))
  gateways.update({ generation: 1, nodes: nodes as unknown as NodeInfo[], routes: [] })
}

const frames = (media: MediaMessage[]) => media.filter(({ payload }) => payload[1] === 1)
const queryOf = (sink: RtmpSink, number = 0) => new URLSearchParams(sink.connections[number]?.query)

describe('an edge', () => {
  test('goes on at another gateway with what the lost one had not handed in', async () => {
    const [first, second] = [await gatewayOf(), await gatewayOf()]
    know(first.port, second.port)
    await using client = await RtmpTestClient.publish(door.url, 'a-key?x=1')
    const messages = broadcast(4)
    for (const message of messages) client.send(message)
    await first.sink.until(([one]) => one?.media.length === messages.length)
    const connection = queryOf(first.sink).get('connection')!
    expect(queryOf(first.sink).get('attempt')).toBe('1')
    expect(queryOf(first.sink).get('age')).toBeNull()
    progress.say(`http://127.0.0.1:${first.port}`, connection, { takenMs: 7_500, neededMs: 4_000 })

    await first.sink[Symbol.asyncDispose]()
    const later = [rtmpMedia.keyframe(8_000), rtmpMedia.sound(8_010)]
    for (const message of later) client.send(message)
    await second.sink.until(([one]) => one?.media.at(-1)?.timestampMs === 8_010)

    const [there] = second.sink.connections
    expect(there).toMatchObject({ app: 'live', name: 'a-key', unpublished: false })
    expect(queryOf(second.sink).get('connection')).toBe(connection)
    expect(queryOf(second.sink).get('attempt')).toBe('2')
    expect(there!.media.slice(0, 3)).toEqual(
      messages.slice(0, 3).map((header) => ({ ...header, timestampMs: 4_000 })),
    )
    const needed = messages.slice(3).filter(({ timestampMs }) => timestampMs >= 4_000)
    expect(there!.media.slice(3)).toEqual([...needed, ...later])
    expect(client.isClosed).toBe(false)
    expect(client.statuses).toEqual([expect.objectContaining({ level: 'status' })])
    await client.leave()
    await second.sink.until(([one]) => one?.unpublished === true)
    expect(progress.watched).toBe(0)
  })

  test('comes back to its only gateway when that is there again', async () => {
    const { sink, port } = await gatewayOf({ after: { messages: 10, connection: 1 } })
    know(port)
    await using client = await RtmpTestClient.publish(door.url, 'a-key')
    const messages = broadcast(2)
    for (const message of messages) client.send(message)
    await sink.until(([, two]) => two?.media.at(-1)?.timestampMs === messages.at(-1)?.timestampMs)
    expect(frames(sink.connections[1]!.media)).toEqual(messages.slice(3))
    expect(client.isClosed).toBe(false)
  })

  test('goes elsewhere when a gateway is taken out of service', async () => {
    const maintenance = refusal('maintenance')
    const status = {
      code: statusCodeOf('maintenance'),
      description: statusDescription(maintenance),
    }
    const first = await gatewayOf({ after: { messages: 5, connection: 1, status } })
    const second = await gatewayOf()
    know(first.port, second.port)
    await using client = await RtmpTestClient.publish(door.url, 'a-key')
    for (const message of broadcast(2)) client.send(message)
    await second.sink.until(([one]) => one?.media.at(-1)?.timestampMs === 3_510)
    expect(client.isClosed).toBe(false)
    expect(await metrics.registry.metrics()).toContain(
      'nearcast_relay_moves_total{why="refused"} 1',
    )
  })

  test('lets its publisher go when another encoder has taken its place', async () => {
    const taken = refusal('already-publishing')
    const status = {
      code: statusCodeOf('already-publishing'),
      description: statusDescription(taken),
    }
    const first = await gatewayOf({ after: { messages: 5, connection: 1, status } })
    const second = await gatewayOf()
    know(first.port, second.port)
    await using client = await RtmpTestClient.publish(door.url, 'a-key')
    for (const message of broadcast(2)) client.send(message)
    await client.closed()
    expect(client.statuses.at(-1)?.description).toContain('(already-publishing)')
    expect(refused).toEqual([{ keyDigest: digestOfKey('a-key'), ...taken }])
    expect(second.sink.connections).toEqual([])
  })
})

describe('a bandwidth test at an edge', () => {
  test('goes to the gateway as one, is measured, and told when the publisher has left', async () => {
    const { sink, port } = await gatewayOf()
    know(port)
    await using client = await RtmpTestClient.publish(door.url, 'a-key?bandwidthtest=true')
    const messages = broadcast(4)
    for (const message of messages) client.send(message)
    await client.leave()
    await until('the report', () => reports.length > 0)
    const query = queryOf(sink)
    expect(query.get('bandwidthtest')).toBe('true')
    const sentBytes = messages.reduce((sum, { payload }) => sum + payload.length, 0)
    const [{ id, end, measure }] = reports as [(typeof reports)[0]]
    expect({ id, end }).toEqual({ id: query.get('connection'), end: 'left' })
    expect(measure.bytes).toBeGreaterThan(sentBytes)
    expect(progress.watched).toBe(0)
  })

  test('ends when its gateway does: what came over two would measure neither', async () => {
    const first = await gatewayOf({ after: { messages: 5, connection: 1 } })
    const second = await gatewayOf()
    know(first.port, second.port)
    await using client = await RtmpTestClient.publish(door.url, 'a-key?bandwidthtest=true')
    for (const message of broadcast(2)) client.send(message)
    await client.closed()
    expect(client.statuses.at(-1)?.description).toContain('(path-lost)')
    expect(reports).toEqual([expect.objectContaining({ end: 'path-lost' })])
    expect(second.sink.connections).toEqual([])
  })
})
