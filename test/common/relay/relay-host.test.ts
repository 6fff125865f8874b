// What a node does with its publishers around the relay of each.
import { once } from 'node:events'
import { createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import { refusal } from '../../../common/contract/refusal.ts'
import { silentLogger } from '../../../common/log.ts'
import { Metrics } from '../../../common/metrics.ts'
import { RelayHost } from '../../../common/relay/relay-host.ts'
import {
  type UpstreamOutcome,
  UpstreamPublisher,
} from '../../../common/relay/upstream-publisher.ts'
import { NextHop } from '../../support/next-hop.ts'
import { broadcast, rtmpMedia } from '../../support/rtmp-media.ts'
import { until } from '../../support/until.ts'

const timeouts = { clock: systemClock, connectTimeoutMs: 5_000, publishTimeoutMs: 5_000 }
const server = createServer((socket) => host.handle(socket, {}, ({ intent }) => open(intent.name)))
let host: RelayHost
let hop: NextHop
let metrics: Metrics
let isDraining: boolean
let asked: string[]

beforeEach(async () => {
  hop = await NextHop.start()
  metrics = new Metrics('edge', 'pop-1', '0')
  isDraining = false
  asked = []
  host = new RelayHost({
    limits: { publishTimeoutMs: 10_000, idleTimeoutMs: 8_000 },
    refusalMemoryMs: 15_000,
    isDraining: () => isDraining,
    clock: systemClock,
    log: silentLogger,
    metrics,
  })
  if (!server.listening) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  }
})

afterEach(async () => {
  await host[Symbol.asyncDispose]()
  hop[Symbol.dispose]()
  server.close()
})

function open(name: string): Promise<UpstreamOutcome> {
  asked.push(name)
  const target = { host: '127.0.0.1', port: hop.port, app: 'live', streamName: name }
  return UpstreamPublisher.open(target, timeouts)
}

function publish(streamName: string): Promise<UpstreamOutcome> {
  const { port } = server.address() as { port: number }
  return UpstreamPublisher.open({ host: '127.0.0.1', port, app: 'live', streamName }, timeouts)
}

function started(outcome: UpstreamOutcome): UpstreamPublisher {
  if (!('started' in outcome)) throw new Error(JSON.stringify(outcome))
  return outcome.started
}

describe('a relay host', () => {
  test('refuses the next try for what an encoder was refused after its start', async () => {
    const publisher = started(await publish('a-key'))
    hop.refuse('codec-unsupported')
    await publisher.closed
    expect(await publish('a-key')).toEqual({ refused: refusal('codec-unsupported') })
    expect(asked).toEqual(['a-key'])
    expect(await metrics.registry.metrics()).toContain(
      'nearcast_ingest_rejected_total{reason="codec-unsupported",stage="before-start"} 1',
    )
  })

  test('takes nobody while it drains, and asks nobody for a publish without a key', async () => {
    isDraining = true
    expect(await publish('a-key')).toEqual({ refused: refusal('maintenance') })
    expect(await publish('?x=1')).toEqual({ refused: refusal('key-missing') })
    expect(asked).toEqual([])
  })

  test('reads its publisher on while the next hop takes nothing', async () => {
    const publisher = started(await publish('a-key'))
    hop.stopReading()
    const large = rtmpMedia.keyframe(0, 1024 * 1024)
    // More than the sockets of both sides hold by far.
    for (let count = 0; count < 30; count++) publisher.send({ ...large, timestampMs: count * 100 })
    await until('all media at the relay', () => host.bytesIn === 30 * large.payload.length)
    const text = await metrics.registry.metrics()
    expect(Number(/nearcast_relay_memory_bytes (\d+)/.exec(text)?.[1])).toBeGreaterThan(2 ** 20)
    publisher.destroy()
  })

  test('counts what a publisher sends when it comes, once', async () => {
    const counted = async () => {
      const text = await metrics.registry.metrics()
      return Number(/^nearcast_ingest_bytes_total (\d+)$/m.exec(text)?.[1])
    }
    const publisher = started(await publish('a-key'))
    const large = rtmpMedia.keyframe(0, 1024 * 1024)
    publisher.send(large)
    await until('its media', () => host.bytesIn === large.payload.length)
    const live = await counted()
    expect(live).toBeGreaterThanOrEqual(large.payload.length)
    expect(live).toBeLessThan(1.1 * large.payload.length)
    publisher.unpublish()
    await publisher.closed
    await until('the end of the relay', () => host.streams === 0)
    const all = await counted()
    expect(all).toBeGreaterThanOrEqual(live)
    expect(all).toBeLessThan(1.1 * large.payload.length)
  })

  test('goes on at the next hop that is there when the first one dies', async () => {
    const publisher = started(await publish('a-key'))
    const messages = broadcast(2)
    for (const message of messages) publisher.send(message)
    await hop.has(messages.length)
    using second = await NextHop.start()
    const first = hop
    hop = second
    first.die()
    await second.has(messages.length)
    expect(second.received).toEqual(
      messages.map((it, at) => (at < 3 ? { ...it, timestampMs: 0 } : it)),
    )
    first[Symbol.dispose]()
    expect(asked).toEqual(['a-key', 'a-key'])
    publisher.unpublish()
    await publisher.closed
    await until('the end of the relay', () => host.streams === 0)
    expect(await metrics.registry.metrics()).toContain('nearcast_relay_memory_bytes 0')
  })

  test('lets a publisher go right after a keyframe, which still goes up', async () => {
    const publisher = started(await publish('a-key'))
    const told = new Promise((resolve) => {
      publisher.onStatus = resolve
    })
    const messages = broadcast(2)
    for (const message of messages) publisher.send(message)
    await hop.has(messages.length)
    host.letGo(false)
    publisher.send(rtmpMedia.picture(4_000))
    await hop.has(messages.length + 1)
    expect(host.streams).toBe(1)
    publisher.send(rtmpMedia.keyframe(4_040))
    await hop.has(messages.length + 2)
    expect(await told).toMatchObject({ description: expect.stringContaining('(maintenance)') })
    await host.left()
    expect(host.streams).toBe(0)
    expect(hop.received).toHaveLength(messages.length + 2)
  })

  test('lets everybody go with a reason when it ends', async () => {
    const publisher = started(await publish('a-key'))
    expect(host.streams).toBe(1)
    const told = new Promise((resolve) => {
      publisher.onStatus = resolve
    })
    await host[Symbol.asyncDispose]()
    expect(await told).toMatchObject({ description: expect.stringContaining('(maintenance)') })
    expect(host.streams).toBe(0)
  })
})
