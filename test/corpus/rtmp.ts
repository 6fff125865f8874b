// The R corpus: what hostile and broken peers send behind the handshake. The names are the corpus ids.
import { writeAmf0 } from '../../media/rtmp/amf0.ts'
import type { RtmpErrorReason } from '../../media/rtmp/error.ts'
import {
  chunkHeader,
  command,
  connect,
  createStream,
  hex,
  message,
  publish,
} from '../media/rtmp/wire.ts'

export const onCsid = (csid: number, lengthBytes: number) =>
  chunkHeader({ format: 0, csid, lengthBytes, typeId: 9, streamId: 1 })

/** Whole chunks of a message that lacks its last byte; `bytes` is a multiple of 128. */
export const unfinished = (csid: number, bytes: number) =>
  message(9, Buffer.alloc(bytes + 1), { csid, streamId: 1 }).subarray(0, -2)

const deepObject = Buffer.concat(Array.from({ length: 16_000 }, () => hex('03 0001 61')))

/** Each ends a connection with that reason, long before a publish is accepted. */
export const fatalInput: [string, RtmpErrorReason, Buffer[]][] = [
  ['R10 chunk size 0', 'chunk-size-invalid', [hex('02 000000 000004 01 00000000 00000000')]],
  ['R10 chunk size 1', 'chunk-size-invalid', [hex('02 000000 000004 01 00000000 00000001')]],
  ['R10 chunk size 127', 'chunk-size-invalid', [hex('02 000000 000004 01 00000000 0000007f')]],
  ['R10 chunk size 65537', 'chunk-size-invalid', [hex('02 000000 000004 01 00000000 00010001')]],
  ['R10 chunk size 2 GiB', 'chunk-size-invalid', [hex('02 000000 000004 01 00000000 7fffffff')]],
  [
    'R10 chunk size with bit 31',
    'chunk-size-invalid',
    [hex('02 000000 000004 01 00000000 80000000')],
  ],
  ['R10 chunk size of no bytes', 'chunk-size-invalid', [hex('02 000000 000000 01 00000000 00')]],
  ['R10 chunk size of 3 bytes', 'chunk-size-invalid', [hex('02 000000 000003 01 00000000 000080')]],
  ['R11 first chunk of type 3', 'chunk-stream-unknown', [hex('c9')]],
  ['R11 first chunk of type 1', 'chunk-stream-unknown', [hex('49 000000 000001 09 aa')]],
  ['R11 first chunk of type 2', 'chunk-stream-unknown', [hex('89 000000')]],
  [
    'R12 a full header in mid-message',
    'message-interrupted',
    [onCsid(6, 300), Buffer.alloc(128), onCsid(6, 300)],
  ],
  [
    'R12 another length in mid-message',
    'message-interrupted',
    [
      onCsid(6, 300),
      Buffer.alloc(128),
      chunkHeader({ format: 1, csid: 6, lengthBytes: 10, typeId: 9 }),
    ],
  ],
  [
    'R13 65 599 chunk streams',
    'too-many-chunk-streams',
    Array.from({ length: 40 }, (_, i) =>
      Buffer.concat([onCsid(64 + i * 1000, 1000), Buffer.alloc(128)]),
    ),
  ],
  ['R14 a message of 16 MiB', 'message-too-large', [onCsid(6, 0xffffff)]],
  ['R14 a message of 1 MiB and a byte', 'message-too-large', [onCsid(6, 1024 * 1024 + 1)]],
  ['R15 abort of 3 bytes', 'control-malformed', [hex('02 000000 000003 02 00000000 000004')]],
  ['R16 window of 0 bytes', 'control-malformed', [message(5, Buffer.alloc(4), { csid: 2 })]],
  ['R16 window message of 1 byte', 'control-malformed', [message(5, Buffer.alloc(1), { csid: 2 })]],
  [
    'R16 acknowledgement of 1 byte',
    'control-malformed',
    [message(3, Buffer.alloc(1), { csid: 2 })],
  ],
  ['R16 bandwidth of 4 bytes', 'control-malformed', [message(6, Buffer.alloc(4), { csid: 2 })]],
  ['R17 user control of 1 byte', 'control-malformed', [message(4, Buffer.alloc(1), { csid: 2 })]],
  ['R17 ping without a time', 'control-malformed', [message(4, hex('0006'), { csid: 2 })]],
  ['R20 16 000 objects in one another', 'amf-malformed', [message(20, deepObject)]],
  ['R20 strict array of 4 G values', 'amf-malformed', [message(20, hex('0a ffffffff'))]],
  ['R20 a command without a name', 'amf-malformed', [message(20, hex('00 0000000000000000'))]],
  ['R20 an empty command', 'amf-malformed', [message(20, Buffer.alloc(0))]],
  ['R21 connect with a null object', 'command-invalid', [command('connect', 1, null)]],
  ['R21 connect without app', 'command-invalid', [command('connect', 1, { tcUrl: '::' })]],
  ['R21 app is a number', 'command-invalid', [command('connect', 1, { app: 1 })]],
  ['R21 app with NUL', 'command-invalid', [command('connect', 1, { app: 'a\0' })]],
  ['R21 app of 64 KB', 'command-invalid', [command('connect', 1, { app: 'a'.repeat(65_000) })]],
  [
    'R21 tcUrl of 1 MB',
    'message-too-large',
    [command('connect', 1, { tcUrl: 'a'.repeat(1024 * 1024) })],
  ],
  ['R21 connect twice', 'command-unexpected', [connect, connect]],
  ['R22 publish before connect', 'command-unexpected', [publish('key')]],
  ['R22 createStream before connect', 'command-unexpected', [createStream]],
  ['R22 publish without createStream', 'command-unexpected', [connect, publish('key')]],
  ['R22 publish name is a number', 'command-invalid', [connect, createStream, publish(0)]],
  ['R22 publish name is null', 'command-invalid', [connect, createStream, publish(null)]],
  [
    'R22 publish without a name',
    'command-invalid',
    [connect, createStream, command('publish', 3, null, [], 1)],
  ],
  [
    'R22 publish name of 64 KB',
    'command-invalid',
    [connect, createStream, publish('k'.repeat(65_000))],
  ],
  ['R22 publish name with CR LF', 'command-invalid', [connect, createStream, publish('a\r\nb')]],
  [
    'R22 createStream without end',
    'too-many-streams',
    [connect, ...Array.from({ length: 10 }, () => createStream)],
  ],
  [
    'R22 createStream and deleteStream without end',
    'too-much-talk',
    [
      connect,
      ...Array.from({ length: 300 }, (_, i) =>
        Buffer.concat([createStream, command('deleteStream', 0, null, [i + 1])]),
      ),
    ],
  ],
  [
    'R17 pings without end',
    'too-much-talk',
    [
      Buffer.concat(
        Array.from({ length: 300 }, () => message(4, hex('0006 00000001'), { csid: 2 })),
      ),
    ],
  ],
  [
    'R16 bandwidths without end',
    'too-much-talk',
    [Buffer.concat(Array.from({ length: 300 }, () => message(6, hex('00100000 02'), { csid: 2 })))],
  ],
  ['R23 aggregate that ends in a header', 'aggregate-malformed', [message(22, hex('09 000001'))]],
  [
    'R23 aggregate with a part larger than itself',
    'aggregate-malformed',
    [message(22, hex('09 ffffff 000000 00 000000 17'))],
  ],
]

/** Odd, and without consequences for a publisher that is live. */
export const harmlessInput: [string, Buffer][] = [
  ['R15 abort of an unknown chunk stream', hex('02 000000 000004 02 00000000 00000009')],
  [
    'R17 ping responses',
    Buffer.concat(Array.from({ length: 200 }, () => message(4, hex('0007 00000001'), { csid: 2 }))),
  ],
  ['R17 unknown user control', message(4, hex('0fff'), { csid: 2 })],
  ['R20 transaction id NaN', command('releaseStream', NaN, null)],
  ['R20 transaction id missing', message(20, writeAmf0('unknown'))],
  ['R20 unknown command', command('toString', 9, null, ['__proto__'])],
  ['R22 deleteStream of others', command('deleteStream', 9, null, [2 ** 31])],
  ['R22 deleteStream of nothing', command('deleteStream', 9, null)],
  ['R22 closeStream on stream 0', command('closeStream', 9, null)],
  ['R22 FCUnpublish of another name', command('FCUnpublish', 9, null, ['other'])],
  ['R22 play', command('play', 9, null, ['key'], 1)],
  ['R23 type 16', message(16, hex('00'))],
  ['R23 type 19', message(19, hex('00'))],
  ['R23 type ff', message(0xff, hex('00'))],
  ['R23 empty aggregate', message(22, Buffer.alloc(0))],
  ['R30 video of no bytes', message(9, Buffer.alloc(0), { streamId: 1 })],
  ['R30 audio of no bytes', message(8, Buffer.alloc(0), { streamId: 1 })],
  ['R30 data of no bytes', message(18, Buffer.alloc(0), { streamId: 1 })],
  ['media of another stream', message(9, hex('17 01 000000'), { streamId: 7 })],
]
