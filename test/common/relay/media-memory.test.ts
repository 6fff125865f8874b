// What a relay remembers of its publisher, and what a new next hop gets of it.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  MediaMemory,
  type MemoryLimits,
  messageOverheadBytes,
} from '../../../common/relay/media-memory.ts'
import type { MediaMessage } from '../../../media/rtmp/message.ts'
import { broadcast, rtmpMedia } from '../../support/rtmp-media.ts'

const roomy: MemoryLimits = { maxMs: 20_000, maxBytes: 32 * 1024 * 1024, audioOnlyMs: 4_000 }
const { videoHeader, audioHeader, keyframe, picture, sound } = rtmpMedia

function memoryOf(limits: MemoryLimits = roomy) {
  const counts = { lost: 0, bytes: 0 }
  const memory = new MediaMemory({
    limits,
    onLost: (frames) => {
      counts.lost += frames
    },
    onBytes: (delta) => {
      counts.bytes += delta
    },
  })
  return { memory, counts }
}

function readAll(memory: MediaMemory): MediaMessage[] {
  const messages: MediaMessage[] = []
  for (let message = memory.next(); message; message = memory.next()) messages.push(message)
  return messages
}

describe('a media memory', () => {
  test('gives the first next hop everything as it came', () => {
    const { memory } = memoryOf()
    const messages = broadcast(3)
    for (const message of messages) memory.push(message, 0)
    expect(readAll(memory)).toEqual(messages)
  })

  test('replays the headers, then everything from the keyframe that is needed', () => {
    const { memory, counts } = memoryOf()
    const messages = broadcast(4)
    for (const message of messages) memory.push(message, message.timestampMs)
    readAll(memory)
    memory.neededFrom(4_000)
    expect(memory.start).toEqual({ timestampMs: 4_000, arrivedMs: 4_000 })
    memory.rewind()
    const headers = messages.slice(0, 3).map((header) => ({ ...header, timestampMs: 4_000 }))
    expect(readAll(memory)).toEqual([
      ...headers,
      ...messages.slice(3).filter(({ timestampMs }) => timestampMs >= 4_000),
    ])
    expect(counts.lost).toBe(0)
  })

  test('keeps the last group whatever is said to be needed', () => {
    const { memory } = memoryOf()
    for (const message of broadcast(4)) memory.push(message, 0)
    readAll(memory)
    memory.neededFrom(7_900)
    expect(memory.start?.timestampMs).toBe(6_000)
  })

  test('forgets nothing that the present next hop has not had', () => {
    const { memory } = memoryOf()
    for (const message of broadcast(4)) memory.push(message, 0)
    memory.neededFrom(6_000)
    expect(memory.start?.timestampMs).toBe(0)
  })

  test('gives each start the headers that held there', () => {
    const { memory } = memoryOf()
    const [first, second] = [videoHeader(0), videoHeader(2_000)]
    for (const one of [first, keyframe(0), picture(1_000), second, keyframe(2_000)]) {
      memory.push(one, 0)
    }
    memory.rewind()
    expect(readAll(memory)[0]).toEqual(first)
    memory.neededFrom(2_000)
    memory.rewind()
    expect(readAll(memory)[0]).toEqual(second)
  })

  test('keeps sound that came before the keyframe and belongs behind it', () => {
    const { memory } = memoryOf()
    const early = sound(2_005)
    const messages = [keyframe(0), sound(10), early, keyframe(2_000), sound(2_030)]
    for (const message of messages) memory.push(message, 0)
    readAll(memory)
    memory.neededFrom(2_000)
    memory.rewind()
    expect(readAll(memory)).toEqual([messages[3], early, messages[4]])
  })

  test('keeps sound that is ahead of several keyframes, as it came', () => {
    const { memory } = memoryOf()
    const early = [sound(2_005), sound(1_998), sound(2_030)]
    const messages = [keyframe(0), sound(10), ...early, keyframe(1_900), keyframe(2_000)]
    for (const message of messages) memory.push(message, 0)
    readAll(memory)
    memory.neededFrom(2_000)
    memory.rewind()
    expect(readAll(memory)).toEqual([messages.at(-1), ...early])
  })

  test('keeps four seconds of a stream without pictures', () => {
    const { memory } = memoryOf()
    memory.push(audioHeader(0), 0)
    for (let ms = 0; ms <= 10_000; ms += 100) memory.push(sound(ms), ms)
    readAll(memory)
    memory.neededFrom(9_900)
    expect(memory.start?.timestampMs).toBe(6_000)
    memory.rewind()
    expect(readAll(memory)).toHaveLength(42)
  })

  test('can be begun with at sound when pictures have stopped', () => {
    const { memory } = memoryOf()
    memory.push(keyframe(0), 0)
    for (let ms = 0; ms <= 12_000; ms += 100) memory.push(sound(ms), ms)
    readAll(memory)
    memory.neededFrom(11_000)
    expect(memory.start?.timestampMs).toBeGreaterThan(6_000)
  })

  test('goes on over the wrap of the 32-bit clock', () => {
    const { memory } = memoryOf()
    const startMs = 2 ** 32 - 3_000
    for (const message of broadcast(4, 2_000, startMs)) memory.push(message, 0)
    readAll(memory)
    memory.neededFrom(1_000)
    expect(memory.start?.timestampMs).toBe(1_000)
    expect(memory.newestTimestampMs).toBe(4_510)
  })

  test('keeps both sides of a clock that starts anew', () => {
    const { memory } = memoryOf()
    for (const message of [...broadcast(2, 2_000, 90_000), ...broadcast(2)]) memory.push(message, 0)
    readAll(memory)
    memory.neededFrom(92_000)
    expect(memory.start?.timestampMs).toBe(92_000)
    memory.neededFrom(2_000)
    expect(memory.start?.timestampMs).toBe(2_000)
  })

  test('drops the oldest whole group over its bound and counts what nobody had', () => {
    const { memory, counts } = memoryOf()
    const messages = broadcast(12)
    for (const message of messages) memory.push(message, 0)
    expect(memory.spanMs).toBeLessThanOrEqual(roomy.maxMs)
    expect(memory.start?.timestampMs).toBe(4_000)
    expect(counts.lost).toBe(16)
  })

  test('counts what a next hop had, but the one after it would have needed', () => {
    const { memory, counts } = memoryOf()
    for (const message of broadcast(1)) memory.push(message, 0)
    readAll(memory)
    memory.neededFrom(0)
    for (const message of broadcast(11, 2_000, 2_000)) {
      memory.push(message, 0)
      readAll(memory)
    }
    expect(counts.lost).toBe(0)
    memory.rewind()
    expect(counts.lost).toBe(16)
  })

  test('passes a group that is larger than its bound on, and replays from the next one', () => {
    const { memory, counts } = memoryOf({ ...roomy, maxBytes: 10_000 })
    const messages = [videoHeader(0), keyframe(0), ...[1, 2, 3, 4].map((n) => picture(n, 4_000))]
    const received: MediaMessage[] = []
    for (const message of messages) {
      memory.push(message, 0)
      received.push(...readAll(memory))
    }
    expect(received).toEqual(messages)
    memory.rewind()
    memory.push(picture(5), 0)
    expect(memory.next()).toBeUndefined()
    const next = keyframe(6)
    memory.push(next, 0)
    expect(readAll(memory).map(({ payload }) => payload)).toEqual([
      messages[0]!.payload,
      next.payload,
    ])
    expect(counts.lost).toBe(1)
  })

  test('leaves nothing when it is cleared', () => {
    const { memory, counts } = memoryOf()
    for (const message of broadcast(3)) memory.push(message, 0)
    expect(counts.bytes).toBe(memory.bytes)
    memory.clear()
    expect(counts.bytes).toBe(0)
    expect(memory.next()).toBeUndefined()
  })
})

type Step =
  | {
      do: 'push'
      what: 'keyframe' | 'picture' | 'sound' | 'metadata' | 'videoHeader' | 'audioHeader'
      stepMs: number
      bytes: number
    }
  | { do: 'read'; count: number }
  | { do: 'need'; back: number }
  | { do: 'rewind' }

const what = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('picture' as const, 'sound' as const) },
  { weight: 2, arbitrary: fc.constant('keyframe' as const) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('metadata' as const, 'videoHeader' as const, 'audioHeader' as const),
  },
)
const stepMs = fc.oneof(
  { weight: 20, arbitrary: fc.integer({ min: -30, max: 400 }) },
  { weight: 1, arbitrary: fc.constantFrom(3_000, 30_000, -90_000) },
)
const push = fc.record({
  do: fc.constant('push' as const),
  what,
  stepMs,
  bytes: fc.integer({ min: 8, max: 600 }),
})
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: push },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('read' as const),
      count: fc.integer({ min: 1, max: 20 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('need' as const), back: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('rewind' as const) }) },
)

const isKeyframe = ({ kind, payload }: MediaMessage) =>
  kind === 'video' && payload[0] === 0x17 && payload[1] === 1
const isFrame = ({ kind, payload }: MediaMessage) => kind !== 'data' && payload[1] === 1
const serialOf = ({ payload }: MediaMessage) =>
  payload.readUInt32BE(payload[0] === 0xaf ? 2 : payload[0] === 2 ? 13 : 5)

/** Plays steps; answers what every next hop has had and what the memory counted. */
function play(steps: Step[], limits: MemoryLimits) {
  const { memory, counts } = memoryOf(limits)
  const pushed: MediaMessage[] = []
  const hops: MediaMessage[][] = [[]]
  let ms = 4_000_000
  let neededFrom: number | undefined
  const read = (count: number) => {
    for (let left = count; left > 0; left--) {
      const message = memory.next()
      if (message) hops.at(-1)!.push(message)
    }
  }
  const add = (message: MediaMessage) => {
    pushed.push(message)
    memory.push(message, 0)
    expect(memory.bytes).toBe(counts.bytes)
    expect(memory.bytes).toBeLessThanOrEqual(limits.maxBytes)
    expect(memory.spanMs).toBeLessThanOrEqual(limits.maxMs)
  }
  for (const one of steps) {
    if (one.do === 'read') read(one.count)
    else if (one.do === 'rewind') {
      memory.rewind()
      hops.push([])
    } else if (one.do === 'push') {
      if (one.what === 'keyframe' || one.what === 'picture' || one.what === 'sound')
        ms += one.stepMs
      add(rtmpMedia[one.what](ms, one.bytes))
    } else {
      // As a transcoder does: it names a keyframe that it has had, and never goes back.
      const keyframes = hops.at(-1)!.filter(isKeyframe)
      const named = keyframes.at(-1 - one.back)
      if (!named || serialOf(named) < (neededFrom ?? 0)) continue
      // What went before anybody had told a need is not known to have been needed.
      const start = memory.start?.timestampMs ?? Number.POSITIVE_INFINITY
      if (neededFrom === undefined && named.timestampMs < start) continue
      neededFrom = serialOf(named)
      memory.neededFrom(named.timestampMs)
    }
  }
  memory.rewind()
  hops.push([])
  // A start, so that whoever waits for one has it.
  add(rtmpMedia.keyframe(ms + 40, 8))
  read(pushed.length * 2 + 10)
  return { pushed, hops, counts, neededFrom }
}

const tight: MemoryLimits = {
  maxMs: 3_000,
  maxBytes: 20 * (messageOverheadBytes + 600),
  audioOnlyMs: 1_000,
}

describe('whatever is sent, read, needed and lost', () => {
  test('each next hop after the first begins with headers and a start, and has no message twice', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
        const { pushed, hops } = play(steps, tight)
        const order = new Map(pushed.map((message, index) => [serialOf(message), index]))
        for (const [number, hop] of hops.entries()) {
          const frames = hop.filter(isFrame).map((message) => order.get(serialOf(message))!)
          expect(new Set(frames).size).toBe(frames.length)
          // Only sound may stand behind the keyframe that it came before.
          const pictures = hop
            .filter((m) => isFrame(m) && m.kind === 'video')
            .map((m) => order.get(serialOf(m))!)
          expect(pictures).toEqual(pictures.toSorted((a, b) => a - b))
          if (number === 0) continue
          const start = hop.findIndex(isFrame)
          const first = hop[start]
          if (!first) continue
          const before = pushed.slice(0, order.get(serialOf(first)))
          expect(isKeyframe(first) || first.kind === 'audio').toBe(true)
          for (const header of hop.slice(0, start)) {
            const same = before.findLast((it) => it.kind === header.kind && !isFrame(it))
            expect(header.payload).toEqual(same?.payload)
            expect(header.timestampMs).toBe(first.timestampMs)
          }
        }
      }),
      { numRuns: 300 },
    )
  })

  test('no frame that is needed is missing without having been counted', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
        const { pushed, hops, counts, neededFrom } = play(steps, tight)
        if (neededFrom === undefined) return
        const had = new Set(hops.at(-1)!.map(serialOf))
        const needed = pushed.slice(pushed.findIndex((m) => serialOf(m) === neededFrom))
        const missing = needed.filter((m) => isFrame(m) && !had.has(serialOf(m)))
        expect(missing.length).toBeLessThanOrEqual(counts.lost)
        expect(counts.lost).toBeLessThanOrEqual(pushed.filter(isFrame).length)
      }),
      { numRuns: 300 },
    )
  })

  test('within its bounds nothing is lost from the keyframe that is needed', () => {
    const openings = fc.constantFrom<Step[]>([
      { do: 'push', what: 'videoHeader', stepMs: 0, bytes: 8 },
      { do: 'push', what: 'keyframe', stepMs: 0, bytes: 8 },
    ])
    fc.assert(
      fc.property(openings, fc.array(step, { maxLength: 150 }), (opening, steps) => {
        const endless = { ...roomy, maxMs: Number.POSITIVE_INFINITY }
        const { pushed, hops, counts, neededFrom } = play([...opening, ...steps], endless)
        expect(counts.lost).toBe(0)
        const had = new Set(hops.at(-1)!.map(serialOf))
        const from = pushed.findIndex((m) =>
          neededFrom === undefined ? isKeyframe(m) : serialOf(m) === neededFrom,
        )
        const missing = pushed.slice(from).filter((m) => !had.has(serialOf(m)) && isFrame(m))
        expect(missing).toEqual([])
      }),
      { numRuns: 300 },
    )
  })

  test('a next hop that reads everything at once misses nothing, however tight the bounds', () => {
    fc.assert(
      fc.property(fc.array(push, { maxLength: 150 }), (pushes) => {
        const { pushed, hops, counts } = play(
          pushes.flatMap((one) => [one, { do: 'read', count: 1 }]),
          tight,
        )
        expect(hops[0]).toEqual(pushed.slice(0, -1))
        expect(counts.lost).toBeLessThanOrEqual(pushed.length)
      }),
      { numRuns: 300 },
    )
  })
})
