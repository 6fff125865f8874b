// When a publish writes what it is given: once a turn, and never more than is read.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../../../common/clock.ts'
import { UpstreamPublisher } from '../../../common/relay/upstream-publisher.ts'
import type { MediaMessage } from '../../../media/rtmp/message.ts'
import { RtmpSink } from '../../support/rtmp-sink.ts'

const limits = { clock: systemClock, connectTimeoutMs: 5_000, publishTimeoutMs: 5_000 }

let sink: RtmpSink
let port: number

beforeEach(async () => {
  sink = new RtmpSink()
  port = await sink.listen()
})

afterEach(() => sink[Symbol.asyncDispose]())

async function publish(): Promise<UpstreamPublisher> {
  const target = { host: '127.0.0.1', port, app: 'live', streamName: 'a-name' }
  const outcome = await UpstreamPublisher.open(target, limits)
  if (!('started' in outcome)) throw new Error(JSON.stringify(outcome))
  return outcome.started
}

function frame(timestampMs: number, bodyBytes = 100): MediaMessage {
  const payload = Buffer.concat([Buffer.from('2701000000', 'hex'), Buffer.alloc(bodyBytes)])
  return { kind: 'video', timestampMs, payload }
}

test('a publish that ends takes along what still waits', async () => {
  const publisher = await publish()
  publisher.send(frame(0))
  publisher.unpublish()
  await sink.until(([one]) => one?.unpublished === true)
  expect(sink.connections[0]!.media).toEqual([frame(0)])
})

test('a replay within one turn stops at a full socket', async () => {
  const publisher = await publish()
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
