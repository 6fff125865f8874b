// Broadcasts that run or ran: what the API lists of them.
import type { Database } from './database/database.ts'

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
