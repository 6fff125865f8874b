// Publishers whose media waits for each other: when it is read, and what happens to it when one of them leaves.
import type { Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import { silentLogger } from '../../../common/log.ts'
import { Gather } from '../../../common/relay/gather.ts'
import { PublishRelay, type RelayEnd } from '../../../common/relay/publish-relay.ts'
import { UpstreamPublisher } from '../../../common/relay/upstream-publisher.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { PublisherDoor } from '../../support/publisher-door.ts'
import { RtmpTestClient } from '../../support/rtmp-client.ts'
import { rtmpMedia } from '../../support/rtmp-media.ts'
import { RtmpSink } from '../../support/rtmp-sink.ts'
import { until } from '../../support/until.ts'

const { keyframe, picture } = rtmpMedia

let stack: AsyncDisposableStack
let clock: FakeClock
let gather: Gather
let sink: RtmpSink
let door: PublisherDoor
let ends: Promise<RelayEnd>[]
let refused: string[]
let sockets: Socket[]

beforeEach(async () => {
  stack = new AsyncDisposableStack()
  clock = new FakeClock()
  gather = new Gather(clock)
  ends = []
  refused = []
  sockets = []
  sink = stack.use(new RtmpSink())
  const port = await sink.listen()
  door = stack.use(
    new PublisherDoor((socket) => {
      sockets.push(socket)
      const relay = new PublishRelay({
        socket,
        gather,
        clock: systemClock,
        log: silentLogger,
        limits: { publishTimeoutMs: 10_000, idleTimeoutMs: 8_000 },
        openUpstream: ({ name: streamName }) =>
          UpstreamPublisher.open(
            { host: '127.0.0.1', port, app: 'live', streamName },
            { clock: systemClock, connectTimeoutMs: 5_000, publishTimeoutMs: 5_000 },
          ),
        onRefused: ({ code }) => refused.push(code),
        onLive: () => {},
      })
      ends.push(relay.run())
    }),
  )
  await door.listen()
})

afterEach(() => stack.disposeAsync())

async function publish(): Promise<RtmpTestClient> {
  return stack.use(await RtmpTestClient.publish(door.url, 'a-key'))
}

test('what comes is relayed together, in order, when its time has come', async () => {
  const [first, second] = [await publish(), await publish()]
  const pictures = [keyframe(0), picture(20), picture(40)]
  for (const message of pictures) first.send(message)
  second.send(keyframe(0))
  await until('something that waits', () => clock.pending === 1)
  expect(sink.connections.map(({ media }) => media)).toEqual([[], []])
  // What is on its way by then may wait for the next moment.
  const release = () => clock.advance(2)
  await until('all media', async () => {
    await release()
    const [one, two] = sink.connections
    return one?.media.length === 3 && two?.media.length === 1
  })
  expect(sink.connections[0]!.media).toEqual(pictures)
})

test('the more publishers there are the longer they wait, up to little more than a picture', async () => {
  const waitMs = async () => {
    let releasedAtMs: number | undefined
    const fromMs = clock.monotonic()
    gather.add(() => {
      releasedAtMs = clock.monotonic()
    })
    while (releasedAtMs === undefined) await clock.advance(1)
    return releasedAtMs - fromMs
  }
  const members = Array.from({ length: 10 }, () => gather.join())
  expect(await waitMs()).toBe(10)
  members.push(...Array.from({ length: 90 }, () => gather.join()))
  expect(await waitMs()).toBe(40)
  for (const member of members.splice(1)) member[Symbol.dispose]()
  expect(await waitMs()).toBe(1)
})

test('a publisher that leaves takes along what still waits, and is waited for no longer', async () => {
  const publisher = await publish()
  const last = keyframe(0)
  publisher.send(last)
  await publisher.leave()
  const [end] = await Promise.all(ends)
  expect(end).toMatchObject({ reason: 'unpublished', wasLive: true })
  await sink.until(([one]) => one?.unpublished === true)
  expect(sink.connections[0]!.media).toEqual([last])
  const other = gather.join()
  let isReleased = false
  gather.add(() => {
    isReleased = true
  })
  await clock.advance(1)
  expect(isReleased).toBe(true)
  other[Symbol.dispose]()
})

test('what comes after a farewell is not read, and takes nothing back', async () => {
  const publisher = await publish()
  const last = keyframe(0)
  publisher.send(last)
  publisher.session.unpublish()
  publisher.flush()
  // A chunk that goes on with a message that never began.
  publisher.socket.write(Buffer.from([0xff]))
  await until('all of it', () => sockets[0]!.bytesRead === publisher.socket.bytesWritten)
  await clock.advance(1)
  const [end] = await Promise.all(ends)
  expect([end!.reason, refused]).toEqual(['unpublished', []])
  await sink.until(([one]) => one?.unpublished === true)
  expect(sink.connections[0]!.media).toEqual([last])
  const members = [gather.join(), gather.join()]
  let isReleased = false
  gather.add(() => {
    isReleased = true
  })
  await clock.advance(1)
  expect(isReleased).toBe(false)
  await clock.advance(1)
  expect(isReleased).toBe(true)
  for (const member of members) member[Symbol.dispose]()
})

test('more than may wait is read at once', async () => {
  const publisher = await publish()
  const large = [0, 20, 40].map((ms) => keyframe(ms, 256 * 1024))
  for (const message of large) publisher.send(message)
  await until('the first two', () => sink.connections[0]?.media.length === 2)
  expect(clock.monotonic()).toBe(0)
  expect(sink.connections[0]!.media).toEqual(large.slice(0, 2))
})
