// What is asked and sent per live id or recording. A tally is found once, with the first answer from an object, and hangs on
// that object: each request for it then adds to plain numbers.
import { LRUCache } from 'lru-cache'
import type { MediaObject } from './media-path.ts'

export interface LiveTally {
  readonly scope: MediaObject['scope']
  readonly id: string
  requests: number
  /** Body bytes handed to downstream connections. */
  bytes: number
}

const defaultMaxTallies = 10_000

/** Those that nothing has arrived of for the longest time are forgotten over a bound. */
export class LiveTallies {
  readonly #tallies: LRUCache<string, LiveTally>

  constructor(max = defaultMaxTallies) {
    this.#tallies = new LRUCache({ max })
  }

  of({ scope, id }: Pick<MediaObject, 'scope' | 'id'>): LiveTally {
    const key = `${scope}/${id}`
    const known = this.#tallies.get(key)
    if (known) return known
    const tally: LiveTally = { scope, id, requests: 0, bytes: 0 }
    this.#tallies.set(key, tally)
    return tally
  }

  /** Those that something arrived of last come first. */
  latest(limit: number): LiveTally[] {
    return this.#tallies
      .values()
      .take(limit)
      .map((tally) => ({ ...tally }))
      .toArray()
  }
}
