// Hostile and broken peers at the server session: the corpus, and what takes more than a list of bytes.
import { expect, test } from 'vitest'
import { writeAmf0 } from '../../../media/rtmp/amf0.ts'
import type { ServerEvent } from '../../../media/rtmp/server-session.ts'
import { fatalInput, harmlessInput, onCsid, unfinished } from '../../corpus/rtmp.ts'
import {
  chunkHeader,
  command,
  connect,
  createStream,
  greeted,
  hex,
  live,
  message,
  Peer,
  publish,
} from './wire.ts'

const errorsOf = (events: ServerEvent[]) =>
  events.flatMap((event) => (event.type === 'error' ? [event.error.reason] : []))

test.each(fatalInput)('%s ends in %s', (_, reason, input) => {
  const peer = greeted()
  expect(errorsOf(peer.send(...input))).toEqual([reason])
  expect(peer.session.state).toBe('failed')
  expect(peer.session.partialBytes).toBeLessThanOrEqual(1024 * 1024)
  // Nothing more is heard, and nothing more is said.
  void peer.answer
  expect(peer.send(connect, createStream)).toEqual([])
  expect(peer.answer.length).toBe(0)
})

test.each(harmlessInput)('%s changes nothing for a live publisher', (_, input) => {
  const peer = live()
  expect(peer.send(input)).toEqual([])
  const frame = hex('27 01 000000 00')
  expect(peer.send(message(9, frame, { csid: 6, streamId: 1, time: 40 }))).toEqual([
    { type: 'media', message: { kind: 'video', timestampMs: 40, payload: frame } },
  ])
})

test.each([['../../x'], ['a/b?c'], ['a%2f..'], ['live?x=../..']])(
  'R21 application %j is handed on as it is',
  (app) => {
    const asked: string[] = []
    const peer = greeted({
      checkConnect: (request) => {
        asked.push(request.app)
        return { code: 'NetConnection.Connect.Rejected', description: 'no' }
      },
    })
    expect(errorsOf(peer.send(command('connect', 1, { app })))).toEqual(['app-refused'])
    expect(asked).toEqual([app])
    expect(peer.answer.toString('latin1')).toContain('NetConnection.Connect.Rejected')
  },
)

test('R22 an empty name is a publish that the owner may refuse', () => {
  const peer = greeted()
  expect(peer.send(connect, createStream, publish(''))).toMatchObject([
    { type: 'connect' },
    { type: 'publish', name: '', query: '' },
  ])
})

test('R22 a second publish on one connection is refused and the first goes on', () => {
  const peer = live()
  expect(peer.send(createStream, publish('other', 2), publish('key', 1))).toEqual([])
  expect(peer.answer.toString('latin1').match(/NetStream\.Publish\.BadName/g)).toHaveLength(2)
  expect(peer.session.state).toBe('live')
})

test('R22 media before a publish goes nowhere', () => {
  const peer = greeted()
  const frame = message(9, hex('17 01 000000'), { streamId: 1 })
  const events = peer.send(connect, createStream, frame)
  expect(events.map(({ type }) => type)).toEqual(['connect'])
})

test('R15 an abort in mid-message drops what came of it', () => {
  const peer = live()
  const events = peer.send(
    chunkHeader({ format: 0, csid: 6, lengthBytes: 200, typeId: 9, streamId: 1 }),
    Buffer.alloc(128, 1),
    hex('02 000000 000004 02 00000000 00000006'),
    message(9, hex('27 01 000000 02'), { csid: 6, streamId: 1 }),
  )
  expect(events).toEqual([
    {
      type: 'media',
      message: { kind: 'video', timestampMs: 0, payload: hex('27 01 000000 02') },
    },
  ])
  expect(peer.session.partialBytes).toBe(0)
})

test('R13 headers alone take no memory; 32 streams of 16 MiB messages are refused at the first', () => {
  const peer = live()
  const headers = Array.from({ length: 28 }, (_, i) =>
    Buffer.concat([onCsid(100 + i, 4 * 1024 * 1024), Buffer.alloc(128)]),
  )
  expect(peer.send(...headers)).toEqual([])
  expect(peer.session.partialBytes).toBeLessThanOrEqual(28 * 4096)
})

test('R14 partial messages together are bounded', () => {
  const peer = live()
  const part = (csid: number) => unfinished(csid, 3 * 1024 * 1024)
  expect(peer.send(part(20), part(21))).toEqual([])
  expect(errorsOf(peer.send(part(22)))).toEqual(['too-much-partial-data'])
  expect(peer.session.partialBytes).toBeLessThanOrEqual(8 * 1024 * 1024)
})

test('R14 before the publish is accepted the bound is 1 MiB', () => {
  const peer = greeted()
  peer.send(connect, createStream, publish('key'))
  const part = (csid: number) => unfinished(csid, 600 * 1024)
  expect(peer.send(part(20))).toEqual([])
  expect(errorsOf(peer.send(part(21)))).toEqual(['too-much-partial-data'])
})

test('R14 before a publish is asked for the bound is 64 KiB a message and 256 KiB in all', () => {
  const peer = greeted()
  peer.send(connect, createStream)
  const part = (csid: number) => unfinished(csid, 511 * 128)
  expect(peer.send(part(20), part(21), part(22), part(23))).toEqual([])
  expect(errorsOf(peer.send(part(24)))).toEqual(['too-much-partial-data'])
  expect(peer.session.partialBytes).toBeLessThanOrEqual(256 * 1024)
  expect(errorsOf(greeted().send(onCsid(6, 64 * 1024 + 1)))).toEqual(['message-too-large'])
})

test('a message of 4 MiB passes once the publish is accepted, one byte more does not', () => {
  const peer = live()
  const largest = Buffer.alloc(4 * 1024 * 1024, 7)
  expect(peer.send(message(9, largest, { csid: 6, streamId: 1 }))).toEqual([
    { type: 'media', message: { kind: 'video', timestampMs: 0, payload: largest } },
  ])
  expect(errorsOf(peer.send(onCsid(6, largest.length + 1)))).toEqual(['message-too-large'])
})

test('R18 4 MB, one byte at a time, are handled once each', () => {
  const peer = live()
  const payload = Buffer.alloc(2_000_000, 5)
  const bytes = Buffer.concat([
    message(9, payload, { csid: 6, streamId: 1 }),
    message(9, payload, { csid: 6, streamId: 1 }),
  ])
  let messages = 0
  for (let i = 0; i < bytes.length; i++) {
    messages += peer.session.receive(bytes.subarray(i, i + 1)).length
  }
  expect(messages).toBe(2)
})

test.each<[string, number[], Buffer]>([
  ['extended timestamp 0', [0], Buffer.concat([hex('06 ffffff 000001 09 01000000 00000000 aa')])],
  ['extended timestamp ffffffff', [0xffffffff], hex('06 ffffff 000001 09 01000000 ffffffff aa')],
  [
    'a clock that wraps',
    [0xfffffff0, 0x10],
    hex('06 ffffff 000001 09 01000000 fffffff0 aa 46 000020 000001 09 bb'),
  ],
  [
    'a clock that goes back',
    [1000, 10],
    hex('06 0003e8 000001 09 01000000 aa 06 00000a 000001 09 01000000 bb'),
  ],
  [
    'a delta that overflows',
    [0x10, 0x0f],
    hex('06 000010 000001 09 01000000 aa 46 ffffff 000001 09 ffffffff bb'),
  ],
  [
    'type 3 that repeats an extended delta',
    [0, 0x1000000, 0x2000000],
    hex('06 000000 000001 09 01000000 aa 86 ffffff 01000000 bb c6 01000000 cc'),
  ],
])('R19 %s', (_, expected, bytes) => {
  const peer = live()
  const times = peer
    .send(bytes)
    .map((event) => (event.type === 'media' ? event.message.timestampMs : event))
  expect(times).toEqual(expected)
})

test('R23 an aggregate is taken apart, with times counted from its first part', () => {
  const peer = live()
  const tags = hex(`
    08 000002 000064 00 000000 af01 0000000d
    09 000001 00008c 00 000000 27 0000000c
    12 000000 00008c 00 000000 0000000b`)
  expect(peer.send(message(22, tags, { streamId: 1, time: 5000 }))).toEqual([
    { type: 'media', message: { kind: 'audio', timestampMs: 5000, payload: hex('af01') } },
    { type: 'media', message: { kind: 'video', timestampMs: 5040, payload: hex('27') } },
  ])
})

test('AMF3 wrappers of commands and data are understood', () => {
  const peer = new Peer()
  const wrapped = (payload: Buffer) => Buffer.concat([Buffer.from([0]), payload])
  const metadata = writeAmf0('@setDataFrame', 'onMetaData', { width: 2 })
  peer.send(Buffer.concat([Buffer.from([3]), Buffer.alloc(3072)]))
  const events = peer.send(
    message(17, wrapped(writeAmf0('connect', 1, { app: 'live', objectEncoding: 3 }))),
    message(17, writeAmf0('createStream', 2, null)),
    message(17, wrapped(writeAmf0('publish', 3, null, 'key', 'live')), { streamId: 1 }),
    message(15, wrapped(metadata), { streamId: 1 }),
  )
  expect(events).toMatchObject([
    { type: 'connect' },
    { type: 'publish', name: 'key' },
    { type: 'media', message: { kind: 'data', payload: writeAmf0('onMetaData', { width: 2 }) } },
  ])
})

test('a ping is answered with its own time', () => {
  const peer = live()
  peer.send(message(4, hex('0006 01020304'), { csid: 2 }))
  expect(peer.answer).toEqual(message(4, hex('0007 01020304'), { csid: 2 }))
})

test('bytes are acknowledged once per window that the publisher asked for', () => {
  const peer = live()
  peer.send(message(5, hex('00010000'), { csid: 2 }))
  const before = peer.session.bytesReceived
  const frame = message(9, Buffer.alloc(1000, 1), { csid: 6, streamId: 1 })
  let acknowledged = 0
  for (let i = 0; i < 200; i++) {
    peer.send(frame)
    if (peer.answer.length > 0) acknowledged++
  }
  const sent = peer.session.bytesReceived - before
  expect(acknowledged).toBeGreaterThanOrEqual(Math.floor(sent / 65_536) - 1)
  expect(acknowledged).toBeLessThanOrEqual(Math.ceil(sent / 65_536) + 1)
})

test('requests may go on for ever next to media', () => {
  const peer = live()
  const frame = message(9, hex('27 01 000000'), { csid: 6, streamId: 1 })
  const ping = message(4, hex('0006 00000001'), { csid: 2 })
  for (let i = 0; i < 2000; i++) peer.send(frame, ping)
  expect(peer.session.state).toBe('live')
})

test('R18 messages of no bytes are cut off, one byte of a continuation each', () => {
  const peer = live()
  const empty = chunkHeader({ format: 0, csid: 9, lengthBytes: 0, typeId: 9, streamId: 1 })
  expect(peer.send(empty, Buffer.alloc(250, 0xc9))).toEqual([])
  expect(errorsOf(peer.send(Buffer.alloc(1_000_000, 0xc9)))).toEqual(['too-much-talk'])
})

test('no error says anything that the peer sent', () => {
  const peer = greeted()
  const events = peer.send(connect, createStream, publish('nc_secret\n'))
  expect(JSON.stringify(events)).not.toContain('nc_secret')
})
