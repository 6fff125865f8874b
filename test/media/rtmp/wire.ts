// Raw RTMP bytes for tests, made without the code under test: chunks with any header, handshakes, commands.
import type { AmfValue } from '../../../media/rtmp/amf-value.ts'
import { writeAmf0 } from '../../../media/rtmp/amf0.ts'
import {
  type RtmpServerOptions,
  RtmpServerSession,
  type ServerEvent,
} from '../../../media/rtmp/server-session.ts'

/** C0, C1 and C2 of a client that does not care. */
export const greeting = Buffer.concat([Buffer.from([3]), Buffer.alloc(1536 * 2)])

export function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
}

export interface ChunkHeader {
  format: 0 | 1 | 2 | 3
  csid: number
  /** Bytes of the chunk stream id; the shortest that fits when absent. */
  idBytes?: 1 | 2 | 3
  /** Timestamp or delta; for type 3 given when the extended field is repeated. */
  time?: number
  lengthBytes?: number
  typeId?: number
  streamId?: number
}

export function chunkHeader(header: ChunkHeader): Buffer {
  const { format, csid } = header
  const idBytes = header.idBytes ?? (csid < 64 ? 1 : csid < 320 ? 2 : 3)
  const bytes: number[] = []
  const top = format << 6
  if (idBytes === 1) bytes.push(top | csid)
  else if (idBytes === 2) bytes.push(top, csid - 64)
  else bytes.push(top | 1, (csid - 64) & 0xff, (csid - 64) >> 8)
  const time = header.time ?? 0
  const isExtended = time >= 0xffffff
  const field = isExtended ? 0xffffff : time
  if (format <= 2) bytes.push(field >> 16, (field >> 8) & 0xff, field & 0xff)
  if (format <= 1) {
    const length = header.lengthBytes ?? 0
    bytes.push(length >> 16, (length >> 8) & 0xff, length & 0xff, header.typeId ?? 0)
  }
  const out = Buffer.from(bytes)
  const parts = [out]
  if (format === 0) {
    const streamId = Buffer.alloc(4)
    streamId.writeUInt32LE(header.streamId ?? 0)
    parts.push(streamId)
  }
  if (isExtended) {
    const extended = Buffer.alloc(4)
    extended.writeUInt32BE(time)
    parts.push(extended)
  }
  return Buffer.concat(parts)
}

/** One message with a full header, cut at 128 bytes. */
export function message(
  typeId: number,
  payload: Buffer,
  options: { csid?: number; streamId?: number; time?: number; chunkSize?: number } = {},
): Buffer {
  const { csid = 3, streamId = 0, time = 0, chunkSize = 128 } = options
  const parts = [
    chunkHeader({ format: 0, csid, time, lengthBytes: payload.length, typeId, streamId }),
    payload.subarray(0, chunkSize),
  ]
  for (let at = chunkSize; at < payload.length; at += chunkSize) {
    parts.push(chunkHeader({ format: 3, csid, ...(time >= 0xffffff ? { time } : {}) }))
    parts.push(payload.subarray(at, at + chunkSize))
  }
  return Buffer.concat(parts)
}

export function command(
  name: AmfValue,
  transactionId: AmfValue,
  object: AmfValue,
  values: AmfValue[] = [],
  streamId = 0,
): Buffer {
  return message(20, writeAmf0(name, transactionId, object, ...values), { streamId })
}

export const connect = command('connect', 1, { app: 'live', tcUrl: 'rtmp://localhost/live' })
export const createStream = command('createStream', 2, null)
export function publish(name: AmfValue, streamId = 1): Buffer {
  return command('publish', 3, null, [name, 'live'], streamId)
}

export class Peer {
  readonly session: RtmpServerSession

  constructor(options: RtmpServerOptions = {}) {
    this.session = new RtmpServerSession(options)
  }

  send(...parts: Buffer[]): ServerEvent[] {
    return this.session.receive(Buffer.concat(parts))
  }

  /** What the session wrote since the last call. */
  get answer(): Buffer {
    return Buffer.concat(this.session.takeOutput())
  }
}

export function greeted(options: RtmpServerOptions = {}): Peer {
  const peer = new Peer(options)
  peer.send(greeting)
  return peer
}

export function live(options: RtmpServerOptions = {}): Peer {
  const peer = greeted(options)
  peer.send(connect, createStream, publish('key'))
  peer.session.acceptPublish(1)
  void peer.answer
  return peer
}
