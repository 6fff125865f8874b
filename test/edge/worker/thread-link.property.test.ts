// "One fill per object per POP" over two threads: whatever is opened, left, arrives, breaks off or is purged at either,
// in whatever order the messages between them come.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type ObjectTarget, targetOf } from '../../../common/cache/cache-key.ts'
import type { CacheObject } from '../../../common/cache/cache-object.ts'
import { FillCache } from '../../../common/cache/fill-cache.ts'
import { classify } from '../../../common/cache/media-path.ts'
import type { Upstream, UpstreamSink } from '../../../common/cache/upstream.ts'
import { silentLogger } from '../../../common/log.ts'
import { Metrics } from '../../../common/metrics.ts'
import { SharedMemory } from '../../../edge/worker/shared-memory.ts'
import { type LinkPort, ThreadLink } from '../../../edge/worker/thread-link.ts'
import { ThreadPeers } from '../../../edge/worker/thread-peers.ts'
import { FakeClock } from '../../support/fake-clock.ts'

const path = '/live/demo/abcdef12-1/720p/1.m4s'
const target = targetOf(classify(path)!, path, '') as ObjectTarget
const body = Buffer.from('0123456789')

type Step =
  | { do: 'join'; side: number }
  | { do: 'leave'; reader: number }
  | { do: 'arrive' }
  | { do: 'deliver'; to: number }
  | { do: 'break' }
  | { do: 'purge' }
  | { do: 'die' }

const side = fc.constantFrom(0, 1)
const step = (...hazards: fc.Arbitrary<Step>[]): fc.Arbitrary<Step> =>
  fc.oneof(
    fc.record({ do: fc.constant('join' as const), side }),
    fc.record({ do: fc.constant('leave' as const), reader: fc.nat(9) }),
    fc.constant<Step>({ do: 'arrive' }),
    fc.record({ do: fc.constant('deliver' as const), to: side }),
    ...hazards,
  )

/** Two ports whose messages come when the test says so. */
class Wire {
  readonly queues: unknown[][] = [[], []]
  readonly #listeners: ((message: never) => void)[] = [() => {}, () => {}]
  readonly #closed: (() => void)[] = []
  isOpen = true

  port(at: number): LinkPort {
    return {
      postMessage: (message) => {
        // As over a real port: plain data, shared memory by reference.
        if (this.isOpen) this.queues[1 - at]!.push(structuredClone(message))
      },
      on: (_event, listener) => {
        this.#listeners[at] = listener
      },
      once: (_event, listener) => this.#closed.push(listener),
      close: () => {
        this.isOpen = false
      },
    }
  }

  deliver(to: number): boolean {
    const message = this.queues[to]!.shift()
    if (message !== undefined) this.#listeners[to]!(message as never)
    return message !== undefined
  }

  cut(): void {
    this.isOpen = false
    for (const queue of this.queues) queue.splice(0)
    for (const closed of this.#closed) closed()
  }
}

interface Question {
  sink: UpstreamSink
  arrived: number
  isOver: boolean
}

class Stage {
  readonly wire = new Wire()
  readonly questions: Question[] = []
  readonly readers: { object: CacheObject; stop: () => void; isHere: boolean }[] = []
  readonly caches: FillCache[]
  readonly clock = new FakeClock()

  constructor() {
    const { clock } = this
    const upstream: Upstream = {
      fetch: (_request, sink) => {
        const question = { sink, arrived: -1, isOver: false }
        this.questions.push(question)
        return {
          cancel() {
            question.isOver = true
          },
        }
      },
    }
    const peers = [0, 1].map((at) => new ThreadPeers(at, new SharedMemory(1_000_000, () => {})))
    this.caches = peers.map(
      (threads) =>
        new FillCache({
          name: 'pop-1',
          maxBytes: 1_000_000,
          maxObjectBytes: 1_000_000,
          waitMs: 12_000,
          clock,
          log: silentLogger,
          metrics: new Metrics('edge', 'pop-1', '0', true),
          resolve: () => ({ origins: ['http://origin'] }),
          upstream,
          threads,
        }),
    )
    for (const at of [0, 1]) {
      const link = new ThreadLink({
        port: this.wire.port(at),
        cache: this.caches[at]!,
        onLost: () => peers[at]!.set(1 - at, undefined),
      })
      peers[at]!.set(1 - at, link)
    }
  }

  get asked(): Question | undefined {
    return this.questions.find(({ isOver }) => !isOver)
  }

  join(at: number): void {
    const { object } = this.caches[at]!.open(target)!
    this.readers.push({ object, stop: object.follow(() => {}), isHere: true })
  }

  arrive(): void {
    const question = this.asked
    if (!question) return
    const { sink, arrived } = question
    if (arrived === -1) sink.head(200, { 'content-length': '10' })
    else if (arrived < body.length) sink.data(body.subarray(arrived, arrived + 1))
    else {
      question.isOver = true
      sink.end()
    }
    question.arrived++
  }

  break(): boolean {
    const question = this.asked
    if (!question) return false
    question.isOver = true
    question.sink.fail('broken', 'cut')
    return true
  }

  /** Until nothing is under way. */
  async settle(): Promise<void> {
    for (;;) {
      await Promise.resolve()
      const isBusy = [this.wire.deliver(0), this.wire.deliver(1)].some(Boolean)
      if (isBusy || this.asked) this.arrive()
      else if (this.clock.pending > 0) await this.clock.advance(1_000)
      else return
    }
  }
}

async function play(steps: Step[]): Promise<{ stage: Stage; hazards: number }> {
  const stage = new Stage()
  let hazards = 0
  for (const next of steps) {
    // What the caches do in the same turn of the event loop.
    await Promise.resolve()
    if (next.do === 'join') stage.join(next.side)
    else if (next.do === 'arrive') stage.arrive()
    else if (next.do === 'deliver') stage.wire.deliver(next.to)
    else if (next.do === 'break') hazards += stage.break() ? 1 : 0
    else if (next.do === 'purge') {
      hazards++
      for (const cache of stage.caches) cache.purge('/live/demo/')
    } else if (next.do === 'die') {
      hazards++
      stage.wire.cut()
    } else {
      const reader = stage.readers[next.reader % stage.readers.length]
      if (reader) reader.isHere = false
      reader?.stop()
    }
  }
  stage.join(0)
  stage.join(1)
  await stage.settle()
  return { stage, hazards }
}

describe('over two threads', () => {
  it('an object whose fill succeeds is asked for once', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step(), { maxLength: 60 }), async (steps) => {
        const { stage } = await play(steps)
        expect(stage.questions).toHaveLength(1)
        for (const { object, isHere } of stage.readers) {
          if (!isHere) continue
          expect(object.state).toBe('complete')
          expect(object.slice(0, 10).equals(body)).toBe(true)
        }
        for (const cache of stage.caches) expect(cache.open(target)?.outcome).toBe('hit')
      }),
      { numRuns: 300 },
    )
  })

  it('every break, purge and death costs one more question at most, and no reader other bytes', async () => {
    const hazards = [
      fc.constant<Step>({ do: 'break' }),
      fc.constant<Step>({ do: 'purge' }),
      fc.constant<Step>({ do: 'die' }),
    ]
    await fc.assert(
      fc.asyncProperty(fc.array(step(...hazards), { maxLength: 60 }), async (steps) => {
        const { stage, hazards: count } = await play(steps)
        const hasDied = steps.some((one) => one.do === 'die')
        // A break may be one before the answer, after which a retry is elected.
        // Two that see each other no more ask each for itself.
        expect(stage.questions.length).toBeLessThanOrEqual((1 + count) * (hasDied ? 2 : 1))
        for (const { object, isHere } of stage.readers) {
          if (!isHere) continue
          expect(['complete', 'broken']).toContain(object.state)
          if (object.head?.status !== 200) continue
          expect(object.slice(0, object.size).equals(body.subarray(0, object.size))).toBe(true)
          if (object.state === 'complete') expect(object.size).toBe(10)
        }
      }),
      { numRuns: 500 },
    )
  })
})
