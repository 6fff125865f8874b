// What a node does with its publishers around the relay of each.
import { once } from 'node:events'
import { createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import { refusal } from '../../../common/contract/refusal.ts'
import { silentLogger } from '../../../common/log.ts'
import { Metrics } from '../../../common/metrics.ts'
import { IngestMetrics } from '../../../common/relay/ingest-metrics.ts'
import { RelayHost } from '../../../common/relay/relay-host.ts'
import {
  type UpstreamOutcome,
  UpstreamPublisher,
} from '../../../common/relay/upstream-publisher.ts'
import { NextHop } from '../../support/next-hop.ts'

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
    metrics: new IngestMetrics(metrics),
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
