// What a cache counts of the live playlists that it reads.
import type { Metrics } from '../../metrics.ts'

export type PrefetchEnd = 'used' | 'wasted' | 'failed'

export interface LiveGauges {
  renditions: number
  waits: number
  held: number
}

export class LiveMetrics {
  readonly #prefetches
  readonly #regressions

  constructor(metrics: Metrics, gauges: () => LiveGauges) {
    this.#prefetches = metrics.counter({
      name: 'cache_prefetches_total',
      help: 'Media fetched ahead of any request, by whether somebody asked for it afterwards.',
      labels: ['result'] as const,
    })
    this.#regressions = metrics.counter({
      name: 'cache_playlist_regressions_total',
      help: 'Playlists and MPDs of upstream that were older than one already served, and were not passed on.',
    })
    const gauge = (name: string, help: string, read: (now: LiveGauges) => number) =>
      metrics.gauge({ name, help }, (made) => made.set(read(gauges())))
    gauge('cache_live_playlists', 'Live playlists and MPDs in memory.', (now) => now.renditions)
    gauge('cache_live_waits', 'Requests that upstream holds for us.', (now) => now.waits)
    gauge('cache_live_held', 'Requests for playlists that are held here.', (now) => now.held)
  }

  prefetched(result: PrefetchEnd): void {
    this.#prefetches.inc({ result })
  }

  regressed(): void {
    this.#regressions.inc()
  }
}
