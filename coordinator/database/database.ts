// Opens the coordinator's database: SQLite through kysely, with what differs between SQL engines kept here.
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Kysely, type RawBuilder, SqliteDialect, sql, type Transaction } from 'kysely'
import type { Clock } from '../../common/clock.ts'
import { countKeyChanges } from './key-changes.ts'
import { migrate } from './migrations.ts'
import type { Tables } from './tables.ts'

// `node:sqlite` is synchronous: waiting for another process's lock stops this one, so not for long.
const busyTimeoutMs = 2_000

export type Queries = Kysely<Tables>

export interface Database extends AsyncDisposable {
  readonly db: Queries
  /** The database's own clock, ms since the Unix epoch: the only clock that leases and expiries are judged by. */
  readonly now: RawBuilder<number>
  /** A transaction that is on the disk before it is answered: a lost epoch could be given twice. */
  durably<Result>(work: (transaction: Transaction<Tables>) => Promise<Result>): Promise<Result>
}

export async function openDatabase(file: string, clock: Clock): Promise<Database> {
  mkdirSync(dirname(file), { recursive: true })
  // Made before SQLite would, so that nobody else may read it; its log files take over the mode.
  closeSync(openSync(file, 'a', 0o600))
  const sqlite = new DatabaseSync(file, { timeout: busyTimeoutMs })
  sqlite.exec('pragma journal_mode = wal; pragma synchronous = normal; pragma foreign_keys = on')
  // Of what is temporary nothing needs a disk, which may be read-only but for the data directory.
  sqlite.exec('pragma temp_store = memory')
  // SQLite runs inside this process, so its clock is this process's clock.
  sqlite.function('nearcast_now_ms', () => Math.floor(clock.now()))
  const db = new Kysely<Tables>({
    dialect: new SqliteDialect({
      database: { prepare: prepareOn(sqlite), close: () => sqlite.close() },
    }),
  })
  try {
    await migrate(db)
    await countKeyChanges(db)
  } catch (err) {
    await db.destroy()
    throw err
  }
  return {
    db,
    now: sql<number>`nearcast_now_ms()`,
    durably: (work) =>
      db.connection().execute(async (connection) => {
        await sql`pragma synchronous = full`.execute(connection)
        try {
          return await connection.transaction().execute(work)
        } finally {
          await sql`pragma synchronous = normal`.execute(connection)
        }
      }),
    [Symbol.asyncDispose]: () => db.destroy(),
  }
}

/** Fits `node:sqlite` to the statement interface that kysely expects. */
function prepareOn(sqlite: DatabaseSync) {
  return (text: string) => {
    const statement = sqlite.prepare(text)
    const bound = (parameters: readonly unknown[]) => parameters as (string | number | Uint8Array)[]
    return {
      reader: statement.columns().length > 0,
      all: (parameters: readonly unknown[]) => statement.all(...bound(parameters)),
      run: (parameters: readonly unknown[]) => statement.run(...bound(parameters)),
      iterate: (parameters: readonly unknown[]) => statement.iterate(...bound(parameters)),
    }
  }
}
