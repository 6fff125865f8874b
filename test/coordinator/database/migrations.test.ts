import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openDatabase } from '../../../coordinator/database/database.ts'
import { LeaseStore } from '../../../coordinator/lease-store.ts'
import { FakeClock } from '../../support/fake-clock.ts'

const clock = new FakeClock()
let dir: string
let file: string

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nearcast-migrations-'))
  file = join(dir, 'coordinator.db')
})

afterEach(() => rm(dir, { recursive: true, force: true }))

test('a lease of the first schema keeps its epoch and its holder', async () => {
  await (await openDatabase(file, clock))[Symbol.asyncDispose]()
  const old = new DatabaseSync(file)
  for (const column of ['connection', 'attempt', 'replaced', 'waiting', 'connection_epoch']) {
    old.exec(`alter table leases drop column ${column}`)
  }
  old.exec(`
    alter table channels drop column banned_at;
    drop table drained_nodes;
    delete from kysely_migration where name > '0001-first';
    insert into channels (id, live_id, name, title, description, record, chat_enabled, protected, created_at)
      values ('c', 'demo', 'demo', '', '', 0, 0, 0, 0);
    insert into broadcasts (id, tag, channel_id, live_id, title, started_at)
      values ('b', 'abcdefgh12', 'c', 'demo', '', 0);
    insert into leases (live_id, epoch, channel_id, broadcast_id, transcoder, instance, nonce, gateway, state, cost, stop, expires_at)
      values ('demo', 7, 'c', 'b', 'tc-1', 'i', 'n', 'gw-1', 'live', 1, 0, 0);
  `)
  old.close()

  await using database = await openDatabase(file, clock)
  const leases = new LeaseStore(database, { leaseTtlMs: 6_000, holdMs: 60_000 })
  expect(await leases.find('demo')).toMatchObject({
    epoch: 7,
    transcoder: 'tc-1',
    instance: 'i',
    connection: null,
    attempt: null,
    connectionEpoch: null,
    replaced: [],
    waiting: [],
  })
})

test('a publisher that was let in before epochs were told of counts as let in under the epoch of its lease', async () => {
  await (await openDatabase(file, clock))[Symbol.asyncDispose]()
  const old = new DatabaseSync(file)
  old.exec(`
    alter table leases drop column connection_epoch;
    delete from kysely_migration where name > '0005-waiting-connections';
    insert into channels (id, live_id, name, title, description, record, chat_enabled, protected, created_at)
      values ('c', 'demo', 'demo', '', '', 0, 0, 0, 0);
    insert into broadcasts (id, tag, channel_id, live_id, title, started_at)
      values ('b', 'abcdefgh12', 'c', 'demo', '', 0);
    insert into leases (live_id, epoch, channel_id, broadcast_id, transcoder, instance, nonce, connection, attempt, gateway, state, cost, stop, expires_at)
      values ('demo', 7, 'c', 'b', 'tc-1', 'i', 'n', 'first', 1, 'gw-1', 'live', 1, 0, 0);
  `)
  old.close()

  await using database = await openDatabase(file, clock)
  const leases = new LeaseStore(database, { leaseTtlMs: 6_000, holdMs: 60_000 })
  expect(await leases.find('demo')).toMatchObject({ connection: 'first', connectionEpoch: 7 })
})
