// When a second origin is asked as well, whose answer is taken, and how much of that there may be.
import { afterEach, beforeEach, expect, it } from 'vitest'
import { UpstreamMetrics } from '../../../common/cache/cache-metrics.ts'
import { FirstByteTimes } from '../../../common/cache/first-byte-times.ts'
import { OriginHealth } from '../../../common/cache/origin-health.ts'
import { RetryBudget } from '../../../common/cache/retry-budget.ts'
import { UpstreamClient, type UpstreamRequest } from '../../../common/cache/upstream.ts'
import { silentLogger } from '../../../common/log.ts'
import { Metrics } from '../../../common/metrics.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { type OriginExchange, ScriptedOrigin } from '../../support/scripted-origin.ts'
import { until } from '../../support/until.ts'

const guessMs = 250

let clock: FakeClock
let metrics: Metrics
let one: ScriptedOrigin
let other: ScriptedOrigin
let client: UpstreamClient

beforeEach(async () => {
  clock = new FakeClock()
  metrics = new Metrics('edge', 'pop-1', '0')
  one = await ScriptedOrigin.start()
  other = await ScriptedOrigin.start()
  client = new UpstreamClient({
    clock,
    log: silentLogger,
    connectTimeoutMs: 3_000,
    metrics: new UpstreamMetrics(metrics),
  })
})

afterEach(async () => {
  await client[Symbol.asyncDispose]()
  await one[Symbol.asyncDispose]()
  await other[Symbol.asyncDispose]()
})

class Asked {
  readonly events: string[] = []
  readonly #request: { cancel(): void }

  constructor(options: Partial<UpstreamRequest> = {}) {
    const origins = [one.url, other.url]
    this.#request = client.fetch(
      { origins, path: '/1.m4s', headers: {}, mayHedge: true, ...options },
      {
        head: (status) => this.events.push(`head ${status}`),
        data: (piece) => this.events.push(Buffer.from(piece).toString()),
        end: () => this.events.push('end'),
        fail: (failure) => this.events.push(`fail ${failure}`),
      },
    )
  }

  cancel(): void {
    this.#request.cancel()
  }

  async over(): Promise<string[]> {
    await until('the end', () => /^(?:end|fail)/.test(this.events.at(-1) ?? ''))
    expect(clock.pending).toBe(0)
    return this.events
  }
}

async function hedges(result: string): Promise<number> {
  const found = await metrics.registry.getSingleMetric('nearcast_upstream_hedges_total')!.get()
  return found.values.find(({ labels }) => labels.result === result)?.value ?? 0
}

/** Both have been asked. */
async function hedged(options?: Partial<UpstreamRequest>) {
  const asked = new Asked(options)
  const first = await one.next()
  await clock.advance(guessMs - 1)
  expect(other.requests).toEqual([])
  await clock.advance(1)
  return { asked, first, second: await other.next() }
}

it('the first to answer wins, and the other is let go of', async () => {
  const { asked, first, second } = await hedged()
  second.head(200).end('from the other')
  await first.abandoned
  expect(await asked.over()).toEqual(['head 200', 'from the other', 'end'])
  expect(await hedges('won')).toBe(1)
})

it('the one that was asked first may still win', async () => {
  const { asked, first, second } = await hedged()
  first.head(200).end('from the one')
  await second.abandoned
  expect(await asked.over()).toEqual(['head 200', 'from the one', 'end'])
  expect(await hedges('lost')).toBe(1)
})

it.each<[string, (first: OriginExchange, second: OriginExchange) => void, 'first' | 'second']>([
  ['an error of the first', (first) => first.head(500).end('no'), 'second'],
  ['an error of the second', (_, second) => second.head(503).end('no'), 'first'],
  ['what only the second does not have', (_, second) => second.head(404).end('no'), 'first'],
  ['a first that breaks', (first) => first.cut(), 'second'],
  ['a second that breaks', (_, second) => second.cut(), 'first'],
])('%s is no answer while the other is asked', async (_, fail, left) => {
  const { asked, first, second } = await hedged()
  const failing = left === 'first' ? second : first
  const closed = new Promise((resolve) => failing.res.once('close', resolve))
  fail(first, second)
  await closed
  ;(left === 'first' ? first : second).head(200).end('good')
  expect(await asked.over()).toEqual(['head 200', 'good', 'end'])
})

it('says that none answered where both have gone', async () => {
  const { asked, first, second } = await hedged()
  first.cut()
  second.cut()
  expect((await asked.over()).at(-1)).toBe('fail unreachable')
})

it('lets go of both when nobody wants the answer', async () => {
  const { asked, first, second } = await hedged()
  asked.cancel()
  await Promise.all([first.abandoned, second.abandoned])
  expect(clock.pending).toBe(0)
})

it('does not ask another for what is held back', async () => {
  const asked = new Asked({ mayHedge: false })
  const first = await one.next()
  await clock.advance(10_000)
  first.head(200).end('at last')
  await asked.over()
  expect(other.requests).toEqual([])
})

it('asks ten others at first, then for a tenth of what is asked', async () => {
  const all: Asked[] = []
  let atOne = 0
  one.respond = () => atOne++
  other.respond = (exchange) => exchange.head(200).end('x')
  // Each has one origin to begin with, so that none is put last for being slow.
  for (let round = 0; round < 60; round++) all.push(new Asked({ path: `/${round}.m4s` }))
  await until('all at the first', () => atOne === 60)
  await clock.advance(guessMs)
  await until(
    'the hedged ones',
    () => all.filter(({ events }) => events.at(-1) === 'end').length === 10,
  )
  expect(await hedges('denied')).toBe(50)
  for (const asked of all) asked.cancel()
})

it('turns to the other when that was quicker five times in a row, and back when the first was quick', async () => {
  const slow: OriginExchange[] = []
  one.respond = (exchange) => slow.push(exchange)
  other.respond = (exchange) => exchange.head(200).end('quick')
  for (let round = 1; round <= 5; round++) {
    const asked = new Asked()
    await until('the first', () => slow.length === round)
    await clock.advance(guessMs)
    await asked.over()
  }
  await new Asked().over()
  expect(one.requests).toHaveLength(5)
  await clock.advance(2_000)
  one.respond = (exchange) => exchange.head(200).end('quick again')
  expect(await new Asked().over()).toContain('quick again')
  expect(await new Asked().over()).toContain('quick again')
})

it.each([
  ['what never changes', true, ['head 200', 'good', 'end']],
  ['what may change, for which there may be something stale', false, ['head 503', 'no', 'end']],
])('answers an error by asking the next origin: %s', async (_, isImmutable, expected) => {
  one.respond = (exchange) => exchange.head(503).end('no')
  other.respond = (exchange) => exchange.head(200).end('good')
  expect(await new Asked({ isImmutable }).over()).toEqual(expected)
})

it('passes the error on where the next origin has one too', async () => {
  one.respond = (exchange) => exchange.head(503).end('no')
  other.respond = (exchange) => exchange.head(500).end('neither')
  expect(await new Asked({ isImmutable: true }).over()).toEqual(['head 500', 'neither', 'end'])
})

it('waits as long as nineteen answers in twenty do not need, within bounds', () => {
  const times = new FirstByteTimes()
  for (let count = 0; count < 100; count++) times.observe(count % 10 === 0 ? 300 : 80)
  expect(times.hedgeDelayMs).toBe(300)
  for (let count = 0; count < 64; count++) times.observe(count % 30 === 0 ? 300 : 80)
  expect(times.hedgeDelayMs).toBe(80)
  for (let count = 0; count < 64; count++) times.observe(2)
  expect(times.hedgeDelayMs).toBe(50)
  for (let count = 0; count < 64; count++) times.observe(4_000)
  expect(times.hedgeDelayMs).toBe(1_000)
})

it('spends a tenth of what it earns, and a little with time', async () => {
  const budget = new RetryBudget(clock)
  const spend = () => {
    let spent = 0
    while (budget.take()) spent++
    return spent
  }
  expect(spend()).toBe(10)
  for (let count = 0; count < 55; count++) budget.earn()
  expect(spend()).toBe(5)
  await clock.advance(25_000)
  expect(spend()).toBe(3)
  await clock.advance(3_600_000)
  expect(spend()).toBe(10)
})

it('puts an origin last for longer and longer while it fails, and tries it with one request at a time', async () => {
  const health = new OriginHealth(clock)
  const first = () => health.order(['a', 'b'])[0]
  health.failed('a')
  health.failed('a')
  expect(first()).toBe('b')
  await clock.advance(2_000)
  expect([first(), first()]).toEqual(['a', 'b'])
  health.failed('a')
  await clock.advance(3_999)
  expect(first()).toBe('b')
  await clock.advance(1)
  expect(first()).toBe('a')
  health.answered('a')
  expect([first(), first()]).toEqual(['a', 'a'])
})
