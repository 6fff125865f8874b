// Every change of the schema, in order. A migration that has been released is never edited.
import { type Kysely, sql } from 'kysely'
import { type Migration, Migrator } from 'kysely/migration'
import type { Tables } from './tables.ts'

const migrations: Record<string, Migration> = {
  '0001-first': {
    async up(db) {
      await db.schema
        .createTable('topics')
        .addColumn('id', 'text', (column) => column.primaryKey())
        .addColumn('name', 'text', (column) => column.notNull())
        .addColumn('created_at', 'bigint', (column) => column.notNull())
        .execute()
      await db.schema
        .createTable('channels')
        .addColumn('id', 'text', (column) => column.primaryKey())
        .addColumn('live_id', 'text', (column) => column.notNull().unique())
        .addColumn('owner', 'text')
        .addColumn('name', 'text', (column) => column.notNull())
        .addColumn('title', 'text', (column) => column.notNull())
        .addColumn('description', 'text', (column) => column.notNull())
        .addColumn('topic', 'text', (column) => column.references('topics.id').onDelete('set null'))
        .addColumn('cover_path', 'text')
        .addColumn('record', 'integer', (column) => column.notNull())
        .addColumn('replay_title', 'text')
        .addColumn('chat_enabled', 'integer', (column) => column.notNull())
        .addColumn('protected', 'integer', (column) => column.notNull())
        .addColumn('max_viewers', 'integer')
        .addColumn('views', 'bigint', (column) => column.notNull().defaultTo(0))
        .addColumn('last_cost', 'double precision')
        .addColumn('created_at', 'bigint', (column) => column.notNull())
        .execute()
      await db.schema
        .createTable('stream_keys')
        .addColumn('id', 'text', (column) => column.primaryKey())
        .addColumn('channel_id', 'text', (column) =>
          column.notNull().references('channels.id').onDelete('cascade'),
        )
        .addColumn('label', 'text', (column) => column.notNull())
        .addColumn('digest', 'text', (column) => column.notNull().unique())
        .addColumn('sealed', 'blob')
        .addColumn('created_at', 'bigint', (column) => column.notNull())
        .addColumn('expires_at', 'bigint')
        .addColumn('revoked_at', 'bigint')
        .addColumn('last_used_at', 'bigint')
        .execute()
      await index(db, 'stream_keys', 'channel_id')
      await db.schema
        .createTable('broadcasts')
        .addColumn('id', 'text', (column) => column.primaryKey())
        .addColumn('tag', 'text', (column) => column.notNull().unique())
        .addColumn('channel_id', 'text', (column) =>
          column.notNull().references('channels.id').onDelete('cascade'),
        )
        .addColumn('live_id', 'text', (column) => column.notNull())
        .addColumn('title', 'text', (column) => column.notNull())
        .addColumn('topic', 'text')
        .addColumn('started_at', 'bigint', (column) => column.notNull())
        .addColumn('ended_at', 'bigint')
        .addColumn('end_reason', 'text')
        .addColumn('takes', 'integer', (column) => column.notNull().defaultTo(0))
        .addColumn('current_viewers', 'integer', (column) => column.notNull().defaultTo(0))
        .addColumn('peak_viewers', 'integer', (column) => column.notNull().defaultTo(0))
        .addColumn('total_viewers', 'bigint', (column) => column.notNull().defaultTo(0))
        .execute()
      await index(db, 'broadcasts', 'channel_id', 'started_at')
      await index(db, 'broadcasts', 'started_at')
      await db.schema
        .createTable('recordings')
        .addColumn('id', 'text', (column) => column.primaryKey())
        .addColumn('channel_id', 'text', (column) =>
          column.references('channels.id').onDelete('set null'),
        )
        .addColumn('live_id', 'text', (column) => column.notNull())
        .addColumn('broadcast_id', 'text', (column) => column.notNull())
        .addColumn('title', 'text', (column) => column.notNull())
        .addColumn('transcoder', 'text', (column) => column.notNull())
        .addColumn('started_at', 'bigint', (column) => column.notNull())
        .addColumn('duration_ms', 'double precision', (column) => column.notNull())
        .addColumn('size_bytes', 'bigint', (column) => column.notNull())
        .addColumn('renditions', 'text', (column) => column.notNull())
        .addColumn('updated_at', 'bigint', (column) => column.notNull())
        .addColumn('deleted_at', 'bigint')
        .execute()
      await index(db, 'recordings', 'channel_id', 'started_at')
      await index(db, 'recordings', 'transcoder', 'deleted_at')
      await db.schema
        .createTable('leases')
        .addColumn('live_id', 'text', (column) => column.primaryKey())
        .addColumn('epoch', 'bigint', (column) => column.notNull())
        .addColumn('channel_id', 'text')
        .addColumn('broadcast_id', 'text')
        .addColumn('transcoder', 'text')
        .addColumn('instance', 'text')
        .addColumn('nonce', 'text')
        .addColumn('gateway', 'text')
        .addColumn('pop', 'text')
        .addColumn('client_address', 'text')
        .addColumn('state', 'text', (column) => column.notNull())
        .addColumn('cost', 'double precision', (column) => column.notNull())
        .addColumn('stop', 'integer', (column) => column.notNull())
        .addColumn('expires_at', 'bigint', (column) => column.notNull())
        .addColumn('facts', 'text')
        .execute()
      await index(db, 'leases', 'broadcast_id')
      await db.schema
        .createTable('nodes')
        .addColumn('id', 'text', (column) => column.primaryKey())
        .addColumn('heartbeat', 'text', (column) => column.notNull())
        .execute()
      await db.schema
        .createTable('access_tokens')
        .addColumn('digest', 'text', (column) => column.primaryKey())
        .addColumn('kind', 'text', (column) => column.notNull())
        .addColumn('expires_at', 'bigint', (column) => column.notNull())
        .execute()
    },
  },
  '0002-connections': {
    async up(db) {
      // One statement a column: SQLite adds no two at once.
      await db.schema.alterTable('leases').addColumn('connection', 'text').execute()
      await db.schema.alterTable('leases').addColumn('attempt', 'integer').execute()
      await db.schema.alterTable('leases').addColumn('replaced', 'text').execute()
    },
  },
  '0003-drained-nodes': {
    async up(db) {
      await db.schema
        .createTable('drained_nodes')
        .addColumn('id', 'text', (column) => column.primaryKey())
        .addColumn('since', 'bigint', (column) => column.notNull())
        .addColumn('streams', 'integer', (column) => column.notNull())
        .execute()
    },
  },
  '0004-channel-bans': {
    async up(db) {
      await db.schema.alterTable('channels').addColumn('banned_at', 'bigint').execute()
    },
  },
  '0005-waiting-connections': {
    async up(db) {
      await db.schema.alterTable('leases').addColumn('waiting', 'text').execute()
    },
  },
  '0006-epochs-of-connections': {
    async up(db) {
      await db.schema.alterTable('leases').addColumn('connection_epoch', 'integer').execute()
      // Of one that has just moved nobody has come yet.
      await sql`update leases set connection_epoch = epoch where connection is not null and state <> 'starting'`.execute(
        db,
      )
    },
  },
}

async function index(db: Kysely<unknown>, table: string, ...columns: string[]): Promise<void> {
  const name = `${table}_by_${columns.join('_')}`
  await sql`create index ${sql.ref(name)} on ${sql.table(table)} (${sql.join(columns.map((column) => sql.ref(column)))})`.execute(
    db,
  )
}

/** Brings a database to the newest schema; throws when it cannot, or when it is newer than this program. */
export async function migrate(db: Kysely<Tables>): Promise<void> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } })
  const { error } = await migrator.migrateToLatest()
  if (error) {
    throw new Error('The database cannot be brought to the schema of this version.', {
      cause: error,
    })
  }
}
