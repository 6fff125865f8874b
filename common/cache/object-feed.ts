// Tells somebody who shares our memory how an object grows: its head once, its size each time, how it ended. What is
// told is plain data, so that it can go to another thread; the bytes themselves are never sent.
import type { AnswerHead } from './answer-head.ts'
import type { Allocate, CacheObject } from './cache-object.ts'
import type { CacheOutcome } from './cache-status.ts'
import type { Opened } from './fill-cache.ts'

/** Times are monotonic milliseconds of a clock that is the same in all threads. */
export interface ObjectNews {
  /** With the first news that there is an answer. */
  begun?: {
    head: AnswerHead
    receivedAt: number
    outcome: CacheOutcome
    /** For outcome `stale`: what upstream said, where it said anything. */
    failedStatus: number | undefined
  }
  /** Where the body is, whenever that has changed. */
  memory?: SharedArrayBuffer
  size: number
  state: 'growing' | 'complete' | 'broken'
  /** With `complete`: it was kept, and may be kept by others for so long. */
  kept?: { freshUntil: number; staleUntil: number }
}

/** `object`: whose news it is, which may be another than was asked for. */
export type TellNews = (news: ObjectNews, object: CacheObject) => void

export interface ObjectFeedOptions {
  /** How the object is kept, if it is. */
  keptAs: (object: CacheObject) => ObjectNews['kept']
  tell: TellNews
  /** For what is not in shared memory: small answers that were made here. */
  allocate: Allocate
}

export class ObjectFeed {
  readonly #opened: Opened
  readonly #options: ObjectFeedOptions
  #leave: (() => void) | undefined
  #hasBegun = false
  #isOver = false
  #memory: Buffer | undefined
  #size = -1

  constructor(opened: Opened, options: ObjectFeedOptions) {
    this.#opened = opened
    this.#options = options
  }

  start(): void {
    const { object } = this.#opened
    this.#look()
    if (!this.#isOver) this.#leave = object.follow(() => this.#look())
  }

  /** Nobody listens any more. */
  leave(): void {
    this.#isOver = true
    this.#leave?.()
  }

  #look(): void {
    if (this.#isOver) return
    const { object } = this.#opened
    const { substitute } = object
    if (substitute) this.#end(() => this.#tell(substitute.object, 'complete', substitute))
    else if (object.state === 'broken') this.#end(() => this.#tell(object, 'broken'))
    // The cache decides after its readers have been woken whether the object is kept.
    else if (object.state === 'complete') this.#end(() => this.#tell(object, 'complete'))
    else if (object.state === 'growing' && object.size !== this.#size) this.#tell(object, 'growing')
  }

  #end(tell: () => void): void {
    this.#isOver = true
    const { object, outcome } = this.#opened
    const isStored = outcome === 'hit' || outcome === 'stale-hit'
    if (isStored || object.substitute) tell()
    else queueMicrotask(tell)
    this.#leave?.()
  }

  #tell(
    object: CacheObject,
    state: ObjectNews['state'],
    stale?: { failedStatus: number | undefined },
  ): void {
    const { keptAs, tell } = this.#options
    const { head, memory, receivedAt, size } = object
    const news: ObjectNews = { size, state }
    if (head && !this.#hasBegun) {
      const outcome = stale ? 'stale' : this.#opened.outcome
      news.begun = { head, receivedAt, outcome, failedStatus: stale?.failedStatus }
      this.#hasBegun = true
    }
    if (memory !== this.#memory && memory.length > 0) {
      news.memory = this.#shared(memory)
    }
    this.#memory = memory
    this.#size = size
    const kept = state === 'complete' && !stale ? keptAs(object) : undefined
    if (kept) news.kept = kept
    tell(news, object)
  }

  #shared(memory: Buffer): SharedArrayBuffer {
    const buffer: ArrayBufferLike = memory.buffer
    if (buffer instanceof SharedArrayBuffer) return buffer
    const copy = this.#options.allocate(memory.length)
    memory.copy(copy)
    return copy.buffer as unknown as SharedArrayBuffer
  }
}
