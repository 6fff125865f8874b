// Counts viewers per live id: distinct address and agent that asked for a playlist or an MPD within 15 s.
// Only salted hashes are kept, and never more than a bound.
import { hash, randomBytes } from 'node:crypto'
import type { Clock } from '../../common/clock.ts'
import type { ViewerCount } from '../../common/contract/membership.ts'

export interface ViewerCounterOptions {
  clock: Clock
  maxViewers?: number
  maxLiveIds?: number
}

const windowMs = 15_000
const defaultMaxViewers = 200_000
const defaultMaxLiveIds = 10_000

interface Audience {
  /** Hash of the viewer → when it was last seen; in that order. */
  seen: Map<string, number>
  total: number
}

export class ViewerCounter {
  readonly #clock: Clock
  readonly #maxViewers: number
  readonly #maxLiveIds: number
  /** New with every start, so that hashes say nothing outside this process. */
  readonly #salt = randomBytes(16).toString('hex')
  readonly #audiences = new Map<string, Audience>()
  #viewers = 0

  constructor(options: ViewerCounterOptions) {
    this.#clock = options.clock
    this.#maxViewers = options.maxViewers ?? defaultMaxViewers
    this.#maxLiveIds = options.maxLiveIds ?? defaultMaxLiveIds
  }

  /** Stands for a viewer without telling who it is. */
  viewerOf(address: string, agent: string): string {
    return hash('sha1', `${this.#salt} ${address} ${agent}`, 'base64url')
  }

  seen(liveId: string, viewer: string): void {
    const audience = this.#audienceOf(liveId)
    if (!audience) return
    const now = this.#clock.monotonic()
    const seenAt = audience.seen.get(viewer)
    if (seenAt === undefined && this.#viewers >= this.#maxViewers) return
    if (seenAt === undefined || seenAt <= now - windowMs) audience.total++
    // Deleted first, so that the map stays in the order of time.
    if (audience.seen.delete(viewer)) this.#viewers--
    audience.seen.set(viewer, now)
    this.#viewers++
  }

  /** Live ids seen since the start, those without viewers now too: their total still counts. */
  counts(): ViewerCount[] {
    this.#forgetAbsent()
    return Array.from(this.#audiences, ([liveId, { seen, total }]) => ({
      liveId,
      current: seen.size,
      total,
    }))
  }

  #audienceOf(liveId: string): Audience | undefined {
    const known = this.#audiences.get(liveId)
    if (known) return known
    if (this.#audiences.size >= this.#maxLiveIds && !this.#dropDeserted()) return undefined
    const audience: Audience = { seen: new Map(), total: 0 }
    this.#audiences.set(liveId, audience)
    return audience
  }

  #forgetAbsent(): void {
    const since = this.#clock.monotonic() - windowMs
    for (const { seen } of this.#audiences.values()) {
      for (const [viewer, at] of seen) {
        if (at > since) break
        seen.delete(viewer)
        this.#viewers--
      }
    }
  }

  #dropDeserted(): boolean {
    this.#forgetAbsent()
    for (const [liveId, { seen }] of this.#audiences) {
      if (seen.size === 0) return this.#audiences.delete(liveId)
    }
    return false
  }
}
