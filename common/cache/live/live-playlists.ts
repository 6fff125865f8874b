// All live playlists and MPDs that a cache reads, by path.
import type { Clock } from '../../clock.ts'
import type { Metrics } from '../../metrics.ts'
import type { ObjectTarget } from '../cache-key.ts'
import type { Opened } from '../fill-cache.ts'
import type { MediaObject } from '../media-path.ts'
import { LiveMetrics } from './live-metrics.ts'
import { type LiveIo, LiveRendition } from './live-rendition.ts'

export interface LivePlaylistsOptions {
  clock: Clock
  metrics: Metrics
  io: LiveIo
}

/** Some 20 KB each at the most, versions and deltas. */
const maxRenditions = 2_048
const sweepEveryMs = 10_000
/** Longer than a version is a measure for the next one. */
const idleMs = 60_000

export class LivePlaylists {
  readonly #options: LivePlaylistsOptions
  readonly #metrics: LiveMetrics
  readonly #renditions = new Map<string, LiveRendition>()
  #sweptAt = Number.NEGATIVE_INFINITY

  constructor(options: LivePlaylistsOptions) {
    this.#options = options
    this.#metrics = new LiveMetrics(options.metrics, () => ({
      renditions: this.#renditions.size,
      waits: this.#all().filter((it) => it.isWaiting).length,
      held: this.readers,
    }))
  }

  /** Requests that are held. */
  get readers(): number {
    return this.#all().reduce((sum, it) => sum + it.readers, 0)
  }

  concerns({ scope, kind }: MediaObject): boolean {
    return scope === 'live' && (kind === 'media-playlist' || kind === 'mpd')
  }

  /** `opaque`: to be cached without being looked into. Undefined when too much is asked at once. */
  open(target: ObjectTarget): Opened | 'opaque' | undefined {
    const { path, media } = target
    let rendition = this.#renditions.get(path)
    if (!rendition) {
      const { clock, io } = this.#options
      if (!this.#makeRoom(clock.monotonic())) return 'opaque'
      const plain = { media, key: path, path, blocking: false }
      rendition = new LiveRendition({ target: plain, clock, io, metrics: this.#metrics })
      this.#renditions.set(path, rendition)
    }
    return rendition.open(target)
  }

  /** Forgets every version whose path starts so; answers of how many. */
  purge(prefix: string): number {
    const purged = [...this.#renditions].filter(([path]) => path.startsWith(prefix))
    for (const [, rendition] of purged) rendition.purge()
    return purged.length
  }

  end(): void {
    for (const rendition of this.#all()) rendition.end()
    this.#renditions.clear()
  }

  #makeRoom(now: number): boolean {
    const isFull = this.#renditions.size >= maxRenditions
    if (!isFull && now - this.#sweptAt < sweepEveryMs) return true
    this.#sweptAt = now
    for (const [path, it] of this.#renditions) {
      if (it.isEmpty || (!it.isBusy && now - it.askedAt > idleMs)) {
        it.end()
        this.#renditions.delete(path)
      }
    }
    return this.#renditions.size < maxRenditions
  }

  #all(): LiveRendition[] {
    return [...this.#renditions.values()]
  }
}
