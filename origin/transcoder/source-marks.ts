// Where the publisher's keyframes lie on the timeline: from which of them on a next transcoder would have to be fed.
import type { ClockState, InputEntry } from '../../common/contract/resume-point.ts'

export interface SourceMark {
  seconds: number
  /** How reader and clock stood before it. */
  entry: InputEntry
  clock: ClockState
}

/** Without a picture media can be entered anywhere. */
const leastApartSeconds = 0.25
const toleranceSeconds = 0.001
/** By far more than lies in open segments. */
const maxMarks = 256

export class SourceMarks {
  #marks: SourceMark[] = []

  add(mark: SourceMark): void {
    const last = this.#marks.at(-1)
    if (last && mark.seconds < last.seconds + leastApartSeconds) return
    this.#marks.push(mark)
    if (this.#marks.length > maxMarks) this.#marks.shift()
  }

  /** The newest at or before that time, else the oldest; what lies before it is forgotten. */
  at(seconds: number): SourceMark | undefined {
    const index = this.#marks.findLastIndex((it) => it.seconds <= seconds + toleranceSeconds)
    if (index > 0) this.#marks = this.#marks.slice(index)
    return this.#marks[0]
  }
}
