// Recordings: what transcoders report about the replays on their disks.
import type { RecordingReport, Rendition } from '../common/contract/placement.ts'
import type { Database } from './database/database.ts'
import type { RecordingTable } from './database/tables.ts'

export interface Recording {
  id: string
  liveId: string
  broadcastId: string
  title: string
  transcoder: string
  startedAt: number
  durationMs: number
  sizeBytes: number
  renditions: Rendition[]
}

export class RecordingStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  /**
   * `gone`: it was deleted meanwhile. `taken`: another transcoder has a longer part of the same broadcast; one
   * broadcast has one replay.
   */
  async report(id: string, report: RecordingReport): Promise<'ok' | 'gone' | 'taken'> {
    const { db, now } = this.#database
    const channel = await db
      .selectFrom('channels')
      .select(['id', 'title', 'name', 'replay_title'])
      .where('live_id', '=', report.liveId)
      .executeTakeFirst()
    const broadcast = await db
      .selectFrom('broadcasts')
      .select('title')
      .where('id', '=', report.broadcastId)
      .executeTakeFirst()
    const facts = {
      duration_ms: report.durationMs,
      size_bytes: report.sizeBytes,
      renditions: JSON.stringify(report.renditions),
      updated_at: now,
    }
    const row = await db
      .insertInto('recordings')
      .values({
        id,
        channel_id: channel?.id ?? null,
        live_id: report.liveId,
        broadcast_id: report.broadcastId,
        title: firstText(channel?.replay_title, broadcast?.title, channel?.title, channel?.name),
        transcoder: report.transcoder,
        started_at: report.startedAt,
        deleted_at: null,
        ...facts,
      })
      .onConflict((conflict) =>
        conflict
          .column('id')
          .doUpdateSet({ ...facts, transcoder: report.transcoder, started_at: report.startedAt })
          .where((where) =>
            where.or([
              where('recordings.transcoder', '=', report.transcoder),
              where('recordings.duration_ms', '<', report.durationMs),
            ]),
          ),
      )
      .returning('deleted_at')
      .executeTakeFirst()
    if (!row) return 'taken'
    return row.deleted_at === null ? 'ok' : 'gone'
  }

  async find(id: string): Promise<Recording | undefined> {
    const row = await this.#select().where('id', '=', id).executeTakeFirst()
    return row && toRecording(row)
  }

  /** Newest first. A part that was kept before its broadcast went on is no replay yet. */
  async list(filter: { liveId?: string | undefined; limit: number }): Promise<Recording[]> {
    const running = this.#database.db
      .selectFrom('broadcasts')
      .select('id')
      .where('ended_at', 'is', null)
    const query = this.#select()
      .where('broadcast_id', 'not in', running)
      .orderBy('started_at', 'desc')
      .orderBy('duration_ms', 'desc')
      .limit(filter.limit)
    const rows = await (filter.liveId === undefined
      ? query
      : query.where('live_id', '=', filter.liveId)
    ).execute()
    return rows.map(toRecording)
  }

  /** The replay to offer for a channel: of the newest broadcast that is over, its longest part. */
  async newest(channelId: string, runningBroadcastId: string | null): Promise<string | undefined> {
    const row = await this.#select()
      .where('channel_id', '=', channelId)
      .where('broadcast_id', '!=', runningBroadcastId ?? '')
      .orderBy('started_at', 'desc')
      .orderBy('duration_ms', 'desc')
      .limit(1)
      .executeTakeFirst()
    return row?.id
  }

  /** Hides it at once; the transcoder deletes the files when it hears of it. */
  async markDeleted(id: string): Promise<boolean> {
    const row = await this.#database.db
      .updateTable('recordings')
      .set({ deleted_at: this.#database.now })
      .where('id', '=', id)
      .where('deleted_at', 'is', null)
      .returning('id')
      .executeTakeFirst()
    return row !== undefined
  }

  /** Recordings whose files a transcoder has yet to delete. */
  async toDelete(transcoder: string): Promise<string[]> {
    const rows = await this.#database.db
      .selectFrom('recordings')
      .select('id')
      .where('transcoder', '=', transcoder)
      .where('deleted_at', 'is not', null)
      .limit(100)
      .execute()
    return rows.map((row) => row.id)
  }

  /** The files are gone. */
  async remove(id: string, transcoder: string): Promise<boolean> {
    const result = await this.#database.db
      .deleteFrom('recordings')
      .where('id', '=', id)
      .where('transcoder', '=', transcoder)
      .executeTakeFirst()
    return result.numDeletedRows > 0n
  }

  #select() {
    return this.#database.db.selectFrom('recordings').selectAll().where('deleted_at', 'is', null)
  }
}

function firstText(...texts: (string | null | undefined)[]): string {
  return texts.find((text) => text !== undefined && text !== null && text !== '') ?? ''
}

function toRecording(row: RecordingTable): Recording {
  return {
    id: row.id,
    liveId: row.live_id,
    broadcastId: row.broadcast_id,
    title: row.title,
    transcoder: row.transcoder,
    startedAt: row.started_at,
    durationMs: row.duration_ms,
    sizeBytes: row.size_bytes,
    renditions: JSON.parse(row.renditions) as Rendition[],
  }
}
