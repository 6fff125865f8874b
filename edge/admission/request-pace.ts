// How many HTTP requests an address may make, and how much may be sent to it: asked before each request, so that it costs
// one look-up and no garbage.
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
  /** What may be sent to an address; default anything. */
  bytesPerSecond?: number | undefined
  /** Where that is counted; default here. */
  byteCells?: PaceCells | undefined
  clock: Pick<Clock, 'monotonic'>
  onRefused?: () => void
}

/** As many as two seconds bring: a page and its players begin all at once. */
const burstSeconds = 2
/** A player fills its buffer at once. */
const byteBurstMs = 10_000
const maxEntries = 10_000

interface Bucket {
  requests: PaceCell
  /** Undefined where there is no limit. */
  bytes: PaceCell | undefined
}

export class RequestPace {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #exempt: readonly NetworkList[]
  readonly #onRefused: (() => void) | undefined
  readonly #everyMs: number
  readonly #burstMs: number
  readonly #addresses = new BoundedTable<Bucket | 'exempt'>(maxEntries)
  readonly #groups: PaceCells
  readonly #byteGroups: PaceCells | undefined
  readonly #msPerByte: number

  constructor(options: RequestPaceOptions) {
    const { perSecond, exempt, cells, bytesPerSecond, byteCells, clock, onRefused } = options
    this.#groups = cells ?? ownTables().requests
    this.#byteGroups = bytesPerSecond === undefined ? undefined : (byteCells ?? ownTables().bytes)
    this.#msPerByte = 1_000 / (bytesPerSecond ?? Infinity)
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
    if (isAllowed) this.#add(bucket.requests, this.#everyMs)
    else this.#onRefused?.()
    return isAllowed
  }

  /** So much has been sent to it: what it has asked for it gets, however much that is, and then nothing for a while. */
  charge(address: string, bytes: number): void {
    const bucket = this.#bucketOf(address)
    if (bucket !== 'exempt' && bucket.bytes) this.#add(bucket.bytes, bytes * this.#msPerByte)
  }

  /** What `allows` would say, without counting anything. */
  wouldAllow(address: string): boolean {
    const bucket = this.#bucketOf(address)
    return bucket === 'exempt' || this.#hasRoom(bucket)
  }

  #hasRoom({ requests, bytes }: Bucket): boolean {
    const now = this.#clock.monotonic()
    if (bytes && bytes.wholeAt > now + byteBurstMs) return false
    return Math.max(requests.wholeAt, now) + this.#everyMs <= now + this.#burstMs
  }

  #add(cell: PaceCell, ms: number): void {
    cell.wholeAt = Math.max(cell.wholeAt, this.#clock.monotonic()) + ms
  }

  #bucketOf(address: string): Bucket | 'exempt' {
    return this.#addresses.get(address) ?? this.#meet(address)
  }

  #meet(address: string): Bucket | 'exempt' {
    const bucket = this.#exempt.some((list) => list.includes(address))
      ? 'exempt'
      : this.#bucketFor(addressGroup(address))
    this.#addresses.set(address, bucket)
    return bucket
  }

  #bucketFor(group: string): Bucket {
    return { requests: this.#groups.of(group), bytes: this.#byteGroups?.of(group) }
  }
}
