// Viewers per live id, summed over the edges' heartbeats; peak and total go into the broadcast.
import type { Database } from './database/database.ts'
import type { Membership } from './membership.ts'

interface Tally {
  /** Viewers that arrived since the last flush. */
  arrived: number
  peak: number
}

export class ViewerCounts {
  readonly #database: Database
  readonly #membership: Membership
  /** Per edge: its process and the totals that it last told. */
  readonly #told = new Map<string, { instance: string; totals: Map<string, number> }>()
  /** Edges whose totals from before our restart are not known yet. */
  readonly #unmarked = new Set<string>()
  readonly #tallies = new Map<string, Tally>()
  #stored = new Map<string, number>()

  constructor(database: Database, membership: Membership) {
    this.#database = database
    this.#membership = membership
  }

  /** Call once after a restart, before heartbeats: what these edges counted so far is already stored. */
  restore(): void {
    for (const { info, heartbeat } of this.#membership.members('edge')) {
      // Unknown totals: the first heartbeat of such a process only sets the mark.
      this.#told.set(info.id, { instance: heartbeat.instance, totals: new Map() })
      this.#unmarked.add(info.id)
    }
  }

  /** Call after an edge's heartbeat was taken. */
  heard(edgeId: string): void {
    const member = this.#membership.member(edgeId)
    if (member?.info.role !== 'edge') return
    const { instance, viewers } = member.heartbeat
    const before = this.#told.get(edgeId)
    const isSame = before?.instance === instance
    const onlyMarks = isSame && this.#unmarked.has(edgeId)
    this.#unmarked.delete(edgeId)
    const totals = new Map<string, number>()
    for (const { liveId, total } of viewers) {
      // An edge may forget a live id that nobody watched for long and count anew.
      const known = isSame ? (before.totals.get(liveId) ?? 0) : 0
      const arrived = total >= known ? total - known : total
      if (!onlyMarks && arrived > 0) this.#tally(liveId).arrived += arrived
      totals.set(liveId, total)
    }
    this.#told.set(edgeId, { instance, totals })
    for (const { liveId } of viewers) {
      const tally = this.#tally(liveId)
      tally.peak = Math.max(tally.peak, this.current(liveId))
    }
  }

  current(liveId: string): number {
    let sum = 0
    for (const { heartbeat } of this.#membership.members('edge')) {
      sum += heartbeat.viewers.find((count) => count.liveId === liveId)?.current ?? 0
    }
    return sum
  }

  /** Writes what changed into the running broadcasts. Viewers of what is not live are dropped. */
  async flush(): Promise<void> {
    const live = await this.#database.db
      .selectFrom('leases')
      .select(['live_id', 'broadcast_id', 'channel_id'])
      .where('broadcast_id', 'is not', null)
      .execute()
    const stored = new Map<string, number>()
    const changes = live.flatMap((row) => {
      const current = this.current(row.live_id)
      const tally = this.#tallies.get(row.live_id) ?? { arrived: 0, peak: 0 }
      stored.set(row.broadcast_id!, current)
      const isSame = this.#stored.get(row.broadcast_id!) === current && tally.arrived === 0
      return isSame ? [] : [{ row, current, ...tally }]
    })
    this.#stored = stored
    this.#tallies.clear()
    if (changes.length === 0) return
    await this.#database.db.transaction().execute(async (transaction) => {
      for (const { row, current, arrived, peak } of changes) {
        const highest = Math.max(peak, current)
        await transaction
          .updateTable('broadcasts')
          .set((set) => ({
            current_viewers: current,
            peak_viewers: set
              .case()
              .when('peak_viewers', '<', highest)
              .then(highest)
              .else(set.ref('peak_viewers'))
              .end(),
            total_viewers: set('total_viewers', '+', set.val(arrived)),
          }))
          .where('id', '=', row.broadcast_id)
          .execute()
        if (arrived > 0) {
          await transaction
            .updateTable('channels')
            .set((set) => ({ views: set('views', '+', set.val(arrived)) }))
            .where('id', '=', row.channel_id)
            .execute()
        }
      }
    })
  }

  #tally(liveId: string): Tally {
    let tally = this.#tallies.get(liveId)
    if (!tally) {
      tally = { arrived: 0, peak: 0 }
      this.#tallies.set(liveId, tally)
    }
    return tally
  }
}
