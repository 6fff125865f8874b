// The newest version of a live playlist or MPD, and which versions may follow it: never one that is older than what has been
// served, unless a newer take or broadcast says so, or nothing newer comes any more.
import type { LiveVersion } from './live-version.ts'
import { isFurther, type Progress, relationOf } from './version-order.ts'

/** RFC 8216bis §6.2.2: a new version appears within so many. */
export const targetDurationsOfVersion = 1.5
/** A version that nothing has followed for so long is no measure for what comes any more. */
const targetDurationsOfMark = 10
/** Broadcasts before this one whose playlists are not let in again. */
const leftBroadcasts = 8

export class VersionBook {
  #newest: LiveVersion | undefined
  /** Of the newest version that was ever served. */
  #mark: { progress: Progress; at: number } | undefined
  readonly #left = new Set<string>()

  get newest(): LiveVersion | undefined {
    return this.#newest
  }

  /** Nothing was ever served. */
  get isBlank(): boolean {
    return this.#mark === undefined
  }

  /** False: it is older than what was served, and not taken in. */
  accept(version: LiveVersion): boolean {
    if (!this.#mayFollow(version)) return false
    const { progress, receivedAt } = version
    this.#leave(this.#mark?.progress.take?.tag, progress.take?.tag)
    this.#newest = version
    this.#mark = { progress, at: receivedAt }
    return true
  }

  /** It is not to be served any more, and still the measure. */
  drop(): void {
    this.#newest = undefined
  }

  forget(): void {
    this.#newest = this.#mark = undefined
    this.#left.clear()
  }

  #mayFollow({ progress, targetDurationMs, receivedAt }: LiveVersion): boolean {
    const mark = this.#mark
    if (!mark || relationOf(progress, mark.progress, this.#left) !== 'older') return true
    const targetDurations = (receivedAt - mark.at) / targetDurationMs
    if (targetDurations >= targetDurationsOfMark) return true
    if (targetDurations < targetDurationsOfVersion) return false
    // Cut off, or of a source that lists more of the past.
    const isCut = progress.discontinuities > mark.progress.discontinuities
    return isCut || isFurther(progress, mark.progress)
  }

  #leave(before: string | undefined, now: string | undefined): void {
    if (before === undefined || now === undefined || now === before) return
    this.#left.delete(now)
    this.#left.add(before)
    if (this.#left.size > leftBroadcasts) this.#left.delete([...this.#left][0]!)
  }
}
