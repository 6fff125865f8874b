// Which viewers a worker has seen, for the thread that counts them: one viewer may be at several workers.
import type { Clock } from '../../common/clock.ts'
import { type ViewerBook, viewerName } from '../delivery/viewer-counter.ts'

/** Names of viewers by live id. */
export type SeenViewers = [liveId: string, viewers: string[]][]

/** A third of the time for which a viewer counts after it was seen. */
const againMs = 5_000
const maxViewers = 200_000

export class ViewerReports implements ViewerBook {
  readonly #clock: Clock
  readonly #salt: string
  /** Live id and viewer → when it was reported; in that order. */
  readonly #reported = new Map<string, number>()
  #seen = new Map<string, string[]>()

  /** The salt is that of all workers. */
  constructor(clock: Clock, salt: string) {
    this.#clock = clock
    this.#salt = salt
  }

  viewerOf(address: string, agent: string): string {
    return viewerName(this.#salt, address, agent)
  }

  seen(liveId: string, viewer: string): void {
    const now = this.#clock.monotonic()
    const name = `${viewer} ${liveId}`
    const reportedAt = this.#reported.get(name)
    if (reportedAt !== undefined && reportedAt > now - againMs) return
    if (reportedAt === undefined && this.#reported.size >= maxViewers) return
    this.#reported.delete(name)
    this.#reported.set(name, now)
    const viewers = this.#seen.get(liveId)
    if (viewers) viewers.push(viewer)
    else this.#seen.set(liveId, [viewer])
  }

  /** Those seen since the last time. */
  take(): SeenViewers {
    const since = this.#clock.monotonic() - againMs
    for (const [name, at] of this.#reported) {
      if (at > since) break
      this.#reported.delete(name)
    }
    const taken = [...this.#seen]
    this.#seen = new Map()
    return taken
  }
}
