// The relay between a real publisher's socket and a real next hop, both on loopback.
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import { refusal } from '../../../common/contract/refusal.ts'
import { silentLogger } from '../../../common/log.ts'
import { PublishRelay, type RelayEnd } from '../../../common/relay/publish-relay.ts'
import {
  type UpstreamOutcome,
  UpstreamPublisher,
} from '../../../common/relay/upstream-publisher.ts'
import type { MediaMessage } from '../../../media/rtmp/message.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { NextHop } from '../../support/next-hop.ts'
import { RtmpTestClient } from '../../support/rtmp-client.ts'
import { until } from '../../support/until.ts'

const limits = { publishTimeoutMs: 10_000, idleTimeoutMs: 8_000 }
const timeouts = { clock: systemClock, connectTimeoutMs: 5_000, publishTimeoutMs: 5_000 }
const servers: Server[] = []

afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

async function listen(onSocket: (socket: Socket) => void): Promise<number> {
  const server = createServer(onSocket)
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as { port: number }).port
}

interface Running {
  port: number
  ended: Promise<RelayEnd>
  refused: { code: string; stage: string }[]
}

async function relayTo(
  open: (name: string) => Promise<UpstreamOutcome>,
  clock = systemClock,
): Promise<Running> {
  const ended = Promise.withResolvers<RelayEnd>()
  const refused: Running['refused'] = []
  const port = await listen((socket) => {
    const relay = new PublishRelay({
      socket,
      clock,
      log: silentLogger,
      limits,
      openUpstream: ({ name }) => open(name),
      onRefused: ({ code }, stage) => refused.push({ code, stage }),
      onLive: () => {},
    })
    ended.resolve(relay.run())
  })
  return { port, ended: ended.promise, refused }
}

function publish(port: number, app = 'live'): Promise<UpstreamOutcome> {
  return UpstreamPublisher.open({ host: '127.0.0.1', port, app, streamName: 'a-key?x=1' }, timeouts)
}

function started(outcome: UpstreamOutcome): UpstreamPublisher {
  if (!('started' in outcome)) throw new Error(JSON.stringify(outcome))
  return outcome.started
}

function toward(hop: NextHop) {
  return (name: string) =>
    UpstreamPublisher.open(
      { host: '127.0.0.1', port: hop.port, app: 'live', streamName: name },
      timeouts,
    )
}

function videoTag(head: string, bodyBytes: number): Buffer {
  return Buffer.concat([Buffer.from(head, 'hex'), Buffer.alloc(bodyBytes, 0x5a)])
}

const messages: MediaMessage[] = [
  { kind: 'data', timestampMs: 0, payload: Buffer.from('02000a6f6e4d65746144617461', 'hex') },
  { kind: 'video', timestampMs: 0, payload: videoTag('1701000000', 70_000) },
  { kind: 'audio', timestampMs: 21, payload: Buffer.from('af01aabb', 'hex') },
  { kind: 'video', timestampMs: 0xffff_fff0, payload: videoTag('2701000010', 300) },
]

describe('a publish relay', () => {
  test('passes every message on, byte for byte and in order', async () => {
    using hop = await NextHop.start()
    const relay = await relayTo(toward(hop))
    const publisher = started(await publish(relay.port))
    for (const message of messages) publisher.send(message)
    await hop.has(messages.length)
    expect(hop.received).toEqual(messages)
    expect(hop.names).toEqual(['a-key'])
    publisher.unpublish()
    expect(await relay.ended).toMatchObject({ reason: 'unpublished', wasLive: true })
  })

  test('sends enhanced H.264 on as classic tags and leaves out what is empty', async () => {
    using hop = await NextHop.start()
    const relay = await relayTo(toward(hop))
    const publisher = started(await publish(relay.port))
    // ExVideoTagHeader: keyframe, CodedFrames, FourCC avc1, composition time 10 ms.
    publisher.send({ kind: 'video', timestampMs: 0, payload: videoTag('916176633100000a', 100) })
    publisher.send({ kind: 'audio', timestampMs: 1, payload: Buffer.alloc(0) })
    publisher.send(messages[2]!)
    await hop.has(2)
    expect(hop.received).toEqual([
      { kind: 'video', timestampMs: 0, payload: videoTag('170100000a', 100) },
      messages[2],
    ])
    publisher.unpublish()
    await relay.ended
  })

  test('refuses several tracks in one stream', async () => {
    using hop = await NextHop.start()
    const relay = await relayTo(toward(hop))
    const publisher = started(await publish(relay.port))
    // ExVideoTagHeader: keyframe, Multitrack (6).
    publisher.send({ kind: 'video', timestampMs: 0, payload: videoTag('961061766331', 100) })
    expect(await relay.ended).toMatchObject({ reason: 'refused: input-broken' })
    expect(hop.received).toEqual([])
  })

  test('passes a refusal before the start on as the answer to the publish', async () => {
    const relay = await relayTo(async () => ({ refused: refusal('key-unknown') }))
    expect(await publish(relay.port)).toEqual({ refused: refusal('key-unknown') })
    expect(relay.refused).toEqual([{ code: 'key-unknown', stage: 'before-start' }])
    expect(await relay.ended).toMatchObject({ wasLive: false })
  })

  test('refuses an application that is not "live"', async () => {
    const relay = await relayTo(async () => ({ refused: refusal('key-unknown') }))
    expect(await publish(relay.port, 'other')).toEqual({ refused: refusal('app-unknown') })
    expect(relay.refused).toEqual([{ code: 'app-unknown', stage: 'before-start' }])
  })

  test('tells a refusal after the start by a status, then closes', async () => {
    using hop = await NextHop.start()
    const relay = await relayTo(toward(hop))
    const publisher = started(await publish(relay.port))
    const told = new Promise((resolve) => {
      publisher.onStatus = resolve
    })
    hop.refuse('codec-unsupported')
    expect(await told).toMatchObject({ level: 'error', code: 'NetStream.Publish.BadName' })
    expect(await relay.ended).toMatchObject({ reason: 'refused: codec-unsupported', wasLive: true })
    expect(relay.refused).toEqual([{ code: 'codec-unsupported', stage: 'after-start' }])
    await publisher.closed
  })

  test('tells one refusal of a publisher that breaks the protocol after it', async () => {
    using hop = await NextHop.start()
    const relay = await relayTo(toward(hop))
    await using publisher = await RtmpTestClient.publish(`rtmp://127.0.0.1:${relay.port}/live`, 'k')
    hop.refuse('codec-unsupported')
    await until('the refusal', () => publisher.statuses.some(({ level }) => level === 'error'))
    // A chunk that goes on with a message that never began.
    publisher.socket.write(Buffer.from([0xff]))
    expect(await relay.ended).toMatchObject({ reason: 'refused: codec-unsupported' })
    expect(relay.refused).toEqual([{ code: 'codec-unsupported', stage: 'after-start' }])
  })

  test('lets the publisher go when the next hop dies', async () => {
    using hop = await NextHop.start()
    const relay = await relayTo(toward(hop))
    const publisher = started(await publish(relay.port))
    hop.die()
    expect(await relay.ended).toMatchObject({ reason: 'refused: path-lost' })
    await publisher.closed
  })

  test('ends when the publisher vanishes', async () => {
    using hop = await NextHop.start()
    const relay = await relayTo(toward(hop))
    const publisher = started(await publish(relay.port))
    publisher.destroy()
    expect(await relay.ended).toMatchObject({ wasLive: true })
  })

  test('ends a live publisher that has fallen silent', async () => {
    const clock = new FakeClock()
    using hop = await NextHop.start()
    const relay = await relayTo(toward(hop), clock)
    const publisher = started(await publish(relay.port))
    await clock.advance(limits.idleTimeoutMs + 200)
    expect((await relay.ended).reason).toMatch(/silent/)
    await publisher.closed
  })

  test('keeps a publisher that was not read because this process stood still', async () => {
    const clock = new FakeClock()
    using hop = await NextHop.start()
    const relay = await relayTo(toward(hop), clock)
    const publisher = started(await publish(relay.port))
    await clock.standStill(60_000)
    publisher.send(messages[2]!)
    await hop.has(1)
    await clock.advance(limits.idleTimeoutMs - 200)
    publisher.send(messages[2]!)
    await hop.has(2)
    await clock.advance(limits.idleTimeoutMs - 200)
    publisher.unpublish()
    expect((await relay.ended).reason).toBe('unpublished')
  })

  test('ends a live publisher that does no more than ping', async () => {
    const clock = new FakeClock()
    using hop = await NextHop.start()
    const relay = await relayTo(toward(hop), clock)
    await using publisher = await RtmpTestClient.publish(`rtmp://127.0.0.1:${relay.port}/live`, 'k')
    // User control message (type 4) on chunk stream 2: ping request.
    const ping = Buffer.from('0200000000000604000000000006000000ff', 'hex')
    const pong = () => once(publisher.socket, 'data')
    for (const waitMs of [3_000, 3_000, 2_200]) {
      publisher.socket.write(ping)
      if (waitMs === 3_000) await pong()
      await clock.advance(waitMs)
    }
    expect((await relay.ended).reason).toMatch(/silent/)
  })

  test('lets a connection go that does not publish in time', async () => {
    const clock = new FakeClock()
    const relay = await relayTo(async () => ({ refused: refusal('key-unknown') }), clock)
    const socket = connect({ host: '127.0.0.1', port: relay.port })
    socket.on('error', () => {})
    socket.write(Buffer.of(3))
    while (relay.refused.length === 0) await clock.advance(1_000)
    expect(relay.refused[0]?.code).toBe('too-slow')
    await clock.advance(1_000)
    expect((await relay.ended).reason).toBe('refused: too-slow')
  })
})
