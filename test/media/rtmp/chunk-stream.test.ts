import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ChunkReader } from '../../../media/rtmp/chunk-reader.ts'
import { ChunkWriter } from '../../../media/rtmp/chunk-writer.ts'
import type { RtmpMessage } from '../../../media/rtmp/message.ts'
import { chunkHeader, hex } from './wire.ts'

const limits = { chunkStreams: 32, messageBytes: 100_000, partialBytes: 1_000_000 }

const timestamps = fc.oneof(
  fc.nat({ max: 100_000 }),
  fc.integer({ min: 0xfffff0, max: 0x1000010 }),
  fc.integer({ min: 0xffffff00, max: 0xffffffff }),
  fc.constantFrom(0, 0xfffffe, 0xffffff, 0x1000000, 0xffffffff),
)
const lengths = fc.oneof(
  fc.nat({ max: 300 }),
  fc.nat({ max: 5_000 }),
  fc.constantFrom(0, 1, 128, 256),
)
const csids = fc.oneof(
  fc.integer({ min: 2, max: 12 }),
  fc.constantFrom(63, 64, 65, 319, 320, 321, 1000, 65_598, 65_599),
)
/** Neither Set Chunk Size nor Abort, which the reader obeys. */
const typeIds = fc.integer({ min: 3, max: 255 })
const chunkSizes = fc.oneof(fc.integer({ min: 128, max: 400 }), fc.constantFrom(4096, 65_536))

function payloadOf(lengthBytes: number, seed: number): Buffer {
  const out = Buffer.alloc(lengthBytes)
  for (let i = 0; i < lengthBytes; i++) out[i] = (i * 31 + seed) & 0xff
  return out
}

/** Feeds bytes cut at the given places; zero cuts is one piece. */
function readAll(bytes: Buffer, cuts: number[]): { messages: RtmpMessage[]; reader: ChunkReader } {
  const reader = new ChunkReader(limits)
  const messages: RtmpMessage[] = []
  const places = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort(
    (a, b) => a - b,
  )
  let from = 0
  for (const to of places) {
    const piece = Buffer.from(bytes.subarray(from, to))
    const error = reader.read(piece, 0, (message) => {
      // Set Chunk Size, which stands between the messages that are compared.
      if (message.typeId !== 1) messages.push(message)
      return undefined
    })
    expect(error).toBeUndefined()
    // What was read must not refer to the input.
    piece.fill(0xee)
    from = to
  }
  return { messages, reader }
}

function setChunkSize(size: number): Buffer {
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(size)
  return Buffer.concat([chunkHeader({ format: 0, csid: 2, typeId: 1, lengthBytes: 4 }), payload])
}

test('what the writer writes the reader reads, however it is split', () => {
  const step = fc.record({
    csid: csids,
    typeId: typeIds,
    streamId: fc.constantFrom(0, 1, 0x01020304, 0xffffffff),
    timestampMs: timestamps,
    lengthBytes: lengths,
    compress: fc.boolean(),
    chunkSize: fc.option(chunkSizes, { nil: undefined }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), fc.array(fc.nat()), (steps, cuts) => {
      const writer = new ChunkWriter()
      const out: Buffer[] = []
      const sent: RtmpMessage[] = []
      steps.forEach(({ csid, compress, chunkSize, lengthBytes, ...head }, i) => {
        if (chunkSize !== undefined) {
          out.push(setChunkSize(chunkSize))
          writer.chunkSizeBytes = chunkSize
        }
        // 2 carries our hand-made Set Chunk Size, of which the writer knows nothing.
        const message = { ...head, payload: payloadOf(lengthBytes, i) }
        writer.write(out, csid === 2 ? 3 : csid, message, compress)
        sent.push(message)
      })
      const { messages, reader } = readAll(Buffer.concat(out), cuts)
      expect(messages).toEqual(sent)
      expect(reader.partialBytes).toBe(0)
    }),
    { numRuns: 300 },
  )
})

test('a clock that wraps is written in full', () => {
  const writer = new ChunkWriter()
  const bytesOf = (timestampMs: number) => {
    const out: Buffer[] = []
    const payload = payloadOf(8, 1)
    writer.write(out, 4, { typeId: 8, streamId: 1, timestampMs, payload })
    return Buffer.concat(out)
  }
  bytesOf(0xffffffd8)
  expect(bytesOf(0xffffffec)[0]! >> 6).toBe(2)
  const wrapped = bytesOf(0x00000000)
  expect(wrapped[0]! >> 6).toBe(0)
  expect(wrapped.readUIntBE(1, 3)).toBe(0)
})

interface Plan {
  csid: number
  idBytes: 1 | 2 | 3
  format: 0 | 1 | 2 | 3
  time: number
  lengthBytes: number
  typeId: number
  streamId: number
}

/** Cuts each message into chunks by the letter of RTMP 1.0 §5.3.1, with whatever header types were drawn. */
function encode(plans: Plan[], chunkSize: number) {
  const queues = new Map<number, { chunks: Buffer[]; message: RtmpMessage }[]>()
  const last = new Map<number, { plan: Plan; delta: number; timestamp: number }>()
  plans.forEach((drawn, i) => {
    const before = last.get(drawn.csid)
    const plan = { ...drawn, format: before ? drawn.format : (0 as const) }
    if (before && plan.format >= 1) plan.streamId = before.plan.streamId
    if (before && plan.format >= 2) {
      plan.lengthBytes = before.plan.lengthBytes
      plan.typeId = before.plan.typeId
    }
    const delta = before && plan.format === 3 ? before.delta : plan.time
    const timestamp = before && plan.format > 0 ? (before.timestamp + delta) >>> 0 : delta
    last.set(plan.csid, { plan, delta, timestamp })
    const payload = payloadOf(plan.lengthBytes, i)
    const chunks: Buffer[] = []
    for (let at = 0; at === 0 || at < payload.length; at += chunkSize) {
      const header = chunkHeader({ ...plan, time: delta, format: at === 0 ? plan.format : 3 })
      chunks.push(Buffer.concat([header, payload.subarray(at, at + chunkSize)]))
    }
    const { typeId, streamId } = plan
    const message = { typeId, streamId, timestampMs: timestamp, payload }
    queues.set(plan.csid, [...(queues.get(plan.csid) ?? []), { chunks, message }])
  })
  return [...queues.values()]
}

test('all header types, id forms and interleavings read by the letter of the specification', () => {
  const plan = fc
    .record({
      csid: csids,
      wide: fc.nat({ max: 2 }),
      format: fc.constantFrom(0 as const, 1 as const, 2 as const, 3 as const),
      time: timestamps,
      lengthBytes: lengths,
      typeId: typeIds,
      streamId: fc.nat({ max: 0xffffffff }),
    })
    .map(({ wide, ...rest }): Plan => {
      // Ids from 64 to 319 have two spellings.
      const least = rest.csid < 64 ? 1 : rest.csid < 320 ? 2 : 3
      const idBytes = least === 2 && wide === 2 ? 3 : least
      return { ...rest, idBytes }
    })
  fc.assert(
    fc.property(
      fc.array(plan, { maxLength: 16 }),
      chunkSizes,
      fc.infiniteStream(fc.nat()),
      fc.array(fc.nat(), { maxLength: 40 }),
      (plans, chunkSize, picks, cuts) => {
        const queues = encode(plans, chunkSize)
        const bytes = [setChunkSize(chunkSize)]
        const expected: RtmpMessage[] = []
        while (queues.length > 0) {
          const index = picks.next().value % queues.length
          const queue = queues[index]!
          bytes.push(queue[0]!.chunks.shift()!)
          if (queue[0]!.chunks.length > 0) continue
          expected.push(queue.shift()!.message)
          if (queue.length === 0) queues.splice(index, 1)
        }
        expect(readAll(Buffer.concat(bytes), cuts).messages).toEqual(expected)
      },
    ),
    { numRuns: 300 },
  )
})

test('the writer takes each of the four header types where it is the shortest', () => {
  const writer = new ChunkWriter()
  const formats = [
    { timestampMs: 1000, lengthBytes: 10 },
    { timestampMs: 1040, lengthBytes: 11 },
    { timestampMs: 1080, lengthBytes: 11 },
    { timestampMs: 1130, lengthBytes: 11 },
    { timestampMs: 1180, lengthBytes: 11 },
    { timestampMs: 1170, lengthBytes: 11 },
  ].map(({ timestampMs, lengthBytes }) => {
    const out: Buffer[] = []
    const payload = Buffer.alloc(lengthBytes)
    writer.write(out, 4, { typeId: 8, streamId: 1, timestampMs, payload })
    return out[0]![0]! >> 6
  })
  expect(formats).toEqual([0, 1, 3, 2, 3, 0])
})

test('large payloads are written without being copied', () => {
  const writer = new ChunkWriter()
  writer.chunkSizeBytes = 60_000
  const out: Buffer[] = []
  const payload = Buffer.alloc(150_000)
  writer.write(out, 6, { typeId: 9, streamId: 1, timestampMs: 0, payload })
  expect(out.map(({ length }) => length)).toEqual([12, 60_000, 1, 60_000, 1, 30_000])
  expect([1, 3, 5].every((i) => out[i]!.buffer === payload.buffer)).toBe(true)
})

test('ids of three bytes count 256s in the third', () => {
  const { messages } = readAll(
    Buffer.concat([hex('01 05 01 000000 000001 09 01000000 aa'), hex('c1 05 01 bb')]),
    [],
  )
  expect(messages.map(({ payload }) => payload.toString('hex'))).toEqual(['aa', 'bb'])
})
