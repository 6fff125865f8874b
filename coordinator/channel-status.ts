// What a viewer's page may know about a channel without a bearer.
import type { ChannelStatus } from '../common/contract/channel.ts'
import type { Database } from './database/database.ts'
import type { ActiveLease, LeaseStore } from './lease-store.ts'
import type { RecordingStore } from './recording-store.ts'
import type { ViewerCounts } from './viewer-counts.ts'

export class ChannelStatuses {
  readonly #database: Database
  readonly #leases: LeaseStore
  readonly #recordings: RecordingStore
  readonly #viewers: ViewerCounts

  constructor(
    database: Database,
    leases: LeaseStore,
    recordings: RecordingStore,
    viewers: ViewerCounts,
  ) {
    this.#database = database
    this.#leases = leases
    this.#recordings = recordings
    this.#viewers = viewers
  }

  async find(liveId: string): Promise<ChannelStatus | undefined> {
    const channel = await this.#database.db
      .selectFrom('channels')
      .leftJoin('topics', 'topics.id', 'channels.topic')
      .select(['channels.id', 'channels.name', 'channels.title', 'channels.description'])
      .select('topics.name as topic')
      .select(this.#database.now.as('now'))
      .where('channels.live_id', '=', liveId)
      .executeTakeFirst()
    if (!channel) return undefined
    const active = await this.#leases.find(liveId)
    // A lease that its transcoder never confirmed is no broadcast to anybody.
    const lease = active && isBegun(active) ? active : undefined
    const replayId = await this.#recordings.newest(channel.id, active?.broadcastId ?? null)
    return {
      liveId,
      title: channel.title || channel.name,
      description: channel.description,
      topic: channel.topic,
      state: lease ? streamStateOf(lease, channel.now) : 'offline',
      broadcastId: lease?.broadcastId ?? null,
      startedAt: lease ? new Date(lease.startedAt).toISOString() : null,
      takes: lease?.takes ?? 0,
      viewers: this.#viewers.current(liveId),
      replayId: replayId ?? null,
    }
  }
}

/** True once a transcoder has confirmed the broadcast. */
export function isBegun(lease: ActiveLease): boolean {
  return lease.state !== 'starting' || lease.takes > 0
}

/** `held` also when the transcoder has stopped renewing: the show may come back elsewhere. */
export function streamStateOf(lease: ActiveLease, nowMs: number): 'live' | 'held' {
  return lease.state === 'live' && lease.expiresAt > nowMs ? 'live' : 'held'
}
