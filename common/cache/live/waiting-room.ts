// Requests for a live playlist that are held. All that wait for the same, of the same form, follow one object, however
// many they are, and each object is held for a limited time.
import type { Clock, Timer } from '../../clock.ts'
import type { ObjectTarget } from '../cache-key.ts'
import { CacheObject, type Crowd } from '../cache-object.ts'
import { policyOf } from '../freshness.ts'
import type { Position } from './hold-rules.ts'

/** What of a request decides which version may answer it, and in which form. */
export interface Asked {
  position: Position | undefined
  wantsDelta: boolean
  /** Any version will do that comes from now on: what is here holds the position, but is too old. */
  takesAny: boolean
}

interface Waiting extends Asked {
  object: CacheObject
  timer: Timer
}

/**
 * Distinct questions, whatever their number of readers. What may be waited for is fewer, so that nobody can take the
 * places of others: with parts of 0.1 s, the shortest there are, 92 positions in three forms (hold-rules.ts).
 */
const maxQuestions = 300

export class WaitingRoom {
  readonly #clock: Clock
  readonly #crowd: Crowd
  readonly #waiting = new Map<string, Waiting>()

  constructor(clock: Clock, crowd: Crowd) {
    this.#clock = clock
    this.#crowd = crowd
  }

  get size(): number {
    return this.#waiting.size
  }

  get readers(): number {
    return [...this.#waiting.values()].reduce((sum, { object }) => sum + object.readers, 0)
  }

  get hasTakersOfAny(): boolean {
    return [...this.#waiting.values()].some(({ takesAny }) => takesAny)
  }

  /** The object of those who ask the same. */
  find(key: string): CacheObject | undefined {
    return this.#waiting.get(key)?.object
  }

  /** Undefined when too many different questions are open. */
  add(
    target: ObjectTarget,
    asked: Asked,
    { ms, late }: { ms: number; late: (object: CacheObject) => void },
  ): CacheObject | undefined {
    if (this.#waiting.size >= maxQuestions) return undefined
    const { key } = target
    const object = new CacheObject(target, policyOf(target.media), this.#crowd)
    const timer = this.#clock.setTimeout(() => {
      if (this.#take(key)) late(object)
    }, ms)
    object.onDeserted = () => this.#take(key)
    this.#waiting.set(key, { ...asked, object, timer })
    return object
  }

  /** Those go for whom `answers` gives a way to end their object. */
  settle(answers: (asked: Asked) => ((object: CacheObject) => void) | undefined): void {
    for (const [key, waiting] of [...this.#waiting]) {
      const end = answers(waiting)
      if (end) end(this.#take(key)!.object)
    }
  }

  #take(key: string): Waiting | undefined {
    const waiting = this.#waiting.get(key)
    if (!waiting) return undefined
    this.#waiting.delete(key)
    waiting.object.onDeserted = undefined
    waiting.timer.cancel()
    return waiting
  }
}
