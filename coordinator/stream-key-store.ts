// The stream keys of channels: made once, shown once, revoked or expired, never deleted while the channel is.
import { randomUUID } from 'node:crypto'
import type { Transaction } from 'kysely'
import type { Database, Queries } from './database/database.ts'
import type { StreamKeyTable, Tables } from './database/tables.ts'
import { digestOf, type KeySealer, makeStreamKey } from './stream-key.ts'

export interface StreamKeyInfo {
  id: string
  label: string
  createdAt: number
  expiresAt: number | null
  revokedAt: number | null
  lastUsedAt: number | null
  /** True where the key can be read again. */
  sealed: boolean
}

export interface NewKey {
  label: string
  expiresAt: number | null
}

export class StreamKeyStore {
  readonly #database: Database
  readonly #sealer: KeySealer | undefined

  /** Without a sealer only digests are stored. */
  constructor(database: Database, sealer: KeySealer | undefined) {
    this.#database = database
    this.#sealer = sealer
  }

  /** The only time that the key itself is answered. */
  async create(
    channelId: string,
    { label, expiresAt }: NewKey,
    queries: Queries = this.#database.db,
  ): Promise<StreamKeyInfo & { streamKey: string }> {
    const id = randomUUID()
    const streamKey = makeStreamKey()
    const row = await queries
      .insertInto('stream_keys')
      .values({
        id,
        channel_id: channelId,
        label,
        digest: digestOf(streamKey),
        sealed: this.#sealer?.seal(streamKey, id) ?? null,
        created_at: this.#database.now,
        expires_at: expiresAt,
        revoked_at: null,
        last_used_at: null,
      })
      .returningAll()
      .executeTakeFirstOrThrow()
    return { ...toInfo(row), streamKey }
  }

  async list(channelId: string): Promise<StreamKeyInfo[]> {
    const rows = await this.#database.db
      .selectFrom('stream_keys')
      .selectAll()
      .where('channel_id', '=', channelId)
      .orderBy('created_at')
      .orderBy('id')
      .execute()
    return rows.map(toInfo)
  }

  /** Makes a new key and revokes all others, in one step. */
  async rotate(
    channelId: string,
    key: NewKey,
  ): Promise<StreamKeyInfo & { streamKey: string; revoked: number }> {
    return this.#database.durably(async (transaction) => {
      const revoked = await this.#revoke(transaction, channelId)
      const made = await this.create(channelId, key, transaction)
      return { ...made, revoked: revoked.length }
    })
  }

  /** Revoking twice keeps the first time. */
  async revoke(channelId: string, keyId: string): Promise<StreamKeyInfo | undefined> {
    return this.#database.durably(async (transaction) => {
      await this.#revoke(transaction, channelId, keyId)
      const row = await transaction
        .selectFrom('stream_keys')
        .selectAll()
        .where('id', '=', keyId)
        .where('channel_id', '=', channelId)
        .executeTakeFirst()
      return row && toInfo(row)
    })
  }

  /** `not-sealed` also where the cluster secret has changed since. */
  async read(channelId: string, keyId: string): Promise<string | undefined | 'not-sealed'> {
    const row = await this.#database.db
      .selectFrom('stream_keys')
      .select('sealed')
      .where('id', '=', keyId)
      .where('channel_id', '=', channelId)
      .executeTakeFirst()
    if (!row) return undefined
    return (row.sealed && this.#sealer?.open(row.sealed, keyId)) ?? 'not-sealed'
  }

  #revoke(transaction: Transaction<Tables>, channelId: string, keyId?: string) {
    let query = transaction
      .updateTable('stream_keys')
      .set({ revoked_at: this.#database.now })
      .where('channel_id', '=', channelId)
      .where('revoked_at', 'is', null)
    if (keyId !== undefined) query = query.where('id', '=', keyId)
    return query.returning('id').execute()
  }
}

function toInfo(row: StreamKeyTable): StreamKeyInfo {
  return {
    id: row.id,
    label: row.label,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
    lastUsedAt: row.last_used_at,
    sealed: row.sealed !== null,
  }
}
