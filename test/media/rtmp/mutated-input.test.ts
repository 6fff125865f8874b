// Damaged sessions: whatever happens to the bytes of a real one, nothing throws and memory stays bounded.
import { expect, test } from 'vitest'
import { readAmf0, writeAmf0 } from '../../../media/rtmp/amf0.ts'
import { RtmpClientSession } from '../../../media/rtmp/client-session.ts'
import { RtmpServerSession } from '../../../media/rtmp/server-session.ts'
import { mutate, randomNumbers } from '../mutations.ts'
import { recordSession } from './recorded-session.ts'
import { hex } from './wire.ts'

const handshake = Buffer.concat([Buffer.from([3]), Buffer.alloc(3072)])
const { fromClient, fromServer } = recordSession()

test('a recorded session is whole before it is damaged', () => {
  const server = new RtmpServerSession()
  const events = server.receive(Buffer.concat([handshake, fromClient]))
  expect(events.map(({ type }) => type)).toEqual([
    'connect',
    'publish',
    ...Array.from({ length: 11 }, () => 'media'),
    'unpublish',
  ])
})

// The fuzzer does it a hundred times as often, with seeds for each state.
test('2 000 damaged publishers never make the server throw', () => {
  const random = randomNumbers(1)
  const ends = new Set<string>()
  for (let run = 0; run < 2_000; run++) {
    const bytes = mutate([fromClient], random)
    const server = new RtmpServerSession()
    server.receive(handshake)
    const cut = random(bytes.length + 1)
    for (const part of [bytes.subarray(0, cut), bytes.subarray(cut)]) {
      for (const event of server.receive(part)) {
        if (event.type === 'publish') server.acceptPublish(event.streamId)
        if (event.type === 'error') ends.add(event.error.reason)
      }
      expect(Buffer.concat(server.takeOutput()).length).toBeLessThan(200_000)
    }
    expect(server.partialBytes).toBeLessThanOrEqual(8 * 1024 * 1024)
  }
  // The damage goes deep: not only one check is reached.
  expect(ends.size).toBeGreaterThan(6)
})

test('4 000 damaged servers never make the client throw', () => {
  const random = randomNumbers(2)
  for (let run = 0; run < 4_000; run++) {
    const client = new RtmpClientSession({ app: 'live', tcUrl: 'rtmp://a/live', streamName: 'k' })
    client.start()
    client.receive(handshake)
    client.receive(mutate([fromServer], random))
    client.sendMedia({ kind: 'audio', timestampMs: 0, payload: Buffer.alloc(10) })
    client.unpublish()
    expect(Buffer.concat(client.takeOutput()).length).toBeLessThan(200_000)
  }
})

test('8 000 damaged AMF messages read or fail, never throw', () => {
  const random = randomNumbers(3)
  const seeds = [
    writeAmf0('connect', 1, { app: 'live', nested: { a: [1, 'x', null, true, new Date(0)] } }),
    hex('11 09 05 01 0a 13 01 03 61 04 01 0a 01 04 02'),
    hex('11 0a 0b 01 03 61 04 05 01'),
    hex('08 00000002 0001 61 00 3ff0000000000000 0001 62 02 0001 78 000009'),
  ]
  let faults = 0
  for (let run = 0; run < 8_000; run++) {
    if ('fault' in readAmf0(mutate(seeds, random))) faults++
  }
  expect(faults).toBeGreaterThan(1000)
  expect(faults).toBeLessThan(8000)
})
