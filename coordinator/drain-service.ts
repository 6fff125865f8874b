// Takes nodes out of service and lets them in again, and tells how far that is.
import type { Logger } from '../common/log.ts'
import type { DrainView } from './api/schemas.ts'
import type { DrainedNodes } from './drained-nodes.ts'
import type { ActiveLease, LeaseStore } from './lease-store.ts'
import type { Membership } from './membership.ts'
import type { Placement } from './placement.ts'
import type { StreamMoves } from './stream-moves.ts'

export interface DrainServiceOptions {
  drained: DrainedNodes
  moves: StreamMoves
  membership: Membership
  leases: LeaseStore
  placement: Placement
  log: Logger
}

export class DrainService {
  readonly #options: DrainServiceOptions

  constructor(options: DrainServiceOptions) {
    this.#options = options
  }

  /** From now on the node is given nothing new. `undefined`: there is no such node. */
  async drain(id: string): Promise<DrainView | undefined> {
    const { drained, moves, membership, leases, log } = this.#options
    if (!membership.member(id)) return undefined
    const active = await leases.active()
    const streams = this.#left(id, active).length
    if (await drained.add(id, streams)) log.info({ node: id, streams }, 'node drains')
    membership.reconsider(id)
    moves.advance(active)
    return this.#view(id, active)
  }

  /** `undefined`: there is no such node, and none was drained by that name. */
  async undrain(id: string): Promise<DrainView | undefined> {
    const { drained, moves, membership, leases, log } = this.#options
    if (await drained.remove(id)) log.info({ node: id }, 'node takes streams again')
    else if (!membership.member(id)) return undefined
    membership.reconsider(id)
    const active = await leases.active()
    moves.advance(active)
    return this.#view(id, active)
  }

  async view(id: string): Promise<DrainView | undefined> {
    const { drained, membership, leases } = this.#options
    if (!membership.member(id) && !drained.get(id)) return undefined
    return this.#view(id, await leases.active())
  }

  #view(id: string, leases: readonly ActiveLease[]): DrainView {
    const { drained, membership, moves } = this.#options
    const info = membership.member(id)?.info
    const drain = drained.get(id)
    const left = this.#left(id, leases)
    const moving = left.find((lease) => moves.isMoving(lease))?.liveId ?? null
    return {
      id,
      role: info?.role ?? null,
      draining: info?.draining ?? drain !== undefined,
      since: drain ? new Date(drain.since).toISOString() : null,
      streams: Math.max(drain?.streams ?? 0, left.length),
      left: left.length,
      moving,
      obstacle: drain && left.length > 0 && moving === null ? this.#obstacle(id, leases) : null,
    }
  }

  #obstacle(id: string, leases: readonly ActiveLease[]): DrainView['obstacle'] {
    const { membership, placement } = this.#options
    if (membership.member(id)?.info.role !== 'transcoder') return 'publishers-stay'
    if (this.#left(id, leases).every(({ state }) => state !== 'live')) return 'publishers-away'
    return placement.seats(leases).length === 0 ? 'no-transcoder' : null
  }

  /** What ends, for somebody, when the node is stopped. */
  #left(id: string, leases: readonly ActiveLease[]): ActiveLease[] {
    const role = this.#options.membership.member(id)?.info.role
    if (role === 'transcoder') return this.#options.moves.left(id, leases)
    const isBy = (lease: ActiveLease) =>
      role === 'gateway' ? lease.gateway === id : role === 'edge' && lease.pop === id
    return leases.filter((lease) => lease.state !== 'held' && isBy(lease))
  }
}
