// From a stream key to a lease: the first of the two gates that a publisher passes.
//
// The newest authenticated connection wins. When the lease of the channel stands and its transcoder process is
// alive, the connection joins it: same transcoder, same epoch, new nonce, also when the ring has changed since.
// Otherwise the ring chooses, the epoch grows by one, and the broadcast goes on if it is still being held.
import { randomUUID } from 'node:crypto'
import type { Transaction } from 'kysely'
import type { ClusterAuth } from '../common/cluster/cluster-auth.ts'
import type { PublishGrant, PublishRequest } from '../common/contract/placement.ts'
import { type Refusal, refusal } from '../common/contract/refusal.ts'
import type { Logger } from '../common/log.ts'
import type { Database } from './database/database.ts'
import type { Tables } from './database/tables.ts'
import type { ActiveLease, LeaseStore } from './lease-store.ts'
import type { Member, Membership } from './membership.ts'
import { assumedCost, type Placement } from './placement.ts'
import { makeBroadcastTag } from './stream-key.ts'

// Each lost race means that another publish of the same channel got through meanwhile.
const maxRaces = 5

export interface PublishServiceOptions {
  database: Database
  leases: LeaseStore
  membership: Membership
  placement: Placement
  auth: ClusterAuth
  log: Logger
  onChange: () => void
  onPlaced?: (reason: PlacementReason) => void
}

export type PlacementReason = 'new' | 'rejoined' | 'moved'

interface Publisher {
  channelId: string
  liveId: string
  title: string
  topic: string | null
  record: boolean
  lastCost: number | null
}

interface Placed {
  lease: ActiveLease
  transcoder: Member
  reason: PlacementReason
}

export class PublishService {
  readonly #options: PublishServiceOptions

  constructor(options: PublishServiceOptions) {
    this.#options = options
  }

  async publish(
    request: PublishRequest,
  ): Promise<{ granted: PublishGrant } | { refused: Refusal }> {
    const { log } = this.#options
    const publisher = await this.#authenticate(request.keyDigest)
    if ('code' in publisher) return { refused: publisher }
    const { liveId } = publisher
    let placed: Placed | Refusal | undefined
    for (let race = 0; race < maxRaces && !placed; race++) {
      placed = await this.#options.database.durably((transaction) =>
        this.#place(publisher, request, transaction),
      )
    }
    if (!placed) return { refused: refusal('no-transcoder') }
    if ('code' in placed) {
      log.warn({ liveId, gateway: request.gateway }, 'no transcoder for a publish')
      return { refused: placed }
    }
    this.#options.onChange()
    this.#options.onPlaced?.(placed.reason)
    log.info(
      {
        liveId,
        epoch: placed.lease.epoch,
        transcoder: placed.transcoder.info.id,
        gateway: request.gateway,
        pop: request.pop,
        reason: placed.reason,
      },
      'publish placed',
    )
    return { granted: await this.#grant(placed, publisher, request.nonce) }
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

  async #authenticate(digest: string): Promise<Publisher | Refusal> {
    const { db, now } = this.#options.database
    const row = await db
      .selectFrom('stream_keys')
      .innerJoin('channels', 'channels.id', 'stream_keys.channel_id')
      .select([
        'stream_keys.id as key_id',
        'stream_keys.revoked_at',
        'stream_keys.expires_at',
        'channels.id',
        'channels.live_id',
        'channels.name',
        'channels.title',
        'channels.topic',
        'channels.record',
        'channels.last_cost',
      ])
      .select(now.as('now'))
      .where('stream_keys.digest', '=', digest)
      .executeTakeFirst()
    if (!row) return refusal('key-unknown')
    if (row.revoked_at !== null) return refusal('key-revoked')
    if (row.expires_at !== null && row.expires_at <= row.now) return refusal('key-expired')
    await db
      .updateTable('stream_keys')
      .set({ last_used_at: now })
      .where('id', '=', row.key_id)
      .execute()
    return {
      channelId: row.id,
      liveId: row.live_id,
      title: row.title || row.name,
      topic: row.topic,
      record: row.record === 1,
      lastCost: row.last_cost,
    }
  }

  /** `undefined`: somebody else changed the lease meanwhile; look again. */
  async #place(
    publisher: Publisher,
    request: PublishRequest,
    transaction: Transaction<Tables>,
  ): Promise<Placed | Refusal | undefined> {
    const { leases, placement, database } = this.#options
    const { liveId } = publisher
    const all = await leases.active(transaction)
    const lease = all.find((active) => active.liveId === liveId)
    const holder = lease && this.#livingHolder(lease)
    if (lease && holder) {
      if (!(await leases.rejoin(lease, request, transaction))) return undefined
      return { lease, transcoder: holder, reason: 'rejoined' }
    }
    const cost = publisher.lastCost ?? assumedCost
    const others = all.filter((active) => active !== lease)
    const transcoder = placement.choose(liveId, cost, others)
    if (!transcoder) return refusal('no-transcoder')
    const broadcastId = lease?.broadcastId ?? randomUUID()
    const assigned = await leases.assign(
      {
        ...request,
        liveId,
        channelId: publisher.channelId,
        broadcastId,
        expectedEpoch: await leases.epochOf(liveId, transaction),
        transcoder: transcoder.info.id,
        instance: transcoder.heartbeat.instance,
        cost,
      },
      transaction,
    )
    if (!assigned) return undefined
    if (!lease) {
      await transaction
        .insertInto('broadcasts')
        .values({
          id: broadcastId,
          tag: makeBroadcastTag(),
          channel_id: publisher.channelId,
          live_id: liveId,
          title: publisher.title,
          topic: publisher.topic,
          started_at: database.now,
          ended_at: null,
          end_reason: null,
        })
        .execute()
    }
    const made = await leases.find(liveId, transaction)
    return made && { lease: made, transcoder, reason: lease ? 'moved' : 'new' }
  }

  /** The transcoder process that holds the lease, if it is here and not about to go. */
  #livingHolder(lease: ActiveLease): Member | undefined {
    const { membership } = this.#options
    if (lease.transcoder === null || !membership.isAlive(lease.transcoder, lease.instance)) {
      return undefined
    }
    const member = membership.member(lease.transcoder)!
    return member.info.draining || !member.info.urls.rtmp ? undefined : member
  }

  async #grant(placed: Placed, publisher: Publisher, nonce: string): Promise<PublishGrant> {
    const { lease, transcoder } = placed
    const { id, urls, instance } = transcoder.info
    const ticket = await this.#options.auth.signTicket({
      liveId: lease.liveId,
      broadcastId: lease.broadcastId,
      broadcastTag: lease.broadcastTag,
      broadcastStartedAt: lease.startedAt,
      epoch: lease.epoch,
      nonce,
      transcoder: id,
      instance,
      record: publisher.record,
      takes: lease.takes,
    })
    return {
      liveId: lease.liveId,
      broadcastId: lease.broadcastId,
      epoch: lease.epoch,
      transcoder: { id, rtmp: urls.rtmp!, url: urls.http! },
      ticket,
    }
  }
}
