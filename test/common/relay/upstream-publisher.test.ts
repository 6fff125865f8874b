// When a publish writes what it is given: once a turn, or with everybody else's, and never more than is read.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import { Gather } from '../../../common/relay/gather.ts'
import { UpstreamPublisher } from '../../../common/relay/upstream-publisher.ts'
import type { MediaMessage } from '../../../media/rtmp/message.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { RtmpSink } from '../../support/rtmp-sink.ts'

const limits = { clock: systemClock, connectTimeoutMs: 5_000, publishTimeoutMs: 5_000 }

let sink: RtmpSink
let port: number

beforeEach(async () => {
  sink = new RtmpSink()
  port = await sink.listen()
})

afterEach(() => sink[Symbol.asyncDispose]())

async function publish(gather?: Gather): Promise<UpstreamPublisher> {
  const target = { host: '127.0.0.1', port, app: 'live', streamName: 'a-name' }
  const outcome = await UpstreamPublisher.open(target, { ...limits, ...(gather && { gather }) })
  if (!('started' in outcome)) throw new Error(JSON.stringify(outcome))
  return outcome.started
}

function frame(timestampMs: number, bodyBytes = 100): MediaMessage {
  const payload = Buffer.concat([Buffer.from('2701000000', 'hex'), Buffer.alloc(bodyBytes)])
  return { kind: 'video', timestampMs, payload }
}

test('what is gathered leaves together, in order, when its time has come', async () => {
  const clock = new FakeClock()
  const gather = new Gather(clock)
  const [first, second] = [await publish(gather), await publish(gather)]
  const frames = [frame(0), frame(20), frame(40)]
  for (const message of frames) first.send(message)
  second.send(frames[0]!)
  // Goes by another connection, and after what was gathered if that had been sent.
  const other = await publish()
  other.send(frames[0]!)
  await sink.until(([, , third]) => third?.media.length === 1)
  expect(sink.connections.slice(0, 2).map(({ media }) => media)).toEqual([[], []])
  await clock.advance(20)
  await sink.until(([one, two]) => one?.media.length === 3 && two?.media.length === 1)
  expect(sink.connections[0]!.media).toEqual(frames)
  first.send(frame(60))
  expect(clock.pending).toBe(1)
  await clock.advance(20)
  await sink.until(([one]) => one?.media.length === 4)
  for (const publisher of [first, second, other]) publisher.destroy()
})

test('a publish that ends takes along what still waits', async () => {
  const publisher = await publish(new Gather(new FakeClock()))
  publisher.send(frame(0))
  publisher.unpublish()
  await sink.until(([one]) => one?.unpublished === true)
  expect(sink.connections[0]!.media).toEqual([frame(0)])
})

test('a replay within one turn stops at a full socket', async () => {
  const publisher = await publish(new Gather(new FakeClock()))
  const sent: MediaMessage[] = []
  const drained = new Promise<void>((resolve) => {
    publisher.onDrain = resolve
  })
  for (let isTaken = true; isTaken && sent.length < 100_000; ) {
    const message = frame(sent.length, 16_000)
    sent.push(message)
    isTaken = publisher.send(message)
  }
  expect(sent.length).toBeLessThan(100_000)
  await drained
  await sink.until(([one]) => one!.media.length > 0)
  publisher.unpublish()
  await sink.until(([one]) => one?.unpublished === true)
  expect(sink.connections[0]!.media.length).toBe(sent.length)
})
