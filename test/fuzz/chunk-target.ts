// Fuzz target `chunks`: the chunk stream behind a handshake, whole and split, which must come to the same.
import { ChunkReader, type ChunkReaderLimits } from '../../media/rtmp/chunk-reader.ts'
import { defaultRtmpLimits } from '../../media/rtmp/limits.ts'
import type { RtmpMessage } from '../../media/rtmp/message.ts'
import { fatalInput, harmlessInput } from '../corpus/rtmp.ts'
import { recordSession } from '../media/rtmp/recorded-session.ts'
import { hex, message } from '../media/rtmp/wire.ts'
import { type FuzzTarget, pieces } from './fuzz-target.ts'

const { chunkStreams, messageBytesBeforePublish, partialBytesBeforePublish } = defaultRtmpLimits
const limits: ChunkReaderLimits = {
  chunkStreams,
  messageBytes: messageBytesBeforePublish,
  partialBytes: partialBytesBeforePublish,
}
/** Taken for a message before its bytes are there. */
const reserveBytes = 4096
/** Larger seeds only cost time: their beginning reaches the same code. */
const seedBytes = 4096
/** Larger than what is taken at first, so that the memory of a message grows while it comes. */
const longMessage = message(9, Buffer.alloc(9000, hex('2701f3')), { csid: 6, streamId: 1 })
/** All its chunks have the long form of the timestamp. */
const lateMessage = message(9, Buffer.alloc(300, hex('2701f3')), {
  csid: 6,
  streamId: 1,
  time: 0xffffff00,
})
/** Once in so many runs payloads are looked at byte for byte, else at length and end: whole they cost most of a run. */
const runsPerFullLook = 8
/** From here on a payload must be made of what came; it is sought from the first byte on, which many would make dear. */
const largeBytes = 1024

type Reader = Pick<ChunkReader, 'read' | 'partialBytes'>

/** The reader to feed, so that a test can put a worse one in its place. */
export function chunkTargetOf(
  newReader: (limits: ChunkReaderLimits) => Reader = (its) => new ChunkReader(its),
): FuzzTarget {
  return {
    name: 'chunks',
    seeds: [
      recordSession().fromClient,
      recordSession().fromServer,
      ...fatalInput.map(([, , parts]) => Buffer.concat(parts)),
      ...harmlessInput.map(([, part]) => part),
    ]
      .map((seed) => seed.subarray(0, seedBytes))
      .concat(longMessage, lateMessage),
    check(bytes, random) {
      const isFull = random(runsPerFullLook) === 0
      const whole = new Outcome(newReader(limits), isFull ? bytes : undefined)
      whole.read(bytes)
      if (whole.payloadBytes > bytes.length) return 'more payload than there were bytes'
      if (whole.isInvented) return 'a payload of bytes that never came'
      if (whole.messages > bytes.length) return 'more messages than there were bytes'
      const allowedBytes = Math.min(
        partialBytesBeforePublish,
        2 * bytes.length + chunkStreams * reserveBytes,
      )
      if (whole.highestPartialBytes > allowedBytes) {
        return `${whole.highestPartialBytes} bytes held for ${bytes.length} that came`
      }
      const split = new Outcome(newReader(limits), isFull ? bytes : undefined)
      for (const part of pieces(bytes, random)) split.read(part)
      if (split.highestPartialBytes > allowedBytes) {
        return `${split.highestPartialBytes} bytes held for ${bytes.length} that came in pieces`
      }
      const isSame =
        split.error === whole.error &&
        split.messages === whole.messages &&
        split.fingerprint === whole.fingerprint
      return isSame ? undefined : 'another outcome when the bytes are split'
    },
  }
}

export const chunkTarget = chunkTargetOf()

/** What a reader makes of bytes. */
class Outcome {
  readonly #reader: Reader
  /** All that will come; only for a full look. */
  readonly #all: Buffer | undefined
  messages = 0
  payloadBytes = 0
  /** Of all that was handed over, in its order. */
  fingerprint = 0
  isInvented = false
  error: string | undefined
  highestPartialBytes = 0

  constructor(reader: Reader, all: Buffer | undefined) {
    this.#reader = reader
    this.#all = all
  }

  read(bytes: Buffer): void {
    const error = this.#reader.read(bytes, 0, this.#onMessage)
    this.error ??= error?.reason
    this.highestPartialBytes = Math.max(this.highestPartialBytes, this.#reader.partialBytes)
  }

  readonly #onMessage = ({ typeId, streamId, timestampMs, payload }: RtmpMessage): undefined => {
    this.messages++
    this.payloadBytes += payload.length
    this.#add(typeId)
    this.#add(streamId)
    this.#add(timestampMs)
    this.#add(payload.length)
    const from = this.#all ? 0 : Math.max(0, payload.length - 1)
    for (let at = from; at < payload.length; at++) this.#add(payload[at]!)
    if (this.#all && payload.length >= largeBytes && !isTakenFrom(this.#all, payload)) {
      this.isInvented = true
    }
  }

  #add(value: number): void {
    this.fingerprint = (Math.imul(this.fingerprint, 31) + value) | 0
  }
}

/** Whether `bytes` has all of `payload` in its order, with headers between. */
function isTakenFrom(bytes: Buffer, payload: Buffer): boolean {
  let found = 0
  for (let at = 0; at < bytes.length && found < payload.length; at++) {
    if (bytes[at] === payload[found]) found++
  }
  return found === payload.length
}
