// Fuzz target `chunks`: the chunk stream behind a handshake, whole and split, which must come to the same.
import { ChunkReader } from '../../media/rtmp/chunk-reader.ts'
import { defaultRtmpLimits } from '../../media/rtmp/limits.ts'
import { fatalInput, harmlessInput } from '../corpus/rtmp.ts'
import { recordSession } from '../media/rtmp/recorded-session.ts'
import { type FuzzTarget, pieces } from './fuzz-target.ts'

const { chunkStreams, messageBytesBeforePublish, partialBytesBeforePublish } = defaultRtmpLimits
/** Taken for a message before its bytes are there. */
const reserveBytes = 4096
/** Larger seeds only cost time: their beginning reaches the same code. */
const seedBytes = 4096

interface Outcome {
  messages: number
  payloadBytes: number
  /** Of all that was handed over, in its order. */
  fingerprint: number
  error: string | undefined
  highestPartialBytes: number
}

export const chunkTarget: FuzzTarget = {
  name: 'chunks',
  seeds: [
    recordSession().fromClient,
    recordSession().fromServer,
    ...fatalInput.map(([, , parts]) => Buffer.concat(parts)),
    ...harmlessInput.map(([, part]) => part),
  ].map((seed) => seed.subarray(0, seedBytes)),
  check(bytes, random) {
    const whole = read([bytes])
    if (whole.payloadBytes > bytes.length) return 'more payload than there were bytes'
    if (whole.messages > bytes.length) return 'more messages than there were bytes'
    const allowed = Math.min(
      partialBytesBeforePublish,
      2 * bytes.length + chunkStreams * reserveBytes,
    )
    if (whole.highestPartialBytes > allowed) {
      return `${whole.highestPartialBytes} bytes held for ${bytes.length} that came`
    }
    const split = read(pieces(bytes, random))
    const isSame =
      split.error === whole.error &&
      split.messages === whole.messages &&
      split.fingerprint === whole.fingerprint
    return isSame ? undefined : 'another outcome when the bytes are split'
  },
}

function read(parts: readonly Buffer[]): Outcome {
  const reader = new ChunkReader({
    chunkStreams,
    messageBytes: messageBytesBeforePublish,
    partialBytes: partialBytesBeforePublish,
  })
  const outcome: Outcome = {
    messages: 0,
    payloadBytes: 0,
    fingerprint: 0,
    error: undefined,
    highestPartialBytes: 0,
  }
  for (const part of parts) {
    const error = reader.read(part, 0, ({ typeId, timestampMs, payload }) => {
      outcome.messages++
      outcome.payloadBytes += payload.length
      const sum = typeId + timestampMs + payload.length + (payload.at(-1) ?? 0)
      outcome.fingerprint = (Math.imul(outcome.fingerprint, 31) + sum) | 0
      return undefined
    })
    outcome.error ??= error?.reason
    outcome.highestPartialBytes = Math.max(outcome.highestPartialBytes, reader.partialBytes)
  }
  return outcome
}
