// How many HTTP requests an address may make: asked before each of them, so that it costs one look-up and no garbage.
// What an address counts as (itself, its /64, or nobody) is found out once and remembered.
import { BoundedTable } from '../../common/bounded-table.ts'
import type { Clock } from '../../common/clock.ts'
import { addressGroup } from '../../common/net/addresses.ts'
import type { NetworkList } from '../../common/net/allowed-networks.ts'
import { ownTables, type PaceCell, type PaceCells } from './admission-tables.ts'

export interface RequestPaceOptions {
  perSecond: number
  /** Addresses to which no limit applies. */
  exempt: readonly NetworkList[]
  /** Where requests are counted; default here. */
  cells?: PaceCells | undefined
  clock: Pick<Clock, 'monotonic'>
  onRefused?: () => void
}

/** As many as two seconds bring: a page and its players begin all at once. */
const burstSeconds = 2
const maxEntries = 10_000

export class RequestPace {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #exempt: readonly NetworkList[]
  readonly #onRefused: (() => void) | undefined
  readonly #everyMs: number
  readonly #burstMs: number
  readonly #addresses = new BoundedTable<PaceCell | 'exempt'>(maxEntries)
  readonly #groups: PaceCells

  constructor({ perSecond, exempt, cells, clock, onRefused }: RequestPaceOptions) {
    this.#groups = cells ?? ownTables().requests
    this.#clock = clock
    this.#exempt = exempt
    this.#onRefused = onRefused
    this.#everyMs = 1_000 / perSecond
    // The slowest rate lets one through.
    this.#burstMs = Math.max(burstSeconds * 1_000, this.#everyMs)
  }

  /** Counts one more; false for one too many, which costs the address nothing. */
  allows(address: string): boolean {
    const bucket = this.#bucketOf(address)
    if (bucket === 'exempt') return true
    const isAllowed = this.#hasRoom(bucket)
    if (isAllowed)
      bucket.wholeAt = Math.max(bucket.wholeAt, this.#clock.monotonic()) + this.#everyMs
    else this.#onRefused?.()
    return isAllowed
  }

  /** What `allows` would say, without counting anything. */
  wouldAllow(address: string): boolean {
    const bucket = this.#bucketOf(address)
    return bucket === 'exempt' || this.#hasRoom(bucket)
  }

  #hasRoom({ wholeAt }: PaceCell): boolean {
    const now = this.#clock.monotonic()
    return Math.max(wholeAt, now) + this.#everyMs <= now + this.#burstMs
  }

  #bucketOf(address: string): PaceCell | 'exempt' {
    return this.#addresses.get(address) ?? this.#meet(address)
  }

  #meet(address: string): PaceCell | 'exempt' {
    const bucket = this.#exempt.some((list) => list.includes(address))
      ? 'exempt'
      : this.#groups.of(addressGroup(address))
    this.#addresses.set(address, bucket)
    return bucket
  }
}
