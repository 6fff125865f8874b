// "Upstream sees 1.00": whatever joins, leaves and arrives in whatever order, an object is asked for once.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type ObjectTarget, targetOf } from '../../../common/cache/cache-key.ts'
import type { CacheObject } from '../../../common/cache/cache-object.ts'
import { FillCache } from '../../../common/cache/fill-cache.ts'
import { classify } from '../../../common/cache/media-path.ts'
import type { Upstream, UpstreamSink } from '../../../common/cache/upstream.ts'
import { silentLogger } from '../../../common/log.ts'
import { Metrics } from '../../../common/metrics.ts'
import { CacheRig } from '../../support/cache-rig.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import type { ViewedAnswer } from '../../support/http-viewer.ts'

const path = '/live/demo/abcdef12-1/720p/1.m4s'
const media = classify(path)!
const target = targetOf(media, path, '') as ObjectTarget
const immutable = { 'cache-control': 'public, max-age=31536000, immutable' }
const body = Buffer.from('0123456789')

type Step = { do: 'join' } | { do: 'leave'; reader: number } | { do: 'arrive' }

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.constant<Step>({ do: 'join' }),
  fc.record({ do: fc.constant('leave' as const), reader: fc.nat(9) }),
  fc.constant<Step>({ do: 'arrive' }),
)

class Reader {
  readonly object: CacheObject
  readonly leave: () => void
  isHere = true

  constructor(object: CacheObject) {
    this.object = object
    const stop = object.follow(() => {})
    this.leave = () => {
      this.isHere = false
      stop()
    }
  }
}

describe('an object whose fill succeeds', () => {
  it('is asked for once for any interleaving of joins, departures and arriving bytes', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const sinks: UpstreamSink[] = []
        let cancelled = 0
        const upstream: Upstream = {
          fetch: (_request, sink) => {
            sinks.push(sink)
            return { cancel: () => cancelled++ }
          },
        }
        const cache = new FillCache({
          name: 'pop-1',
          maxBytes: 1_000_000,
          maxObjectBytes: 1_000_000,
          waitMs: 12_000,
          clock: new FakeClock(),
          log: silentLogger,
          metrics: new Metrics('edge', 'pop-1', '0'),
          resolve: () => ({ origins: ['http://origin'] }),
          upstream,
        })
        const readers: Reader[] = []
        let arrived = -1
        const arrive = () => {
          const sink = sinks[0]
          if (!sink || arrived > body.length) return
          if (arrived === -1) sink.head(200, { ...immutable, 'content-length': '10' })
          else if (arrived === body.length) sink.end()
          else sink.data(body.subarray(arrived, arrived + 1))
          arrived++
        }
        for (const next of [...steps, { do: 'join' } as Step]) {
          if (next.do === 'join') readers.push(new Reader(cache.open(target)!.object))
          else if (next.do === 'leave') readers[next.reader % readers.length]?.leave()
          else arrive()
        }
        while (arrived <= body.length) arrive()
        expect(sinks).toHaveLength(1)
        expect(cancelled).toBe(0)
        for (const { object, isHere } of readers) {
          if (!isHere) continue
          expect(object.state).toBe('complete')
          expect(object.slice(0, 10).equals(body)).toBe(true)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('is asked for once over real connections too', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 10 }),
        fc.constantFrom('h1' as const, 'h2' as const),
        async (steps, protocol) => {
          await using rig = await CacheRig.start()
          const first = rig.view(protocol, path)
          const origin = await rig.origin.next()
          origin.head(200, { ...immutable, 'content-length': 10 })
          const readers: (ViewedAnswer | undefined)[] = [await first]
          let arrived = 0
          for (const next of steps) {
            if (next.do === 'join') readers.push(await rig.view(protocol, path))
            else if (next.do === 'leave') {
              const index = next.reader % readers.length
              readers[index]?.leave()
              readers[index] = undefined
            } else if (arrived < 10) origin.write(body.subarray(arrived, ++arrived))
          }
          origin.end(body.subarray(arrived))
          for (const reader of readers) {
            if (reader) expect(await reader.rest()).toEqual({ body, end: 'clean' })
          }
          expect(rig.origin.requests).toHaveLength(1)
        },
      ),
      { numRuns: 30 },
    )
  })
})
