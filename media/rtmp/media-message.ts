// Media messages out of chunk stream messages and back: `@setDataFrame` off and on, aggregates taken apart.
import type { Parsed } from '../parsed.ts'
import { type MediaKind, type MediaMessage, messageType, type RtmpMessage } from './message.ts'

const setDataFrame = amfString('@setDataFrame')
const clearDataFrame = amfString('@clearDataFrame')
const onMetaData = amfString('onMetaData')

const kindOfType: Partial<Record<number, MediaKind>> = {
  [messageType.audio]: 'audio',
  [messageType.video]: 'video',
  [messageType.dataAmf0]: 'data',
  [messageType.dataAmf3]: 'data',
}
const typeOfKind = {
  audio: messageType.audio,
  video: messageType.video,
  data: messageType.dataAmf0,
} as const

/** `undefined` for what carries nothing: empty messages and the order to forget the metadata. */
export function mediaOf(message: RtmpMessage): MediaMessage | undefined {
  const kind = kindOfType[message.typeId]
  if (kind === undefined || message.payload.length === 0) return undefined
  const payload = kind === 'data' ? dataOf(message) : message.payload
  if (payload.length === 0) return undefined
  return { kind, timestampMs: message.timestampMs, payload }
}

function dataOf({ typeId, payload }: RtmpMessage): Buffer {
  // Type 15 opens with a format byte, 0 for AMF0; data never begins with the number that 0 would mean.
  const bytes = typeId === messageType.dataAmf3 && payload[0] === 0 ? payload.subarray(1) : payload
  if (startsWith(bytes, setDataFrame)) return bytes.subarray(setDataFrame.length)
  if (startsWith(bytes, clearDataFrame)) return bytes.subarray(bytes.length)
  return bytes
}

export function messageOfMedia(media: MediaMessage, streamId: number): RtmpMessage {
  const isMetadata = media.kind === 'data' && startsWith(media.payload, onMetaData)
  return {
    typeId: typeOfKind[media.kind],
    streamId,
    timestampMs: media.timestampMs,
    payload: isMetadata ? Buffer.concat([setDataFrame, media.payload]) : media.payload,
  }
}

const tagHeaderBytes = 11
const backPointerBytes = 4

/** §7.1.6: FLV tags in a row; the message's timestamp is that of the first one. */
export function splitAggregate(message: RtmpMessage): Parsed<RtmpMessage[]> {
  const { payload, streamId } = message
  const parts: RtmpMessage[] = []
  let offsetMs: number | undefined
  for (let at = 0; at < payload.length; ) {
    if (payload.length - at < tagHeaderBytes) return { fault: 'an aggregate ends inside a header' }
    const size = payload.readUIntBE(at + 1, 3)
    const tagMs = payload.readUIntBE(at + 4, 3) + payload[at + 7]! * 2 ** 24
    const start = at + tagHeaderBytes
    if (size > payload.length - start) return { fault: 'an aggregate holds less than it says' }
    offsetMs ??= message.timestampMs - tagMs
    parts.push({
      typeId: payload[at]!,
      streamId,
      timestampMs: (tagMs + offsetMs) >>> 0,
      payload: payload.subarray(start, start + size),
    })
    at = start + size + backPointerBytes
  }
  return { value: parts }
}

function startsWith(bytes: Buffer, prefix: Buffer): boolean {
  return bytes.length >= prefix.length && prefix.compare(bytes, 0, prefix.length) === 0
}

function amfString(text: string): Buffer {
  const utf8 = Buffer.from(text)
  return Buffer.concat([Buffer.from([2, 0, utf8.length]), utf8])
}
