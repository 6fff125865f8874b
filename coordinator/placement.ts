// The first answer for a live id: the ring over the transcoders that can take a stream, with bounded load.
import { chooseBounded, type LoadedNode, loadCaps, Ring } from '../common/ring.ts'
import type { ActiveLease } from './lease-store.ts'
import type { Member, Membership } from './membership.ts'

/** Cost of a stream that nobody has measured yet: 720p at 30 frames per second. */
export const assumedCost = 1280 * 720 * 30

export interface PlacementOptions {
  loadFactor: number
  vnodes: number
}

/** One transcoder as the ring sees it. */
export interface RingSeat extends LoadedNode {
  member: Member
  streams: number
}

export class Placement {
  readonly #membership: Membership
  readonly #options: PlacementOptions
  #ring: { key: string; ring: Ring } | undefined

  constructor(membership: Membership, options: PlacementOptions) {
    this.#membership = membership
    this.#options = options
  }

  get options(): PlacementOptions {
    return this.#options
  }

  /** The transcoders that may be given a stream, with what they carry by the leases. */
  seats(leases: readonly ActiveLease[]): RingSeat[] {
    const seats = new Map<string, RingSeat>()
    for (const member of this.#membership.members('transcoder')) {
      const { id, weight, draining, urls } = member.info
      if (draining || weight <= 0 || !urls.rtmp || !urls.http) continue
      seats.set(id, { id, weight, load: 0, streams: 0, member })
    }
    for (const { transcoder, instance, cost } of leases) {
      const seat = transcoder === null ? undefined : seats.get(transcoder)
      if (!seat || seat.member.heartbeat.instance !== instance) continue
      seat.load += cost
      seat.streams += 1
    }
    return [...seats.values()]
  }

  /** `undefined` when no transcoder can take a stream; the processes `except` are not asked. */
  choose(
    liveId: string,
    cost: number,
    leases: readonly ActiveLease[],
    except: ReadonlySet<string>,
  ): Member | undefined {
    const seats = this.seats(leases).filter((seat) => !except.has(seat.member.heartbeat.instance))
    const order = this.ringOf(seats).order(liveId)
    const id = chooseBounded(order, seats, cost, this.#options.loadFactor)
    return seats.find((seat) => seat.id === id)?.member
  }

  /** Caps for one more stream of the assumed cost. */
  caps(seats: readonly RingSeat[]): Map<string, number> {
    return loadCaps(seats, assumedCost, this.#options.loadFactor)
  }

  // Building a ring takes milliseconds, so it is kept until the members or their weights change.
  ringOf(seats: readonly LoadedNode[]): Ring {
    const key = JSON.stringify(seats.map(({ id, weight }) => [id, weight]))
    if (this.#ring?.key !== key) {
      this.#ring = { key, ring: new Ring(seats, this.#options.vnodes) }
    }
    return this.#ring.ring
  }
}
