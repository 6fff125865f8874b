// Watches one player's clock: has the picture moved, when was the first one, how often did it stop.

export interface PlaybackSample {
  at: number
  currentTime: number
  /** Paused on purpose, or jumping: standing still is no stall then. */
  isIdle: boolean
}

const stallAfterMs = 500

export class PlaybackMonitor {
  readonly #startedAt: number
  #lastTime: number | null = null
  #movedAt: number | null = null
  #firstPictureAt: number | null = null
  #isStalled = false
  #stalls = 0

  /** @param startedAt When the viewer began to wait. */
  constructor(startedAt: number) {
    this.#startedAt = startedAt
  }

  get stalls(): number {
    return this.#stalls
  }

  get isStalled(): boolean {
    return this.#isStalled
  }

  get timeToFirstPictureMs(): number | null {
    return this.#firstPictureAt === null ? null : this.#firstPictureAt - this.#startedAt
  }

  /** A frame has reached the screen. */
  pictureShown(at: number): void {
    this.#firstPictureAt ??= at
  }

  /** True when the picture has moved since the last sample. */
  sample({ at, currentTime, isIdle }: PlaybackSample): boolean {
    const hasMoved = this.#lastTime !== null && currentTime > this.#lastTime
    this.#lastTime = currentTime
    if (hasMoved || isIdle) {
      if (hasMoved || this.#movedAt !== null) this.#movedAt = at
      this.#isStalled = false
      return hasMoved
    }
    if (this.#movedAt !== null && !this.#isStalled && at - this.#movedAt >= stallAfterMs) {
      this.#isStalled = true
      this.#stalls++
    }
    return false
  }
}
