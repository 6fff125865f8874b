// "Upstream sees 1.00" over real connections: whoever joins and leaves, in whatever order, an object is asked for once,
// and once more where its origin broke off.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { CacheRig } from '../../support/cache-rig.ts'
import type { ViewedAnswer } from '../../support/http-viewer.ts'
import type { OriginExchange } from '../../support/scripted-origin.ts'
import { until } from '../../support/until.ts'

const path = '/live/demo/abcdef12-1/720p/1.m4s'
const immutable = { 'cache-control': 'public, max-age=31536000, immutable' }
const body = Buffer.from('0123456789')

type Step = { do: 'join' } | { do: 'leave'; reader: number } | { do: 'arrive' } | { do: 'break' }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Step>({ do: 'join' }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('leave' as const), reader: fc.nat(9) }) },
  { weight: 5, arbitrary: fc.constant<Step>({ do: 'arrive' }) },
  { weight: 2, arbitrary: fc.constant<Step>({ do: 'break' }) },
)

/** Whatever chance brings: once a break with something before and after it, for each way to go on. */
const brokenOnce: Step[] = [{ do: 'arrive' }, { do: 'break' }, { do: 'arrive' }]
const examples: [Step[], 'h1' | 'h2', string | undefined][] = [
  [brokenOnce, 'h1', undefined],
  [brokenOnce, 'h2', '"v1"'],
]

/** One object at its origin, byte by byte, over two answers at most. */
class Answering {
  readonly #rig: CacheRig
  readonly #head: Record<string, string | number>
  #exchange: OriginExchange | undefined
  #arrived = 0
  breaks = 0

  constructor(rig: CacheRig, etag: string | undefined) {
    this.#rig = rig
    this.#head = { ...immutable, ...(etag !== undefined && { etag }) }
  }

  /** Takes the next question, for all of it or for the rest. */
  async begin(): Promise<void> {
    this.#exchange = await this.#rig.origin.next()
    const asked = /^bytes=(\d+)-$/.exec(this.#exchange.req.headers.range ?? '')
    this.#arrived = Number(asked?.[1] ?? 0)
    const left = { ...this.#head, 'content-length': body.length - this.#arrived }
    if (!asked) this.#exchange.head(200, left)
    else this.#exchange.head(206, { ...left, 'content-range': `bytes ${asked[1]}-9/10` })
  }

  arrive(): void {
    // The last byte would be the end.
    if (this.#arrived === 9) return
    this.#exchange!.write(body.subarray(this.#arrived, ++this.#arrived))
  }

  /** What it has sent reaches those who are there before. */
  async break(reader: ViewedAnswer | undefined): Promise<void> {
    await reader?.bytes(this.#arrived)
    this.breaks++
    this.#exchange!.cut()
    if (this.breaks === 1) await this.begin()
  }

  end(): void {
    this.#exchange!.end(body.subarray(this.#arrived))
  }
}

it('is asked for once more at most, and nobody takes a part of it for all', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 12 }),
      fc.constantFrom('h1' as const, 'h2' as const),
      fc.constantFrom(undefined, '"v1"'),
      async (steps, protocol, etag) => {
        await using rig = await CacheRig.start()
        const first = rig.view(protocol, path)
        const origin = new Answering(rig, etag)
        await origin.begin()
        const readers: (ViewedAnswer | undefined)[] = [await first]
        for (const next of steps) {
          if (next.do === 'join') readers.push(await rig.view(protocol, path))
          else if (next.do === 'arrive') origin.arrive()
          else if (next.do === 'break') await origin.break(readers.find((it) => it !== undefined))
          else {
            const index = next.reader % readers.length
            readers[index]?.leave()
            readers[index] = undefined
          }
          if (origin.breaks === 2) break
        }
        const isWhole = origin.breaks < 2
        if (isWhole) origin.end()
        for (const reader of readers) {
          if (!reader) continue
          const { body: read, end } = await reader.rest()
          expect(end).toBe(isWhole ? 'clean' : 'broken')
          expect(read.equals(isWhole ? body : body.subarray(0, read.length))).toBe(true)
        }
        expect(rig.origin.requests).toHaveLength(origin.breaks === 0 ? 1 : 2)
        await until('the end', async () => (await rig.metric('cache_fills')) === 0)
        expect(await rig.metric('cache_objects')).toBe(isWhole ? 1 : 0)
      },
    ),
    { numRuns: 40, examples },
  )
})
