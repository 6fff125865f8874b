// Leases: which transcoder has a live id, and under which epoch.
//
// - One row per live id, never deleted. The epoch only grows, by one with every assignment.
// - Every change is one statement that names the epoch and instance it expects, judged by the database's clock:
//   0 rows means that somebody else was faster, never an error.
// - Who is placed waits until its transcoder names its nonce in a renewal: then it is let in, and has the lease.
// - A lease is active while it has a broadcast. Expiry does not end it: the broadcast waits `holdMs` for
//   its publisher, on the same transcoder while that process lives.
import type { Selectable, Transaction } from 'kysely'
import type {
  AudioFacts,
  Finding,
  LeaseRenewal,
  Rendition,
  Replaced,
  VideoFacts,
} from '../common/contract/placement.ts'
import { replacedBy } from '../common/takeover.ts'
import type { Database, Queries } from './database/database.ts'
import type { LeaseTable, Tables } from './database/tables.ts'
import {
  bindingOf,
  listOf,
  newLeaseColumns,
  nobody,
  selectActive,
  toActiveLease,
  toText,
} from './lease-row.ts'

export type EndReason =
  | 'publisher-left'
  | 'refused'
  | 'stopped'
  | 'transcoder-lost'
  | 'never-started'
  | 'superseded'

export interface StreamFacts {
  video: VideoFacts | null
  audio: AudioFacts | null
  renditions: Rendition[]
  findings: Finding[]
}

/** A lease that has a broadcast, with what the broadcast and its channel say. */
export interface ActiveLease {
  liveId: string
  channelId: string
  epoch: number
  broadcastId: string
  broadcastTag: string
  transcoder: string | null
  instance: string | null
  nonce: string | null
  connection: string | null
  attempt: number | null
  /** Under which the connection was let in. */
  connectionEpoch: number | null
  replaced: readonly Replaced[]
  waiting: readonly Binding[]
  gateway: string | null
  pop: string | null
  clientAddress: string | null
  state: LeaseTable['state']
  cost: number
  stop: boolean
  expiresAt: number
  facts: StreamFacts
  title: string
  topic: string | null
  startedAt: number
  takes: number
  viewers: number
  peakViewers: number
  totalViewers: number
}

/** One way from a publisher to the transcoder that has the lease. */
export interface Binding {
  connection: string
  attempt: number
  nonce: string
  gateway: string
  pop: string | null
  clientAddress: string
  /** Somebody else was live when it was placed. */
  isTakeover: boolean
}

export interface Assignment extends Binding {
  liveId: string
  channelId: string
  broadcastId: string
  /** What the row must still say. */
  expected: RowHolder
  /** Above the expected one, but where a claim takes the place of a holder that nobody came to. */
  epoch: number
  transcoder: string
  instance: string
  cost: number
  /** A broadcast begins: nobody had it before, unless it is told who had. */
  isNew: boolean
  replaced?: readonly Replaced[]
}

/** Whom a row names, with or without a broadcast; epoch 0 where there is no row. */
export interface RowHolder {
  epoch: number
  instance: string | null
}

export interface RowStanding extends RowHolder {
  /** The connection whose broadcast was the last, and was ended by the operator. */
  stoppedConnection: string | null
}

// More than are placed within the life of a ticket, unless somebody tries to.
const maxWaiting = 16

export class LeaseStore {
  readonly #database: Database
  readonly #ttlMs: number
  readonly #holdMs: number

  constructor(database: Database, times: { leaseTtlMs: number; holdMs: number }) {
    this.#database = database
    this.#ttlMs = times.leaseTtlMs
    this.#holdMs = times.holdMs
  }

  async active(queries: Queries = this.#database.db): Promise<ActiveLease[]> {
    return (await selectActive(queries).execute()).map(toActiveLease)
  }

  async find(
    liveId: string,
    queries: Queries = this.#database.db,
  ): Promise<ActiveLease | undefined> {
    const row = await selectActive(queries).where('leases.live_id', '=', liveId).executeTakeFirst()
    return row && toActiveLease(row)
  }

  /** 0 for a live id that never had a lease. */
  async epochOf(liveId: string): Promise<number> {
    return (await this.standing(liveId)).epoch
  }

  async standing(liveId: string, queries: Queries = this.#database.db): Promise<RowStanding> {
    const row = await queries
      .selectFrom('leases')
      .select(['epoch', 'instance', 'connection', 'broadcast_id', 'stop'])
      .where('live_id', '=', liveId)
      .executeTakeFirst()
    const isStopped = row?.broadcast_id === null && row.stop === 1
    return {
      epoch: row?.epoch ?? 0,
      instance: row?.instance ?? null,
      stoppedConnection: isStopped ? row.connection : null,
    }
  }

  /** The database's time, wall ms. */
  async nowMs(queries: Queries): Promise<number> {
    const row = await queries.selectNoFrom(this.#database.now.as('now')).executeTakeFirstOrThrow()
    return row.now
  }

  /** Places a connection on a lease that stands. False: it does not stand any more, or another was faster. */
  async rejoin(lease: ActiveLease, binding: Binding, queries: Queries): Promise<boolean> {
    const waiting = [...lease.waiting, bindingOf(binding)].slice(-maxWaiting)
    const row = await queries
      .updateTable('leases')
      .set((set) => ({
        waiting: toText(waiting),
        expires_at: set(this.#database.now, '+', set.val(this.#ttlMs)),
      }))
      .where('live_id', '=', lease.liveId)
      .where('epoch', '=', lease.epoch)
      .where('instance', '=', lease.instance)
      .where('broadcast_id', '=', lease.broadcastId)
      .where('waiting', 'is not distinct from', toText(lease.waiting))
      .where('nonce', 'is not distinct from', lease.nonce)
      .returning('epoch')
      .executeTakeFirst()
    return row !== undefined
  }

  /** Gives the live id to a transcoder under a higher epoch. `undefined`: the row is not as expected any more. */
  async assign(
    assignment: Assignment,
    transaction: Transaction<Tables>,
  ): Promise<{ epoch: number } | undefined> {
    const { liveId, expected, epoch } = assignment
    const now = this.#database.now
    return transaction
      .insertInto('leases')
      .values((value) => ({
        live_id: liveId,
        epoch,
        ...newLeaseColumns(assignment),
        expires_at: value(now, '+', value.val(this.#ttlMs)),
      }))
      .onConflict((conflict) =>
        conflict
          .column('live_id')
          .doUpdateSet((set) => ({
            epoch,
            ...newLeaseColumns(assignment),
            expires_at: set(now, '+', set.val(this.#ttlMs)),
          }))
          .where('leases.epoch', '=', expected.epoch)
          .where('leases.instance', 'is not distinct from', expected.instance),
      )
      .returning('epoch')
      .executeTakeFirst()
  }

  /** `undefined` is an answer: the lease is lost. */
  async renew(
    liveId: string,
    renewal: LeaseRenewal,
  ): Promise<{ stop: boolean; isNews: boolean } | undefined> {
    const facts = JSON.stringify({
      video: renewal.video,
      audio: renewal.audio,
      renditions: renewal.renditions,
      findings: renewal.findings ?? [],
    } satisfies StreamFacts)
    const before = await this.#database.db
      .selectFrom('leases')
      .leftJoin('broadcasts', 'broadcasts.id', 'leases.broadcast_id')
      .selectAll('leases')
      .select('broadcasts.takes')
      .where('leases.live_id', '=', liveId)
      .executeTakeFirst()
    // A transcoder that has not measured yet says 0; the estimate stays until it has.
    const measured = renewal.cost > 0 ? renewal.cost : undefined
    const row = await this.#database.db
      .updateTable('leases')
      .set((set) => ({
        state: renewal.state,
        facts,
        ...(measured !== undefined && { cost: measured }),
        expires_at: set(this.#database.now, '+', set.val(this.#ttlMs)),
      }))
      .where('live_id', '=', liveId)
      .where('epoch', '=', renewal.epoch)
      .where('instance', '=', renewal.instance)
      .where('broadcast_id', 'is not', null)
      .$if(renewal.broadcastId !== undefined, (its) =>
        its.where('broadcast_id', '=', renewal.broadcastId!),
      )
      .returning(['stop', 'broadcast_id', 'channel_id'])
      .executeTakeFirst()
    if (!row) return undefined
    const isLetIn = before !== undefined && (await this.#letIn(before, renewal))
    if (renewal.takes > (before?.takes ?? 0)) {
      await this.#database.db
        .updateTable('broadcasts')
        .set({ takes: renewal.takes })
        .where('id', '=', row.broadcast_id)
        .where('takes', '<', renewal.takes)
        .execute()
    }
    if (measured !== undefined && before?.cost !== measured) {
      await this.#database.db
        .updateTable('channels')
        .set({ last_cost: measured })
        .where('id', '=', row.channel_id)
        .execute()
    }
    return {
      stop: row.stop === 1,
      isNews:
        isLetIn ||
        before?.state !== renewal.state ||
        before.facts !== facts ||
        (before.takes ?? 0) < renewal.takes,
    }
  }

  /** False also where another was placed meanwhile: the next renewal says it again. */
  async #letIn(before: Selectable<LeaseTable>, { epoch, instance, nonce }: LeaseRenewal) {
    const waiting = listOf<Binding>(before.waiting)
    const binding = waiting.find((it) => it.nonce === nonce)
    if (!binding) return false
    const { connection, attempt, gateway, pop, clientAddress } = binding
    const nowMs = await this.nowMs(this.#database.db)
    const former = { ...before, replaced: listOf<Replaced>(before.replaced) }
    const replaced = replacedBy(former, binding, nowMs)
    const at = waiting.indexOf(binding)
    const left = waiting.filter((it, i) =>
      it.connection === connection
        ? i > at
        : replaced.every((other) => other.connection !== it.connection),
    )
    const row = await this.#database.db
      .updateTable('leases')
      .set({
        ...{ connection, attempt, connection_epoch: epoch, nonce, gateway, pop },
        client_address: clientAddress,
        replaced: toText(replaced),
        waiting: toText(left),
      })
      .where('live_id', '=', before.live_id)
      .where('epoch', '=', epoch)
      .where('instance', '=', instance)
      .where('waiting', '=', before.waiting)
      .returning('epoch')
      .executeTakeFirst()
    return row !== undefined
  }

  /** Ends the broadcast of a lease that its transcoder gives back. */
  async release(
    liveId: string,
    holder: { epoch: number; instance: string },
    reason: EndReason,
  ): Promise<boolean> {
    return this.#database.db.transaction().execute(async (transaction) => {
      const lease = await this.find(liveId, transaction)
      if (lease?.epoch !== holder.epoch || lease.instance !== holder.instance) return false
      return this.end(lease, reason, transaction)
    })
  }

  /** The transcoder gives the stream up, but the show goes on: whoever publishes next is placed anew. */
  async unbind(liveId: string, holder: { epoch: number; instance: string }): Promise<boolean> {
    const row = await this.#database.db
      .updateTable('leases')
      .set({ transcoder: null, instance: null, state: 'held', expires_at: this.#database.now })
      .where('live_id', '=', liveId)
      .where('epoch', '=', holder.epoch)
      .where('instance', '=', holder.instance)
      .where('broadcast_id', 'is not', null)
      .returning('epoch')
      .executeTakeFirst()
    return row !== undefined
  }

  /** Asks the transcoder, by its next renewal, to end the broadcast. */
  async requestStop(lease: ActiveLease, queries: Queries): Promise<boolean> {
    const row = await queries
      .updateTable('leases')
      .set({ stop: 1 })
      .where('live_id', '=', lease.liveId)
      .where('epoch', '=', lease.epoch)
      .where('instance', 'is not distinct from', lease.instance)
      .where('broadcast_id', '=', lease.broadcastId)
      .returning('epoch')
      .executeTakeFirst()
    return row !== undefined
  }

  async end(lease: ActiveLease, reason: EndReason, transaction: Transaction<Tables>) {
    const isStopped = reason === 'stopped'
    const row = await transaction
      .updateTable('leases')
      .set({
        broadcast_id: null,
        transcoder: null,
        instance: null,
        ...nobody,
        waiting: null,
        // A relay that did not hear why its way ended asks again: it must not begin the broadcast anew.
        ...(isStopped && { connection: lease.connection ?? lease.waiting.at(-1)?.connection }),
        facts: null,
        stop: isStopped ? 1 : 0,
      })
      .where('live_id', '=', lease.liveId)
      .where('epoch', '=', lease.epoch)
      .where('instance', 'is not distinct from', lease.instance)
      .where('broadcast_id', '=', lease.broadcastId)
      .returning('epoch')
      .executeTakeFirst()
    if (!row) return false
    await transaction
      .updateTable('broadcasts')
      .set({ ended_at: this.#database.now, end_reason: reason, current_viewers: 0 })
      .where('id', '=', lease.broadcastId)
      .execute()
    // An encoder that is refused tries again and again: attempts without any media are no broadcasts.
    await transaction
      .deleteFrom('broadcasts')
      .where('id', '=', lease.broadcastId)
      .where('takes', '=', 0)
      .execute()
    return true
  }

  /** Ends the broadcasts whose time to come back is over; answers their live ids. */
  async endExpired(): Promise<{ liveId: string; reason: EndReason }[]> {
    return this.#database.db.transaction().execute(async (transaction) => {
      const { now } = this.#database
      const rows = await selectActive(transaction)
        .where((where) =>
          where.or([
            where(where('leases.expires_at', '+', where.val(this.#holdMs)), '<', now),
            where.and([
              where('leases.state', '=', 'starting'),
              where('broadcasts.takes', '=', 0),
              where('leases.expires_at', '<', now),
            ]),
            // Who was to hear of the stop does not renew.
            where.and([where('leases.stop', '=', 1), where('leases.expires_at', '<', now)]),
          ]),
        )
        .execute()
      const ended: { liveId: string; reason: EndReason }[] = []
      for (const row of rows) {
        const lease = toActiveLease(row)
        const reason = lease.stop
          ? 'stopped'
          : lease.takes > 0
            ? 'transcoder-lost'
            : 'never-started'
        if (await this.end(lease, reason, transaction)) ended.push({ liveId: lease.liveId, reason })
      }
      return ended
    })
  }

  /** After this process was away nobody could renew: every active lease gets one more lifetime. */
  async grantGrace(): Promise<void> {
    await this.#database.db
      .updateTable('leases')
      .set((set) => ({ expires_at: set(this.#database.now, '+', set.val(this.#ttlMs)) }))
      .where('broadcast_id', 'is not', null)
      .where('expires_at', '<', (value) => value(this.#database.now, '+', value.val(this.#ttlMs)))
      .execute()
  }
}
