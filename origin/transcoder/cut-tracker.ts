// Knows where segments are cut while the media goes by, and keeps what came since the last cut.
//
// Why it is kept: an ffmpeg that has to be replaced, because it crashed or because the publisher's keyframes
// turn out to lie too far apart to cut the copied source at, starts again from the last cut and nothing is
// lost. It is bounded, since a segment is at most one target duration long.
import type { InputSample } from './input-reader.ts'

export interface CutTrackerOptions {
  segmentSeconds: number
  /** A segment that grows past this cannot be listed in a playlist. */
  maxSegmentSeconds: number
}

/** As in ffmpeg's arguments: a keyframe this early still cuts. */
const earlyMs = 100
const maxKeptBytes = 64 * 1024 * 1024

export class CutTracker {
  readonly #minMs: number
  readonly #maxMs: number
  #kept: InputSample[] = []
  #keptBytes = 0
  #cutMs: number | undefined

  constructor({ segmentSeconds, maxSegmentSeconds }: CutTrackerOptions) {
    this.#minMs = segmentSeconds * 1000 - earlyMs
    this.#maxMs = maxSegmentSeconds * 1000
  }

  /** Everything since the last cut, the cutting keyframe first. */
  get kept(): readonly InputSample[] {
    return this.#kept
  }

  /** `overdue`: no keyframe came in time to close the segment. */
  add(sample: InputSample): 'ok' | 'overdue' {
    if (sample.kind === 'video') {
      this.#cutMs ??= sample.timestampMs
      if (sample.isKeyframe && sample.timestampMs - this.#cutMs >= this.#minMs) {
        this.#cutMs = sample.timestampMs
        this.#clear()
      }
    }
    this.#kept.push(sample)
    this.#keptBytes += sample.payload.length
    if (this.#keptBytes > maxKeptBytes) this.#clear()
    const isOverdue =
      sample.kind === 'video' && sample.timestampMs - (this.#cutMs ?? 0) > this.#maxMs
    return isOverdue ? 'overdue' : 'ok'
  }

  #clear(): void {
    this.#kept = []
    this.#keptBytes = 0
  }
}
