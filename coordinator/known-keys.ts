// The keys that gateways are to know, so that publishers can begin while this process is away.
import { randomUUID } from 'node:crypto'
import type { Clock } from '../common/clock.ts'
import type { KnownKeyList } from '../common/contract/stand-in.ts'
import type { Database } from './database/database.ts'
import { keyChangeCount } from './database/key-changes.ts'

/** Some 750 KB as JSON. */
const maxKeys = 5_000
/** Every publish may raise one; a gateway writes the list to its disk each time. */
const epochsEveryMs = 10_000

export class KnownKeys {
  readonly #database: Database
  /** Another database may have come with another process, and changes are counted anew. */
  readonly #process = randomUUID().slice(0, 8)

  readonly #clock: Clock
  #epochs: { sum: number; readMs: number } | undefined

  constructor(database: Database, clock: Clock) {
    this.#database = database
    this.#clock = clock
  }

  /**
   * Another one whenever `list` may answer otherwise, within a few seconds where only epochs have grown; cheap enough
   * for every heartbeat.
   */
  async version(): Promise<string> {
    const { db } = this.#database
    return [this.#process, await this.#epochSum(), await keyChangeCount(db)].join('.')
  }

  async #epochSum(): Promise<number> {
    const nowMs = this.#clock.monotonic()
    if (!this.#epochs || nowMs - this.#epochs.readMs >= epochsEveryMs) {
      const row = await this.#database.db
        .selectFrom('leases')
        .select(({ fn }) => fn.sum<number>('epoch').as('n'))
        .executeTakeFirstOrThrow()
      this.#epochs = { sum: row.n ?? 0, readMs: nowMs }
    }
    return this.#epochs.sum
  }

  /** Those used last, and then the newest. */
  async list(): Promise<KnownKeyList> {
    const version = await this.version()
    const { db, now } = this.#database
    const rows = await db
      .selectFrom('stream_keys')
      .innerJoin('channels', 'channels.id', 'stream_keys.channel_id')
      .leftJoin('leases', 'leases.live_id', 'channels.live_id')
      .select(['stream_keys.digest', 'stream_keys.expires_at', 'channels.live_id'])
      .select(['channels.record', 'leases.epoch'])
      .where('stream_keys.revoked_at', 'is', null)
      .where('channels.banned_at', 'is', null)
      .where((where) =>
        where.or([
          where('stream_keys.expires_at', 'is', null),
          where('stream_keys.expires_at', '>', now),
        ]),
      )
      .orderBy('stream_keys.last_used_at', (by) => by.desc().nullsLast())
      .orderBy('stream_keys.created_at', 'desc')
      .limit(maxKeys)
      .execute()
    return {
      version,
      keys: rows.map((row) => ({
        digest: row.digest,
        liveId: row.live_id,
        epoch: row.epoch ?? 0,
        record: row.record === 1,
        expiresAt: row.expires_at,
      })),
    }
  }
}
