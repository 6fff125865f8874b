// Whom a stream key lets publish: the channel behind it, or why not.
import { type Refusal, refusal } from '../common/contract/refusal.ts'
import type { Database, Queries } from './database/database.ts'

export interface Publisher {
  channelId: string
  liveId: string
  title: string
  topic: string | null
  record: boolean
  lastCost: number | null
}

/** Keys that are not known cost the same single look-up as keys that are and may not publish. */
export async function publisherOf(
  { db, now }: Pick<Database, 'now'> & { db: Queries },
  keyDigest: string,
): Promise<Publisher | Refusal> {
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
      'channels.banned_at',
    ])
    .select(now.as('now'))
    .where('stream_keys.digest', '=', keyDigest)
    .executeTakeFirst()
  if (!row) return refusal('key-unknown')
  if (row.revoked_at !== null) return refusal('key-revoked')
  if (row.expires_at !== null && row.expires_at <= row.now) return refusal('key-expired')
  if (row.banned_at !== null) return refusal('channel-banned')
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
