// One answer of upstream, growing or complete: what a fill writes and any number of readers follow.
//
// - All bytes are in one buffer. A reader is an offset into it, so that a late reader starts at 0 and a slow
//   one costs nothing but its place; no reader can hold up the fill or another reader.
// - The buffer is allocated by us, at the announced length or by doubling: the pieces that the HTTP client
//   hands over are slices of much larger socket buffers and are let go at once.
// - States only move forward: waiting → growing → complete | broken. An object that is still waiting may end as
//   another one: with a `substitute`, which is stale, or by becoming one that is complete, whose bytes they then share.
// - The memory may be another thread's, in which the object grows there (mirror.ts): then only its size comes here.
import { gzipSync } from 'node:zlib'
import type { AnswerHead } from './answer-head.ts'
import type { ObjectTarget } from './cache-key.ts'
import type { ObjectPolicy } from './freshness.ts'
import type { LiveTally } from './live-tallies.ts'

export type ObjectState = 'waiting' | 'growing' | 'complete' | 'broken'

/** Of any number of objects: those who follow one that is not over yet. */
export interface Crowd {
  readers: number
  /** One of them threw when it was woken. */
  onFault?: (err: unknown) => void
}

const firstBytes = 32 * 1024

/** Memory that nothing else is in; its bytes may be anything. */
export type Allocate = (bytes: number) => Buffer

/** What others have written so far. */
export interface MirroredBody {
  /** Where it has moved. */
  memory?: Buffer | undefined
  size: number
  isComplete: boolean
}

export class CacheObject {
  readonly target: ObjectTarget
  readonly policy: ObjectPolicy
  /** Called when the last reader has left. */
  onDeserted: (() => void) | undefined
  /** Of its live id or recording: what is asked and sent of it is added here. */
  tally: LiveTally | undefined
  /** Fetched ahead of any request, and not asked for so far. */
  isUnread = false
  #state: ObjectState = 'waiting'
  #head: AnswerHead | undefined
  #substitute: CacheObject | undefined
  #substituteStatus: number | undefined
  #receivedAt = 0
  #buffer: Buffer = Buffer.alloc(0)
  #size = 0
  #gzipped: Buffer | undefined
  #twin: CacheObject | undefined
  readonly #readers = new Set<() => void>()
  readonly #crowd: Crowd
  readonly #allocate: Allocate
  #wasFollowed = false

  constructor(
    target: ObjectTarget,
    policy: ObjectPolicy,
    crowd: Crowd = { readers: 0 },
    allocate: Allocate = Buffer.allocUnsafeSlow,
  ) {
    this.target = target
    this.policy = policy
    this.#crowd = crowd
    this.#allocate = allocate
  }

  get state(): ObjectState {
    return this.#state
  }

  get head(): AnswerHead | undefined {
    return this.#head
  }

  /** The stale object that answers instead, and the status that upstream failed with. */
  get substitute(): { object: CacheObject; failedStatus: number | undefined } | undefined {
    return this.#substitute && { object: this.#substitute, failedStatus: this.#substituteStatus }
  }

  /** Bytes here so far. */
  get size(): number {
    return this.#size
  }

  /** Length of the whole body, as soon as it is known. */
  get length(): number | undefined {
    return this.#state === 'complete' ? this.#size : this.#head?.length
  }

  get readers(): number {
    return this.#readers.size
  }

  /** In which the body grows; another one when that becomes too small. */
  get memory(): Buffer {
    return this.#buffer
  }

  /** When the head came, by the monotonic clock. */
  get receivedAt(): number {
    return this.#receivedAt
  }

  /** All who ever followed have left. */
  get isDeserted(): boolean {
    return this.#wasFollowed && this.#readers.size === 0
  }

  /** Age in seconds at that moment of the clock (RFC 9111 §4.2.3). The time upstream took to answer is left
   * out: it holds blocking reloads back on purpose, and players correct the live edge by this number. */
  ageSeconds(now: number): number {
    return (this.#head?.ageSeconds ?? 0) + Math.floor((now - this.#receivedAt) / 1000)
  }

  begin(head: AnswerHead, now: number): void {
    this.#state = 'growing'
    this.#head = head
    this.#receivedAt = now
    if (head.length !== undefined) this.#buffer = this.#allocate(head.length)
    this.#wake()
  }

  /** As `begin`, but others write the body, into this memory: `grow` tells how far they are. */
  mirror(head: AnswerHead, receivedAt: number, body: MirroredBody): void {
    this.#head = head
    this.#receivedAt = receivedAt
    this.grow(body)
  }

  /** Of a mirror. */
  grow({ memory = this.#buffer, size, isComplete }: MirroredBody): void {
    this.#buffer = memory
    this.#size = size
    if (isComplete) this.#finish('complete')
    else {
      this.#state = 'growing'
      this.#wake()
    }
  }

  append(piece: Uint8Array): void {
    const needed = this.#size + piece.length
    if (needed > this.#buffer.length) this.#reallocate(Math.max(needed, 2 * this.#size, firstBytes))
    this.#buffer.set(piece, this.#size)
    this.#size = needed
    this.#wake()
  }

  complete(): void {
    if (this.#buffer.length !== this.#size) this.#reallocate(this.#size)
    this.#finish('complete')
  }

  /** The rest of the body will never come. */
  break(): void {
    this.#finish('broken')
  }

  substituteWith(object: CacheObject, failedStatus: number | undefined): void {
    this.#substitute = object
    this.#substituteStatus = failedStatus
    this.#finish('broken')
  }

  /** Whoever waits gets `object`, which is complete, as if it had been asked for. */
  becomes(object: CacheObject): void {
    this.#head = object.#head
    this.#receivedAt = object.#receivedAt
    this.#buffer = object.#buffer
    this.#size = object.#size
    this.#twin = object
    this.#finish('complete')
  }

  /** A view, never a copy. Bytes once here never change, also when the buffer moves. */
  slice(start: number, end: number): Buffer {
    return this.#buffer.subarray(start, Math.min(end, this.#size))
  }

  /** Of a complete object: made when the first reader wants it (30 µs for a playlist), shared by all. */
  gzipped(): Buffer {
    if (this.#twin) return this.#twin.gzipped()
    this.#gzipped ??= gzipSync(this.slice(0, this.#size))
    return this.#gzipped
  }

  /** Calls back on every change of state or size until the returned function is called. */
  follow(wake: () => void): () => void {
    this.#wasFollowed = true
    this.#readers.add(wake)
    if (!this.#isOver) this.#crowd.readers++
    return () => {
      if (!this.#readers.delete(wake)) return
      if (!this.#isOver) this.#crowd.readers--
      if (this.#readers.size === 0) this.onDeserted?.()
    }
  }

  get #isOver(): boolean {
    return this.#state === 'complete' || this.#state === 'broken'
  }

  #finish(state: 'complete' | 'broken'): void {
    if (!this.#isOver) this.#crowd.readers -= this.#readers.size
    this.#state = state
    this.#wake()
  }

  /** Whatever one reader throws, the others are woken, and the fill goes on. */
  #wake(): void {
    for (const wake of this.#readers) {
      try {
        wake()
      } catch (err) {
        if (!this.#crowd.onFault) throw err
        this.#crowd.onFault(err)
      }
    }
  }

  #reallocate(bytes: number): void {
    const buffer = this.#allocate(bytes)
    this.#buffer.copy(buffer, 0, 0, this.#size)
    this.#buffer = buffer
  }
}
