// Whatever joins, leaves, arrives, fails, is purged or takes its time, in whatever order: an object is asked for once,
// and once more where a retry was elected; readers get the right bytes or see that they did not; nothing is left behind.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type ObjectTarget, targetOf } from '../../../common/cache/cache-key.ts'
import type { CacheObject } from '../../../common/cache/cache-object.ts'
import { FillCache } from '../../../common/cache/fill-cache.ts'
import { classify } from '../../../common/cache/media-path.ts'
import type { Upstream, UpstreamSink } from '../../../common/cache/upstream.ts'
import { silentLogger } from '../../../common/log.ts'
import { Metrics } from '../../../common/metrics.ts'
import { FakeClock, settle } from '../../support/fake-clock.ts'

const maxWaiters = 5
const transient: ReadonlySet<string> = new Set(['unreachable', 'broken'])
const failures = ['unreachable', 'broken', 'no-upstream', 'unusable'] as const

/** A fill keeps the target that it was begun with, and shows it to the resolver each time. */
type NamedTarget = ObjectTarget & { name: string }

function targetNamed(url: string, name: string): NamedTarget {
  const [path = '', query = ''] = url.split('?')
  return { ...(targetOf(classify(path)!, path, query) as ObjectTarget), name }
}

function nameOf(target: ObjectTarget): string {
  return (target as NamedTarget).name
}

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('join' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('leave' as const), reader: fc.nat(20) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('head' as const),
      status: fc.constantFrom(200, 200, 200, 404, 503),
      isAnnounced: fc.boolean(),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('data' as const), bytes: fc.nat(6) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('end' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('end early' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('fail' as const),
      failure: fc.constantFrom(...failures),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('purge' as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('turn' as const),
      ms: fc.constantFrom(1, 60, 160, 300, 500, 5_000, 12_500),
    }),
  },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** What the origin does with one question. Each answer has bytes of its own, so that no two can be mixed unseen. */
class Question {
  readonly sink: UpstreamSink
  readonly body: Buffer
  /** Of the fill that asks. */
  readonly fill: string
  isOver = false
  /** In a way that another try may mend, before its head. */
  hasFailedEarly = false
  #hasHead = false
  #isAnnounced = false
  #sent = 0

  constructor(sink: UpstreamSink, fill: string, number: number) {
    this.sink = sink
    this.fill = fill
    this.body = Buffer.from(`answer ${number} `.repeat(2))
  }

  obey(step: Step): void {
    if (this.isOver) return
    switch (step.do) {
      case 'head':
        if (!this.#hasHead) this.#head(step.status, step.isAnnounced)
        break
      case 'data':
        if (this.#hasHead) this.#data(step.bytes)
        break
      case 'end':
        if (!this.#hasHead) break
        this.#data(this.body.length)
        this.#over()
        this.sink.end()
        break
      case 'end early':
        // What nothing delimits and ends early is not told from a whole body by anybody: upstream fails it.
        if (!this.#hasHead || this.#sent === this.body.length) break
        this.#over()
        if (this.#isAnnounced) this.sink.end()
        else this.sink.fail('broken', 'cut')
        break
      case 'fail':
        this.#over()
        this.hasFailedEarly = !this.#hasHead && transient.has(step.failure)
        this.sink.fail(this.#hasHead ? 'broken' : step.failure, 'as told')
        break
    }
  }

  #head(status: number, isAnnounced: boolean): void {
    this.#hasHead = true
    this.#isAnnounced = isAnnounced
    this.sink.head(status, {
      'cache-control': 'max-age=600',
      ...(isAnnounced
        ? { 'content-length': String(this.body.length) }
        : { 'transfer-encoding': 'chunked' }),
    })
  }

  #data(bytes: number): void {
    const until = Math.min(this.body.length, this.#sent + bytes)
    if (until > this.#sent) this.sink.data(this.body.subarray(this.#sent, until))
    this.#sent = until
  }

  #over(): void {
    this.isOver = true
  }
}

class Reader {
  readonly object: CacheObject
  /** What it has read, piece by piece, as a connection would. */
  bytes: Buffer = Buffer.alloc(0)
  end: 'whole' | 'broken' | 'stale' | undefined
  isHere = true
  readonly #stop: () => void

  constructor(object: CacheObject) {
    this.object = object
    this.#stop = object.follow(() => this.#read())
    this.#read()
  }

  leave(): void {
    this.isHere = false
    this.#stop()
  }

  #read(): void {
    const { object } = this
    if (!this.isHere || this.end) return
    const { substitute } = object
    if (substitute) {
      this.bytes = substitute.object.slice(0, substitute.object.size)
      this.end = 'stale'
    } else {
      if (object.head) {
        this.bytes = Buffer.concat([this.bytes, object.slice(this.bytes.length, object.size)])
      }
      if (object.state === 'complete') this.end = 'whole'
      else if (object.state === 'broken') this.end = 'broken'
    }
    if (this.end) this.leave()
  }
}

interface BegunFill {
  object: CacheObject
  /** How often there had been a purge. */
  purges: number
}

class Stage {
  readonly clock = new FakeClock()
  readonly metrics = new Metrics('edge', 'pop-1', '0')
  readonly questions: Question[] = []
  readonly readers: Reader[] = []
  readonly fills = new Map<string, BegunFill>()
  /** What a fill would take for a failure if it were thrown at it. */
  readonly wrongs: string[] = []
  readonly cache: FillCache
  readonly #url: string
  #joins = 0
  #purges = 0
  /** Of earlier questions nothing may be stored. */
  #purgedBefore = 0

  constructor(url: string, resolvesLater: boolean) {
    this.#url = url
    const upstream: Upstream = {
      fetch: ({ headers }, sink) => {
        const question = new Question(sink, headers.fill!, this.questions.length)
        const wrong = this.#whyNotToAsk(question)
        if (wrong) this.wrongs.push(wrong)
        this.questions.push(question)
        return {
          cancel: () => {
            question.isOver = true
          },
        }
      },
    }
    this.cache = new FillCache({
      name: 'pop-1',
      maxBytes: 1_000_000,
      maxObjectBytes: 1_000_000,
      waitMs: 12_000,
      maxWaiters,
      clock: this.clock,
      log: silentLogger,
      metrics: this.metrics,
      random: () => 0.5,
      resolve: (target) => {
        const found = { origins: ['http://origin'], headers: { fill: nameOf(target) } }
        return resolvesLater ? Promise.resolve(found) : found
      },
      upstream,
    })
  }

  async run(steps: Step[]): Promise<void> {
    for (const next of steps) {
      if (next.do === 'join') this.join()
      else if (next.do === 'leave') this.readers[next.reader % this.readers.length]?.leave()
      else if (next.do === 'purge') this.#purge()
      else if (next.do === 'turn') await this.clock.advance(next.ms)
      else this.questions.findLast((it) => !it.isOver)?.obey(next)
    }
  }

  #purge(): void {
    this.cache.purge('/')
    this.#purges++
    this.#purgedBefore = this.questions.length
  }

  join(): void {
    const name = String(this.#joins++)
    const opened = this.cache.open(targetNamed(this.#url, name))
    if (!opened) {
      const waiting = this.readers.filter(({ isHere }) => isHere)
      expect(waiting.length).toBeGreaterThanOrEqual(maxWaiters)
      return
    }
    const { object, outcome } = opened
    if (outcome === 'miss' || outcome === 'expired') this.#begins(name, object)
    if (outcome === 'hit') this.#expectWhole(object)
    this.readers.push(new Reader(object))
  }

  async gauge(name: string): Promise<number> {
    const found = await this.metrics.registry.getSingleMetric(`nearcast_${name}`)!.get()
    return found.values.reduce((sum, { value }) => sum + value, 0)
  }

  /** One at a time, but for those that a purge has taken out. */
  #begins(name: string, object: CacheObject): void {
    for (const { object: other, purges } of this.fills.values()) {
      if (purges === this.#purges) expect(['complete', 'broken']).toContain(other.state)
    }
    this.fills.set(name, { object, purges: this.#purges })
  }

  /** Once for a fill; again only after a failure that another try may mend, for somebody who waits. */
  #whyNotToAsk({ fill }: Question): string | undefined {
    const before = this.questions.filter((question) => question.fill === fill)
    if (before.length === 0) return undefined
    if (before.length > 1) return 'asked a third time'
    if (!before[0]!.hasFailedEarly) return 'asked again without need'
    return this.fills.get(fill)!.object.readers > 0 ? undefined : 'asked again for nobody'
  }

  /** All bytes of one answer of upstream and no others, or one of our own errors. */
  isRight(bytes: Buffer, since = 0): boolean {
    if (this.questions.slice(since).some(({ body }) => body.equals(bytes))) return true
    try {
      return typeof JSON.parse(bytes.toString()).error === 'string'
    } catch {
      return false
    }
  }

  #expectWhole(object: CacheObject): void {
    expect(object.state).toBe('complete')
    expect(this.isRight(object.slice(0, object.size), this.#purgedBefore)).toBe(true)
  }
}

const objects = [
  '/live/demo/abcdef12-1/720p/1.m4s',
  '/live/demo/720p.m3u8',
  '/live/demo/720p.m3u8?_HLS_msn=7',
]

it.each(objects)('holds for %s', async (url) => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        steps: fc.array(step, { maxLength: 50 }),
        resolvesLater: fc.boolean(),
        isCutShort: fc.boolean(),
      }),
      async ({ steps, resolvesLater, isCutShort }) => {
        const stage = new Stage(url, resolvesLater)
        await stage.run([{ do: 'join' }, ...steps])
        if (!isCutShort) {
          stage.join()
          // Upstream falls silent; whoever waits is told in the end. What is stored by now is whole as well.
          await stage.clock.advance(60_000)
          stage.join()
        }
        await stage.cache[Symbol.asyncDispose]()
        await settle()
        expect(stage.clock.pending).toBe(0)
        expect(stage.wrongs).toEqual([])
        for (const { isHere, end, bytes } of stage.readers) {
          expect(isHere).toBe(false)
          if (end === 'whole' || end === 'stale') expect(stage.isRight(bytes)).toBe(true)
          if (end !== 'broken' || bytes.length === 0) continue
          expect(stage.questions.some(({ body }) => body.indexOf(bytes) === 0)).toBe(true)
        }
        expect(await stage.gauge('cache_fill_readers')).toBe(0)
        expect(await stage.gauge('cache_fills')).toBe(0)
      },
    ),
    { numRuns: 300 },
  )
})
