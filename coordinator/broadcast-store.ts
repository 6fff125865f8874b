// Broadcasts that run or ran: how they begin, what the API lists of them.
import type { Transaction } from 'kysely'
import type { Database } from './database/database.ts'
import type { Tables } from './database/tables.ts'
import type { Publisher } from './publisher.ts'

export interface Broadcast {
  id: string
  liveId: string
  title: string
  topic: string | null
  startedAt: number
  endedAt: number | null
  endReason: string | null
  takes: number
  currentViewers: number
  peakViewers: number
  totalViewers: number
}

export class BroadcastStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  /** Newest first. */
  async list(filter: {
    liveId?: string | undefined
    before?: number | undefined
    limit: number
  }): Promise<Broadcast[]> {
    let query = this.#database.db
      .selectFrom('broadcasts')
      .selectAll()
      .orderBy('started_at', 'desc')
      .limit(filter.limit)
    if (filter.liveId !== undefined) query = query.where('live_id', '=', filter.liveId)
    if (filter.before !== undefined) query = query.where('started_at', '<', filter.before)
    return (await query.execute()).map((row) => ({
      id: row.id,
      liveId: row.live_id,
      title: row.title,
      topic: row.topic,
      startedAt: row.started_at,
      endedAt: row.ended_at,
      endReason: row.end_reason,
      takes: row.takes,
      currentViewers: row.current_viewers,
      peakViewers: row.peak_viewers,
      totalViewers: row.total_viewers,
    }))
  }
}

/** `startedAt` in wall ms: now, where it is not given. One that had ended goes on. */
export async function beginBroadcast(
  { now }: Database,
  { startedAt, ...broadcast }: { id: string; tag: string; startedAt?: number },
  publisher: Publisher,
  transaction: Transaction<Tables>,
): Promise<void> {
  await transaction
    .insertInto('broadcasts')
    .values({
      ...rowOf(broadcast, publisher),
      started_at: startedAt ?? now,
      ended_at: null,
      end_reason: null,
    })
    .onConflict((conflict) =>
      conflict.column('id').doUpdateSet({ ended_at: null, end_reason: null }),
    )
    .execute()
}

/** One that is over, and never had the lease. */
export async function rememberBroadcast(
  { now }: Database,
  { startedAt, takes, ...broadcast }: { id: string; tag: string; startedAt: number; takes: number },
  publisher: Publisher,
  transaction: Transaction<Tables>,
): Promise<void> {
  await transaction
    .insertInto('broadcasts')
    .values({
      ...rowOf(broadcast, publisher),
      takes,
      started_at: startedAt,
      ended_at: now,
      end_reason: 'superseded',
    })
    .onConflict((conflict) => conflict.column('id').doNothing())
    .execute()
}

function rowOf(
  { id, tag }: { id: string; tag: string },
  { channelId, liveId, title, topic }: Publisher,
) {
  return { id, tag, title, topic, channel_id: channelId, live_id: liveId }
}
