// How many HTTP requests an address may make: asked before each of them, so that it costs one look-up and no garbage.
// What an address counts as (itself, its /64, or nobody) is found out once and remembered.
import { BoundedTable } from '../../common/bounded-table.ts'
import type { Clock } from '../../common/clock.ts'
import { addressGroup } from '../../common/net/addresses.ts'
import type { NetworkList } from '../../common/net/allowed-networks.ts'

export interface RequestPaceOptions {
  perSecond: number
  /** Addresses to which no limit applies. */
  exempt: readonly NetworkList[]
  clock: Pick<Clock, 'monotonic'>
  onRefused?: () => void
}

/** As many as two seconds bring: a page and its players begin all at once. */
const burstSeconds = 2
const maxEntries = 10_000

interface Bucket {
  /** Monotonic time at which the whole burst would be free again (see pace.ts). */
  wholeAt: number
}

export class RequestPace {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #exempt: readonly NetworkList[]
  readonly #onRefused: (() => void) | undefined
  readonly #everyMs: number
  readonly #burstMs: number
  readonly #addresses = new BoundedTable<Bucket | 'exempt'>(maxEntries)
  readonly #groups = new BoundedTable<Bucket>(maxEntries)

  constructor({ perSecond, exempt, clock, onRefused }: RequestPaceOptions) {
    this.#clock = clock
    this.#exempt = exempt
    this.#onRefused = onRefused
    this.#everyMs = 1_000 / perSecond
    // The slowest rate lets one through.
    this.#burstMs = Math.max(burstSeconds * 1_000, this.#everyMs)
  }

  /** Counts one more; false for one too many, which costs the address nothing. */
  allows(address: string): boolean {
    const isAllowed = this.#take(address, 1)
    if (!isAllowed) this.#onRefused?.()
    return isAllowed
  }

  /** What `allows` would say, without counting anything. */
  wouldAllow(address: string): boolean {
    return this.#take(address, 0)
  }

  #take(address: string, count: 0 | 1): boolean {
    const bucket = this.#addresses.get(address) ?? this.#meet(address)
    if (bucket === 'exempt') return true
    const now = this.#clock.monotonic()
    const since = Math.max(bucket.wholeAt, now)
    if (since + this.#everyMs > now + this.#burstMs) return false
    bucket.wholeAt = since + count * this.#everyMs
    return true
  }

  #meet(address: string): Bucket | 'exempt' {
    const bucket = this.#exempt.some((list) => list.includes(address))
      ? 'exempt'
      : this.#groupOf(addressGroup(address))
    this.#addresses.set(address, bucket)
    return bucket
  }

  #groupOf(group: string): Bucket {
    const known = this.#groups.get(group)
    if (known) return known
    const bucket = { wholeAt: 0 }
    this.#groups.set(group, bucket)
    return bucket
  }
}
