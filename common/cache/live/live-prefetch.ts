// Fetches what a playlist has just announced before anybody asks for it, so that the first viewer at this node finds it
// under way: parts and the hinted one for players of low latency, else the newest segment; the init section at first sight.
import type { MediaPlaylistFacts } from '../../../media/hls/playlist-reader.ts'
import type { Clock } from '../../clock.ts'
import { type ObjectTarget, targetOf } from '../cache-key.ts'
import type { CacheObject } from '../cache-object.ts'
import { classify } from '../media-path.ts'
import type { LiveMetrics } from './live-metrics.ts'

/** Fills that somebody else began are not ours to give up. */
export interface Prefetched {
  object: CacheObject
  abandon(): void
}

export interface LivePrefetchOptions {
  /** Of the playlist. */
  target: ObjectTarget
  clock: Clock
  metrics: LiveMetrics
  /** Undefined where it is stored or under way already, or too much is. */
  prefetch(target: ObjectTarget): Prefetched | undefined
}

interface Begun {
  fill: Prefetched
  at: number
}

/** From the end: low-latency players begin three part targets back. */
const partsAhead = 3
const maxBegun = 64
/** So long after it was fetched it is settled whether anybody has wanted it. */
const judgedAfterMs = 8_000

export class LivePrefetch {
  readonly #options: LivePrefetchOptions
  readonly #folder: string
  /** By path, oldest first. */
  readonly #begun = new Map<string, Begun>()

  constructor(options: LivePrefetchOptions) {
    this.#options = options
    const { path } = options.target
    this.#folder = path.slice(0, path.lastIndexOf('/') + 1)
  }

  look(facts: MediaPlaylistFacts, audience: 'parts' | 'segments'): void {
    this.#judge(this.#options.clock.monotonic() - judgedAfterMs)
    // Of their segments players take the beginnings, by ranges.
    if (facts.hasOnlyKeyframes || facts.isEnded) return
    const media =
      audience === 'parts' && facts.partTargetSeconds !== undefined
        ? [...facts.newestPartUris.slice(-partsAhead), facts.hintUri]
        : [facts.newestSegmentUri]
    for (const uri of [facts.mapUri, ...media]) if (uri !== undefined) this.#begin(uri)
  }

  /** Nobody watches any more: what upstream holds back is not waited for. */
  release(): void {
    for (const { fill } of this.#begun.values()) {
      if (fill.object.state === 'waiting' && fill.object.readers === 0) fill.abandon()
    }
    this.#judge(Infinity)
  }

  #begin(uri: string): void {
    if (this.#begun.size >= maxBegun) return
    const path = `${this.#folder}${uri}`
    if (this.#begun.has(path)) return
    const media = classify(path)
    const { scope, id } = this.#options.target.media
    // A playlist has no say over anything but its own stream.
    if (media?.scope !== scope || media.id !== id) return
    if (media.kind !== 'part' && media.kind !== 'segment' && media.kind !== 'init') return
    const fill = this.#options.prefetch(targetOf(media, path, '') as ObjectTarget)
    if (fill) this.#begun.set(path, { fill, at: this.#options.clock.monotonic() })
  }

  #judge(until: number): void {
    for (const [path, { fill, at }] of this.#begun) {
      if (at > until) return
      this.#begun.delete(path)
      const { object } = fill
      const isMedia = object.state === 'complete' && object.head?.status === 200
      if (object.isUnread) this.#options.metrics.prefetched(isMedia ? 'wasted' : 'failed')
      else this.#options.metrics.prefetched('used')
    }
  }
}
