// An object that another thread fills: it grows here in the same memory, as that thread tells (object-feed.ts).
//
// When that thread dies, what has not begun, or is the same wherever it comes from, goes on from whoever fills it
// next; anything else is broken off.
import { Buffer } from 'node:buffer'
import type { ObjectTarget } from './cache-key.ts'
import { CacheObject, type Crowd } from './cache-object.ts'
import type { CacheOutcome } from './cache-status.ts'
import { policyOf } from './freshness.ts'
import type { ObjectNews } from './object-feed.ts'

/** Whoever fills objects: another thread, or this one. */
export interface ObjectSource {
  /** `lost`: it is no more, and will tell nothing. */
  open(
    target: ObjectTarget,
    listener: { tell(news: ObjectNews): void; lost(): void },
  ): { leave(): void }
}

export interface MirrorOptions {
  target: ObjectTarget
  source: ObjectSource
  now: () => number
  /** Where those who wait are counted. */
  crowd: Crowd
  /** Who fills the object now that the source is lost. */
  nextSource: (mirror: Mirror) => ObjectSource
  onEnd: (mirror: Mirror, kept: ObjectNews['kept']) => void
}

export class Mirror {
  readonly object: CacheObject
  readonly startedAt: number
  /** False after a purge: serves its readers and is forgotten. */
  storable = true
  readonly #options: MirrorOptions
  #outcome: CacheOutcome | undefined
  #kept: ObjectNews['kept']
  #following: { leave(): void } | undefined
  #source: ObjectSource
  /** Of a thread that tells again from the start, until it is as far as what is here. */
  #memory: Buffer | undefined
  #ended = false

  constructor(options: MirrorOptions) {
    const { target } = options
    this.#options = options
    this.#source = options.source
    this.startedAt = options.now()
    this.object = new CacheObject(target, policyOf(target.media), options.crowd)
    this.object.onDeserted = () => {
      if (target.blocking && this.object.state === 'waiting') this.abandon()
    }
  }

  /** What the thread that fills it did for us; undefined before the answer begins. */
  get outcome(): CacheOutcome | undefined {
    return this.#outcome
  }

  /** Who fills it, or did to the end. */
  get source(): ObjectSource {
    return this.#source
  }

  /** How that thread keeps it, once it is complete. */
  get kept(): ObjectNews['kept'] {
    return this.#kept
  }

  start(): void {
    this.#open(this.#options.source)
  }

  abandon(): void {
    if (this.#ended) return
    this.#following?.leave()
    this.#break()
  }

  #open(source: ObjectSource): void {
    let isLeft = false
    this.#source = source
    const following = source.open(this.#options.target, {
      tell: (news) => {
        if (!isLeft) this.#on(news)
      },
      lost: () => {
        if (!isLeft && !this.#ended) this.#onLost()
      },
    })
    this.#following = {
      leave() {
        isLeft = true
        following.leave()
      },
    }
    // All may have been told within the call.
    if (this.#ended) following.leave()
  }

  #onLost(): void {
    const { object } = this
    const canGoOn =
      object.state === 'waiting' || (object.policy.isImmutable && object.head?.status === 200)
    if (canGoOn) this.#open(this.#options.nextSource(this))
    else this.#break()
  }

  #on(news: ObjectNews): void {
    if (this.#ended) return
    const { head } = this.object
    const { begun, state } = news
    this.#kept = news.kept
    if (!begun) this.#grow(news)
    else if (!head) this.#begin(begun, news)
    else if (begun.head.status === 200 && begun.head.length === head.length) this.#grow(news)
    else this.abandon()
    if (this.#ended) return
    if (state === 'broken') this.#break()
    else if (this.object.state === 'complete') this.#end()
    // Shorter than what is here already.
    else if (state === 'complete') this.#break()
  }

  #begin(begun: NonNullable<ObjectNews['begun']>, { memory, size, state }: ObjectNews): void {
    const { head, receivedAt, outcome, failedStatus } = begun
    const body = { memory: memory && Buffer.from(memory), size, isComplete: state === 'complete' }
    this.#outcome = outcome
    if (outcome !== 'stale') {
      this.object.mirror(head, receivedAt, body)
      return
    }
    const stale = new CacheObject(this.object.target, this.object.policy)
    stale.mirror(head, receivedAt, body)
    this.object.substituteWith(stale, failedStatus)
    this.#end()
  }

  #grow({ memory, size, state }: ObjectNews): void {
    if (memory) this.#memory = Buffer.from(memory)
    if (size < this.object.size) return
    this.object.grow({ memory: this.#memory, size, isComplete: state === 'complete' })
    this.#memory = undefined
  }

  #break(): void {
    this.object.break()
    this.#end()
  }

  #end(): void {
    this.#ended = true
    this.object.onDeserted = undefined
    this.#options.onEnd(this, this.object.state === 'complete' ? this.#kept : undefined)
  }
}
