// From a stream key to a lease: the first of the two gates that a publisher passes.
//
// - The newest authenticated connection wins (`takeover.ts`). When the lease of the channel stands and its transcoder
//   process is alive, the connection joins it: same transcoder, same epoch, new ticket, also when the ring has changed
//   since. Otherwise the ring chooses, the epoch grows, and the broadcast goes on if it is still being held.
// - Whoever publishes may name the holder that failed it. Heartbeats say that a process lives, not that it takes media:
//   the stream goes elsewhere whether or not they come, and only where nobody else can take it back to the same one.
// - A holder that the row does not know, at its epoch or above, has been seen under a database that was rolled back
//   since. The next epoch is above both, so that no epoch ever has two holders in the eyes of who saw the first.
import { randomUUID } from 'node:crypto'
import type { Transaction } from 'kysely'
import { makeBroadcastTag } from '../common/broadcast-tag.ts'
import type { ClusterAuth } from '../common/cluster/cluster-auth.ts'
import type { Holder, PublishGrant, PublishRequest } from '../common/contract/placement.ts'
import { type Refusal, refusal } from '../common/contract/refusal.ts'
import type { Logger } from '../common/log.ts'
import { claimOf } from '../common/takeover.ts'
import { beginBroadcast } from './broadcast-store.ts'
import type { Database } from './database/database.ts'
import type { Tables } from './database/tables.ts'
import { GivenUp } from './given-up.ts'
import type { ActiveLease, LeaseStore, RowHolder } from './lease-store.ts'
import type { Member, Membership } from './membership.ts'
import { assumedCost, type Placement } from './placement.ts'
import { type Publisher, publisherOf } from './publisher.ts'

// Each lost race means that another publish of the same channel got through meanwhile.
const maxRaces = 5

export interface PublishServiceOptions {
  database: Database
  leases: LeaseStore
  membership: Membership
  placement: Placement
  auth: ClusterAuth
  log: Logger
  /** True while transcoders may still tell what they have let in while this process was away. */
  isSettling?: () => boolean
  onChange: () => void
  onPlaced?: (reason: PlacementReason) => void
}

export type PlacementReason = 'new' | 'rejoined' | 'taken-over' | 'moved'

interface Placed {
  lease: ActiveLease
  transcoder: Member
  reason: PlacementReason
}

export class PublishService {
  readonly #options: PublishServiceOptions
  readonly #givenUp = new GivenUp()

  constructor(options: PublishServiceOptions) {
    this.#options = options
  }

  async publish(
    request: PublishRequest,
  ): Promise<{ granted: PublishGrant } | { refused: Refusal }> {
    const { log } = this.#options
    const publisher = await publisherOf(this.#options.database, request.keyDigest)
    if ('code' in publisher) return { refused: publisher }
    const { liveId } = publisher
    let placed: Placed | Refusal | undefined
    for (let race = 0; race < maxRaces && !placed; race++) {
      placed = await this.#place(publisher, request)
    }
    placed ??= refusal('no-transcoder')
    if ('code' in placed) {
      const facts = { liveId, publisher: request.connection, gateway: request.gateway }
      if (placed.code === 'no-transcoder') log.warn(facts, 'no transcoder for a publish')
      else log.info({ ...facts, reason: placed.code }, 'publish refused')
      if (placed.code === 'broadcast-stopped') this.#options.onChange()
      return { refused: placed }
    }
    this.#options.onChange()
    this.#options.onPlaced?.(placed.reason)
    log.info(
      {
        liveId,
        publisher: request.connection,
        epoch: placed.lease.epoch,
        transcoder: placed.transcoder.info.id,
        gateway: request.gateway,
        pop: request.pop,
        reason: placed.reason,
      },
      'publish placed',
    )
    return { granted: await this.#grant(placed, publisher, request) }
  }

  /**
   * Ends a broadcast: through the next renewal of its transcoder, or at once where none is there to tell. False
   * when the channel is not live.
   */
  async stop(liveId: string): Promise<boolean> {
    const { leases, membership, database, onChange } = this.#options
    const isStopped = await database.db.transaction().execute(async (transaction) => {
      const lease = await leases.find(liveId, transaction)
      if (!lease) return false
      return membership.isAlive(lease.transcoder, lease.instance)
        ? leases.requestStop(lease, transaction)
        : leases.end(lease, 'stopped', transaction)
    })
    if (isStopped) onChange()
    return isStopped
  }

  /** `undefined`: somebody else changed the lease meanwhile; look again. */
  async #place(
    publisher: Publisher,
    request: PublishRequest,
  ): Promise<Placed | Refusal | undefined> {
    const { database } = this.#options
    const joined = await database.db
      .transaction()
      .execute((transaction) => this.#join(publisher.liveId, request, transaction))
    if (joined !== 'needs-transcoder') return joined
    // Only an epoch must be on the disk before it is told: a relay that comes back does not wait for that.
    return database.durably(async (transaction) => {
      const again = await this.#join(publisher.liveId, request, transaction)
      return again === 'needs-transcoder' ? this.#assign(publisher, request, transaction) : again
    })
  }

  /** Binds the connection to the lease that stands, if it may have it and the holder is there. */
  async #join(
    liveId: string,
    request: PublishRequest,
    transaction: Transaction<Tables>,
  ): Promise<Placed | Refusal | 'needs-transcoder' | undefined> {
    const { leases } = this.#options
    const lease = await leases.find(liveId, transaction)
    if (!lease) {
      const { stoppedConnection } = await leases.standing(liveId, transaction)
      return stoppedConnection === request.connection
        ? refusal('broadcast-stopped')
        : 'needs-transcoder'
    }
    const claim = claimOf(lease, request, await leases.nowMs(transaction))
    if ('refused' in claim) return claim.refused
    const isGivenUp = request.away !== undefined && request.away.epoch >= lease.epoch
    const holder = isGivenUp ? undefined : this.#livingHolder(lease)
    if (lease.stop) {
      // Nobody is left who would hear of it by a renewal.
      if (!holder) await leases.end(lease, 'stopped', transaction)
      return refusal('broadcast-stopped')
    }
    if (!holder || holder.info.draining) return 'needs-transcoder'
    return this.#rejoin(lease, holder, request, claim, transaction)
  }

  async #rejoin(
    lease: ActiveLease,
    transcoder: Member,
    request: PublishRequest,
    { isTakeover }: { isTakeover: boolean },
    transaction: Transaction<Tables>,
  ): Promise<Placed | undefined> {
    const binding = { ...request, isTakeover }
    if (!(await this.#options.leases.rejoin(lease, binding, transaction))) return undefined
    return { lease, transcoder, reason: isTakeover ? 'taken-over' : 'rejoined' }
  }

  /**
   * Asks, in this order: who has not failed the stream of late, who is not the one that just did, that one again, and
   * the holder that is to be left.
   */
  async #assign(
    publisher: Publisher,
    request: PublishRequest,
    transaction: Transaction<Tables>,
  ): Promise<Placed | Refusal | undefined> {
    const { leases, placement, database } = this.#options
    const { liveId } = publisher
    const { away } = request
    const all = await leases.active(transaction)
    const lease = all.find((active) => active.liveId === liveId)
    const nowMs = await leases.nowMs(transaction)
    const claim = lease && claimOf(lease, request, nowMs)
    if (claim && 'refused' in claim) return claim.refused
    // It may have been banned since its key was looked at; what the ban found running it has ended.
    if (await isBanned(publisher.channelId, transaction)) return refusal('channel-banned')
    // The gateway asks the transcoder that may have it already.
    if (!lease && this.#options.isSettling?.()) return refusal('coordinator-away')
    if (away) this.#givenUp.note(liveId, away.instance, nowMs)
    const cost = publisher.lastCost ?? assumedCost
    const others = all.filter((active) => active !== lease)
    const choose = (except: ReadonlySet<string>) => placement.choose(liveId, cost, others, except)
    const other =
      choose(this.#givenUp.of(liveId, nowMs)) ?? choose(new Set(away ? [away.instance] : []))
    const holder = lease && this.#livingHolder(lease)
    const transcoder = other ?? choose(new Set())
    const isOnlyHolder = !transcoder || (!other && isHolder(away, lease))
    if (isOnlyHolder && lease && holder && claim && isKnown(away, lease)) {
      return this.#rejoin(lease, holder, request, claim, transaction)
    }
    if (!transcoder) return refusal('no-transcoder')
    const broadcastId = lease?.broadcastId ?? randomUUID()
    const expected = await leases.standing(liveId, transaction)
    const assigned = await leases.assign(
      {
        ...request,
        isTakeover: claim?.isTakeover ?? false,
        isNew: !lease,
        liveId,
        channelId: publisher.channelId,
        broadcastId,
        expected,
        epoch: Math.max(expected.epoch, away?.epoch ?? 0) + 1,
        transcoder: transcoder.info.id,
        instance: transcoder.heartbeat.instance,
        cost,
      },
      transaction,
    )
    if (!assigned) return undefined
    if (!lease) {
      const begun = { id: broadcastId, tag: makeBroadcastTag() }
      await beginBroadcast(database, begun, publisher, transaction)
    }
    const made = await leases.find(liveId, transaction)
    return made && { lease: made, transcoder, reason: lease ? 'moved' : 'new' }
  }

  /** The transcoder process that holds the lease, if it is here. */
  #livingHolder(lease: ActiveLease): Member | undefined {
    const { membership } = this.#options
    if (lease.transcoder === null || !membership.isAlive(lease.transcoder, lease.instance)) {
      return undefined
    }
    const member = membership.member(lease.transcoder)!
    return member.info.urls.rtmp ? member : undefined
  }

  async #grant(
    placed: Placed,
    publisher: Publisher,
    { connection, nonce }: PublishRequest,
  ): Promise<PublishGrant> {
    const { lease, transcoder } = placed
    const { id, urls, instance } = transcoder.info
    const ticket = await this.#options.auth.signTicket({
      liveId: lease.liveId,
      broadcastId: lease.broadcastId,
      broadcastTag: lease.broadcastTag,
      broadcastStartedAt: lease.startedAt,
      epoch: lease.epoch,
      nonce,
      connection,
      transcoder: id,
      instance,
      record: publisher.record,
      takes: lease.takes,
    })
    return {
      liveId: lease.liveId,
      broadcastId: lease.broadcastId,
      epoch: lease.epoch,
      instance,
      transcoder: { id, rtmp: urls.rtmp!, url: urls.http! },
      ticket,
    }
  }
}

async function isBanned(channelId: string, transaction: Transaction<Tables>): Promise<boolean> {
  const row = await transaction
    .selectFrom('channels')
    .select('banned_at')
    .where('id', '=', channelId)
    .executeTakeFirst()
  return row !== undefined && row.banned_at !== null
}

function isHolder(known: Holder | undefined, lease: RowHolder | undefined): boolean {
  return known?.epoch === lease?.epoch && known?.instance === lease?.instance
}

/** False for a holder that the row has never had. */
function isKnown(away: Holder | undefined, lease: RowHolder): boolean {
  return away === undefined || away.epoch < lease.epoch || isHolder(away, lease)
}
