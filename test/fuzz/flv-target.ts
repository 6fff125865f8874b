// Fuzz target `flv`: the FLV byte stream, whole and split, and the tags that come of it.
import { readAudioTag } from '../../media/flv/audio-tag.ts'
import { readMetadata } from '../../media/flv/metadata.ts'
import { FlvReader } from '../../media/flv/tag-reader.ts'
import { flvHeader, flvTag } from '../../media/flv/tag-writer.ts'
import { readVideoTag } from '../../media/flv/video-tag.ts'
import { writeAmf0, writeAmf0EcmaArray } from '../../media/rtmp/amf0.ts'
import type { MediaMessage } from '../../media/rtmp/message.ts'
import { hex } from '../media/rtmp/wire.ts'
import { type FuzzTarget, pieces } from './fuzz-target.ts'

const message = (kind: MediaMessage['kind'], timestampMs: number, payload: Buffer) =>
  flvTag({ kind, timestampMs, payload })

const stream = (...tags: Buffer[][]) =>
  Buffer.concat([flvHeader({ audio: true, video: true }), ...tags.flat()])

const metadata = Buffer.concat([
  writeAmf0('onMetaData'),
  writeAmf0EcmaArray({ width: 1280, height: 720, framerate: 30, audiochannels: 2 }),
])

const seeds = [
  stream(
    message('data', 0, metadata),
    message('video', 0, hex('17 00 000000 0164001fffe100')),
    message('audio', 0, hex('af 00 1190')),
    message('video', 0, Buffer.concat([hex('17 01 000042'), Buffer.alloc(60, 7)])),
    message('audio', 21, Buffer.concat([hex('af 01'), Buffer.alloc(40, 3)])),
    message('video', 0xffffffff, hex('27 01 ffffff 00')),
  ),
  // Enhanced RTMP: HEVC with a composition time, an empty end of sequence, Opus, a multitrack header.
  stream(
    message('video', 40, hex('91 68766331 000010 00000001 26')),
    message('video', 41, hex('92 61763031')),
    message('audio', 42, hex('91 4f707573 00')),
    message('video', 43, hex('96 10 61766331 00 000003 010203')),
  ),
  // Modifiers before the four letters, short and long, and one that ends with the tag.
  stream(
    message('video', 44, hex('97 00 aa 01 68766331 000010 26')),
    message('audio', 45, hex('97 ff 0003 aabbccdd 01 4f707573 00')),
    message('video', 46, hex('97 ff 00')),
  ),
  stream(message('data', 5, writeAmf0('onTextData', { text: 'x' }))),
]

interface Outcome {
  messages: MediaMessage[]
  fault: string | undefined
}

type Reader = Pick<FlvReader, 'read'>

/** The reader to feed, so that a test can put a worse one in its place. */
export function flvTargetOf(newReader: () => Reader = () => new FlvReader()): FuzzTarget {
  return {
    name: 'flv',
    seeds,
    check(bytes, random) {
      const whole = read(newReader(), [bytes])
      let payloadBytes = 0
      for (const { kind, payload } of whole.messages) {
        payloadBytes += payload.length
        const offset = bodyOffsetOf(kind, payload)
        if (offset > payload.length) return `a ${kind} body that begins behind its message`
      }
      if (payloadBytes > bytes.length) return 'more payload than there were bytes'
      const split = read(newReader(), pieces(bytes, random))
      return isSame(whole, split) ? undefined : 'another outcome when the bytes are split'
    },
  }
}

export const flvTarget = flvTargetOf()

/** With a fault go the messages of the same piece, so that they may differ. */
function isSame(whole: Outcome, split: Outcome): boolean {
  if (split.fault !== whole.fault) return false
  if (whole.fault !== undefined) return true
  if (split.messages.length !== whole.messages.length) return false
  return split.messages.every(({ kind, timestampMs, payload }, i) => {
    const other = whole.messages[i]!
    return kind === other.kind && timestampMs === other.timestampMs && payload.equals(other.payload)
  })
}

function bodyOffsetOf(kind: MediaMessage['kind'], payload: Buffer): number {
  if (kind === 'data') {
    readMetadata(payload)
    return 0
  }
  const tag = kind === 'video' ? readVideoTag(payload) : readAudioTag(payload)
  return 'value' in tag ? tag.value.bodyOffset : 0
}

function read(reader: Reader, parts: readonly Buffer[]): Outcome {
  const outcome: Outcome = { messages: [], fault: undefined }
  for (const part of parts) {
    const result = reader.read(part)
    if ('fault' in result) return { messages: outcome.messages, fault: result.fault }
    outcome.messages.push(...result.value)
  }
  return outcome
}
