// Where the publisher's keyframes lie on the timeline: from which of them on a next transcoder would have to be fed.
import type { ClockState, InputEntry } from '../../common/contract/resume-point.ts'

export interface SourceMark {
  seconds: number
  /** The first sound that comes behind it is no earlier than this; undefined where none came before. */
  soundSeconds?: number | undefined
  /** How reader and clock stood before it. */
  entry: InputEntry
  clock: ClockState
}

/** From where on media is needed, and sound of it; absent where none is. */
export interface Needed {
  seconds: number
  soundSeconds?: number | undefined
}

/** Without a picture media can be entered anywhere. */
const leastApartSeconds = 0.25
const toleranceSeconds = 0.001
/** Less than a sample: sound has to be there to the frame. */
const soundToleranceSeconds = 1e-6
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

  /** The newest that nothing is missed from, else the oldest; what lies before it is forgotten. */
  at(needed: Needed): SourceMark | undefined {
    const index = this.#marks.findLastIndex((it) => isEnough(it, needed))
    if (index > 0) this.#marks = this.#marks.slice(index)
    return this.#marks[0]
  }
}

/** Whether all that is needed comes with that keyframe, and behind it. */
export function isEnough(mark: SourceMark, needed: Needed): boolean {
  const { seconds, soundSeconds = Infinity } = needed
  return (
    mark.seconds <= seconds + toleranceSeconds &&
    (mark.soundSeconds ?? -Infinity) <= soundSeconds + soundToleranceSeconds
  )
}
