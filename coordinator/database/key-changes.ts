// Counts the changes of stream keys, and of what their channels say of whoever publishes by one: by triggers that last
// as long as the connection to the database, of which this process has one.
import { sql } from 'kysely'
import type { Queries } from './database.ts'

const counted = {
  stream_keys: ['digest', 'channel_id', 'expires_at', 'revoked_at'],
  channels: ['live_id', 'record', 'banned_at'],
}

/** To be called once for a connection. */
export async function countKeyChanges(db: Queries): Promise<void> {
  await sql`create temp table key_changes as select 0 as count`.execute(db)
  for (const [table, columns] of Object.entries(counted)) {
    const differs = columns.map((name) => sql`old.${sql.ref(name)} is not new.${sql.ref(name)}`)
    const events = {
      insert: sql``,
      delete: sql``,
      update: sql`when ${sql.join(differs, sql` or `)}`,
    }
    for (const [event, when] of Object.entries(events)) {
      const name = sql.ref(`count_${event}_of_${table}`)
      await sql`create temp trigger ${name} after ${sql.raw(event)} on ${sql.table(table)} ${when}
        begin update key_changes set count = count + 1; end`.execute(db)
    }
  }
}

export async function keyChangeCount(db: Queries): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count from key_changes`.execute(db)
  return rows[0]!.count
}
