// How far a broadcast has got in public, recorded or not: what a transcoder that starts anew must stay above.
//
// Numbers are listed live before anything is on disk, and also while the disk is full. So the journal holds a
// mark that lies ahead of what is listed: every number below it may have been seen. A new one is written when
// less than half of the reserve is left, with each take, and at the end, where it is exact. From then on, another
// transcoder may have the broadcast: whoever goes on with it here counts the time since the last number.

/** Numbers and takes that may have been listed by `atMs` and a reserve of time after it. */
export interface ListedMark {
  below: number
  takes: number
  endSeconds: number
  /** Of a final mark: when the last number was listed. */
  atMs: number
  /** The broadcast was closed properly: nothing is reserved. */
  isFinal: boolean
}

export interface ListedPoint {
  nextNumber: number
  /** Takes so far; the next one gets this number plus one. */
  takes: number
  /** End of the newest segment on the media timeline, listed or not. */
  endSeconds: number
}

/** A minute of usual segments. */
const reservedNumbers = 32
/** The shortest segments that may be configured last 0.9 s, but for the last one of a take. */
const numbersPerSecond = 1.2

export class ListedNumbers {
  #point: ListedPoint
  #mark: ListedMark | undefined
  /** The point has been handed out: until the end it is told, not estimated. */
  #isOpen = false
  /** When the newest number was told, or the point was handed out. */
  #toldAtMs = 0

  constructor(start: ListedPoint) {
    this.#point = start
  }

  /** A mark from the journal; the last one counts. */
  read(mark: ListedMark): void {
    this.#mark = mark
    this.note({ takes: mark.takes, endSeconds: mark.endSeconds })
  }

  note({ nextNumber = 0, takes = 0, endSeconds = 0 }: Partial<ListedPoint>, nowMs?: number): void {
    if (nowMs !== undefined && nextNumber > this.#point.nextNumber) this.#toldAtMs = nowMs
    this.#point = {
      nextNumber: Math.max(this.#point.nextNumber, nextNumber),
      takes: Math.max(this.#point.takes, takes),
      endSeconds: Math.max(this.#point.endSeconds, endSeconds),
    }
  }

  /** Where to go on. */
  open(nowMs: number): ListedPoint {
    const mark = this.#mark
    if (!this.#isOpen && mark) {
      // The mark is old where the disk has failed since, in this life of the process or in one that nobody
      // has heard of. What it reserves may have been jumped over already, so all that time counts.
      const elapsedSeconds = Math.max(0, nowMs - mark.atMs) / 1000
      const late = Math.ceil(elapsedSeconds * numbersPerSecond)
      // One more take may have begun whose mark never reached the disk.
      this.note({ nextNumber: mark.below + late, takes: mark.takes + (mark.isFinal ? 0 : 1) })
    }
    if (!this.#isOpen) this.#toldAtMs = nowMs
    this.#isOpen = true
    return this.#point
  }

  /** The mark that should be journalled now. */
  due(nowMs: number): ListedMark | undefined {
    if (!this.#isOpen) return undefined
    const { nextNumber, takes } = this.#point
    const mark = this.#mark
    const isEnough =
      mark !== undefined &&
      !mark.isFinal &&
      mark.takes >= takes &&
      mark.below - nextNumber >= reservedNumbers / 2
    return isEnough ? undefined : this.#markAt(nowMs, false)
  }

  final(nowMs: number): ListedMark | undefined {
    return this.#isOpen ? this.#markAt(nowMs, true) : undefined
  }

  /** What the journal holds now. */
  written(mark: ListedMark | undefined): void {
    this.#mark = mark
    if (mark?.isFinal) this.#isOpen = false
  }

  #markAt(nowMs: number, isFinal: boolean): ListedMark {
    const { nextNumber, takes, endSeconds } = this.#point
    const below = isFinal ? nextNumber : nextNumber + reservedNumbers
    return { below, takes, endSeconds, atMs: isFinal ? this.#toldAtMs : nowMs, isFinal }
  }
}
