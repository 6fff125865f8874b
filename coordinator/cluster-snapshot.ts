// The cluster as it is pushed to every node: who is here, and where each live id is served from.
import type { Clock } from '../common/clock.ts'
import type { NodeInfo, Route } from '../common/contract/membership.ts'
import type { PurgeOrder } from '../common/contract/purge.ts'
import type { ActiveLease, LeaseStore } from './lease-store.ts'
import type { Membership } from './membership.ts'
import type { StreamMoves } from './stream-moves.ts'

export class SnapshotRenderer {
  readonly #membership: Membership
  readonly #leases: LeaseStore
  readonly #moves: StreamMoves
  readonly #purges: () => PurgeOrder[]
  #content = ''
  #generation: number

  constructor(
    clock: Clock,
    membership: Membership,
    leases: LeaseStore,
    moves: StreamMoves,
    purges: () => PurgeOrder[],
  ) {
    this.#purges = purges
    this.#membership = membership
    this.#leases = leases
    this.#moves = moves
    // Starts from the wall clock, so that it also grows over restarts.
    this.#generation = Math.floor(clock.now())
  }

  get generation(): number {
    return this.#generation
  }

  /** JSON of a `ClusterSnapshot`; the generation grows when anything in it differs. */
  async render(): Promise<string> {
    const leases = await this.#leases.active()
    // Who moves next depends on the very leases that are told: a turn that is over ends here and now.
    this.#moves.advance(leases)
    const nodes: NodeInfo[] = this.#membership.members().map((member) => member.info)
    nodes.sort((a, b) => (a.id < b.id ? -1 : 1))
    const routes = leases.flatMap((lease) => this.#route(lease) ?? [])
    const purges = this.#purges()
    const content =
      `"nodes":${JSON.stringify(nodes)},"routes":${JSON.stringify(routes)}` +
      (purges.length > 0 ? `,"purges":${JSON.stringify(purges)}` : '')
    if (content !== this.#content) {
      this.#content = content
      this.#generation += 1
    }
    return `{"generation":${this.#generation},${content}}`
  }

  /** None while the transcoder process is not here: there is nothing to fetch. */
  #route(lease: ActiveLease): Route | undefined {
    const { liveId, broadcastId, epoch, transcoder, instance } = lease
    if (transcoder === null || instance === null) return undefined
    if (!this.#membership.isAlive(transcoder, instance)) return undefined
    const url = this.#membership.member(transcoder)!.info.urls.http
    if (url === undefined) return undefined
    return {
      liveId,
      broadcastId,
      broadcastTag: lease.broadcastTag,
      startedAt: lease.startedAt,
      takes: lease.takes,
      epoch,
      instance,
      connection: lease.connection,
      home: lease.gateway,
      transcoder: { id: transcoder, url },
      ...(this.#moves.isMoving(lease) && { isMoving: true }),
    }
  }
}
