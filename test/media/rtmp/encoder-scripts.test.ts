// The commands of real encoders, in the order that was seen on the wire, and what each of them waits for.
import { expect, test } from 'vitest'
import { writeAmf0 } from '../../../media/rtmp/amf0.ts'
import { ChunkReader } from '../../../media/rtmp/chunk-reader.ts'
import { readCommand } from '../../../media/rtmp/command.ts'
import { chunkHeader, command, greeted, hex, message, type Peer } from './wire.ts'

const media = [
  message(18, writeAmf0('@setDataFrame', 'onMetaData', { width: 320 }), { streamId: 1 }),
  message(9, hex('17 00 000000 01640000'), { csid: 6, streamId: 1 }),
  message(8, hex('af 00 1190'), { csid: 4, streamId: 1 }),
]

/** Reads what the server wrote, in its own chunk size. */
function answersOf(peer: Peer, reader: ChunkReader): string[] {
  const names: string[] = []
  reader.read(peer.answer, 0, (answer) => {
    if (answer.typeId !== 20) {
      names.push(`type ${answer.typeId}`)
      return undefined
    }
    const read = readCommand(answer)
    if ('fault' in read) throw new Error(read.fault)
    const { name, transactionId, arguments: values } = read.value
    const information = values[0] as { code?: string } | undefined
    names.push(
      [name, transactionId, information?.code].filter((part) => part !== undefined).join(' '),
    )
    return undefined
  })
  return names
}

interface Script {
  connect: Buffer[]
  create: Buffer[]
  publish: Buffer[]
  end: Buffer[]
  /** What is said to releaseStream, FCPublish and createStream; transaction 0 wants no answer. */
  created: string[]
}

const tcUrl = 'rtmp://127.0.0.1:1935/live'
const type = 'nonprivate'

const scripts: Record<string, Script> = {
  'ffmpeg 5.1': {
    connect: [
      hex('02 000000 000004 01 00000000 0000ea60'),
      message(
        20,
        writeAmf0('connect', 1, {
          app: 'live',
          type,
          flashVer: 'FMLE/3.0 (compatible; Lavf59.27.100)',
          tcUrl,
        }),
        { chunkSize: 60_000 },
      ),
    ],
    create: [
      command('releaseStream', 2, null, ['key']),
      command('FCPublish', 3, null, ['key']),
      command('createStream', 4, null),
    ],
    publish: [command('publish', 5, null, ['key', 'live'], 1)],
    end: [command('FCUnpublish', 6, null, ['key']), command('deleteStream', 7, null, [1])],
    created: ['_result 2', '_result 3', '_result 4'],
  },
  'OBS 29 (librtmp)': {
    connect: [
      hex('02 000000 000004 01 00000000 00001000'),
      message(
        20,
        writeAmf0('connect', 1, {
          app: 'live',
          type,
          supportsGoAway: true,
          flashVer: 'FMLE/3.0 (compatible; FMSc/1.0)',
          swfUrl: tcUrl,
          tcUrl,
        }),
        { chunkSize: 4096 },
      ),
    ],
    create: [
      command('releaseStream', 2, null, ['key']),
      command('FCPublish', 3, null, ['key']),
      command('createStream', 4, null),
    ],
    publish: [command('publish', 5, null, ['key', 'live'], 1)],
    end: [command('FCUnpublish', 6, null, ['key']), command('deleteStream', 7, null, [1])],
    created: ['_result 2', '_result 3', '_result 4'],
  },
  'GStreamer 1.22 rtmp2sink': {
    connect: [
      message(
        20,
        writeAmf0('connect', 1, { app: 'live', type, flashVer: 'LNX 10,0,32,18', tcUrl }),
      ),
    ],
    create: [
      message(5, hex('002625a0'), { csid: 2 }),
      command('releaseStream', 0, null, ['key']),
      command('FCPublish', 0, null, ['key']),
      command('createStream', 2, null),
    ],
    publish: [command('publish', 0, null, ['key', 'live'], 1)],
    end: [command('FCUnpublish', 0, null, ['key']), command('deleteStream', 0, null, ['key'])],
    created: ['_result 2'],
  },
}

test.each(Object.keys(scripts))('%s gets the answers that it waits for', (encoder) => {
  const script = scripts[encoder]!
  const peer = greeted()
  const reader = new ChunkReader({ chunkStreams: 8, messageBytes: 65_536, partialBytes: 65_536 })
  void peer.answer

  expect(peer.send(...script.connect)).toMatchObject([{ type: 'connect', app: 'live' }])
  expect(answersOf(peer, reader)).toEqual([
    'type 5',
    'type 6',
    'type 1',
    '_result 1 NetConnection.Connect.Success',
  ])
  expect(peer.send(...script.create)).toEqual([])
  expect(answersOf(peer, reader)).toEqual(script.created)
  expect(peer.send(...script.publish)).toMatchObject([
    { type: 'publish', name: 'key', streamId: 1 },
  ])
  expect(answersOf(peer, reader)).toEqual([])

  peer.session.acceptPublish(1)
  expect(answersOf(peer, reader)).toEqual([
    'type 4',
    'onFCPublish 0 NetStream.Publish.Start',
    'onStatus 0 NetStream.Publish.Start',
  ])
  expect(peer.send(...media).map((event) => event.type)).toEqual(['media', 'media', 'media'])
  expect(peer.send(...script.end)).toEqual([{ type: 'unpublish', streamId: 1 }])
  expect(answersOf(peer, reader)).toEqual(['onFCUnpublish 0 NetStream.Unpublish.Success'])
})

test.each([
  ['_checkbw', []],
  ['getStreamLength', ['key']],
])('%s is answered', (name, values) => {
  const peer = greeted()
  peer.send(command('connect', 1, { app: 'live' }))
  const reader = new ChunkReader({ chunkStreams: 8, messageBytes: 65_536, partialBytes: 65_536 })
  void reader.read(peer.answer.subarray(3073), 0, () => undefined)
  peer.send(command(name, 9, null, values))
  expect(answersOf(peer, reader)).toEqual(['_result 9'])
})

test('after an unpublish the same connection may publish again', () => {
  const peer = greeted()
  const [connect] = scripts['ffmpeg 5.1']!.connect.slice(1)
  peer.send(
    hex('02 000000 000004 01 00000000 0000ea60'),
    connect!,
    ...scripts['ffmpeg 5.1']!.create,
  )
  peer.send(...scripts['ffmpeg 5.1']!.publish)
  peer.session.acceptPublish(1)
  peer.send(command('closeStream', 0, null, [], 1))
  expect(peer.session.state).toBe('connected')
  expect(peer.send(...scripts['ffmpeg 5.1']!.publish)).toMatchObject([
    { type: 'publish', streamId: 1 },
  ])
})

test('a header of type 1 opens only the control chunk stream', () => {
  const peer = greeted()
  const open = (csid: number) =>
    Buffer.concat([
      chunkHeader({ format: 1, csid, lengthBytes: 6, typeId: 4 }),
      hex('0003 00000000'),
    ])
  expect(peer.send(open(2))).toEqual([])
  expect(peer.send(open(5))).toMatchObject([{ type: 'error' }])
})
