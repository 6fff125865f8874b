// The row of a lease: what is read out of it, and what a new holder writes into it.
import type { Replaced } from '../common/contract/placement.ts'
import type { Queries } from './database/database.ts'
import type { ActiveLease, Assignment, Binding, StreamFacts } from './lease-store.ts'

const noFacts: StreamFacts = { video: null, audio: null, renditions: [], findings: [] }

/** A row that nobody has. */
export const nobody = {
  nonce: null,
  connection: null,
  attempt: null,
  connection_epoch: null,
  replaced: null,
  gateway: null,
  pop: null,
  client_address: null,
}

export function newLeaseColumns({ isNew, replaced, ...assignment }: Assignment) {
  return {
    channel_id: assignment.channelId,
    broadcast_id: assignment.broadcastId,
    transcoder: assignment.transcoder,
    instance: assignment.instance,
    ...(isNew && nobody),
    ...(replaced && { replaced: toText(replaced) }),
    // Tickets of an earlier epoch open nothing any more.
    waiting: toText([bindingOf(assignment)]),
    state: 'starting' as const,
    cost: assignment.cost,
    stop: 0,
    facts: null,
  }
}

export function bindingOf(it: Binding): Binding {
  const { connection, attempt, nonce, gateway, pop, clientAddress, isTakeover } = it
  return { connection, attempt, nonce, gateway, pop, clientAddress, isTakeover }
}

export function toText(list: readonly (Binding | Replaced)[]): string | null {
  return list.length === 0 ? null : JSON.stringify(list)
}

export function listOf<Item extends Binding | Replaced>(text: string | null): Item[] {
  return text === null ? [] : (JSON.parse(text) as Item[])
}

export function selectActive(queries: Queries) {
  return queries
    .selectFrom('leases')
    .innerJoin('broadcasts', 'broadcasts.id', 'leases.broadcast_id')
    .selectAll('leases')
    .select([
      'broadcasts.tag',
      'broadcasts.channel_id as broadcast_channel_id',
      'broadcasts.title',
      'broadcasts.topic',
      'broadcasts.started_at',
      'broadcasts.takes',
      'broadcasts.current_viewers',
      'broadcasts.peak_viewers',
      'broadcasts.total_viewers',
    ])
    .orderBy('leases.live_id')
}

type ActiveRow = Awaited<ReturnType<ReturnType<typeof selectActive>['execute']>>[number]

export function toActiveLease(row: ActiveRow): ActiveLease {
  return {
    liveId: row.live_id,
    channelId: row.broadcast_channel_id,
    epoch: row.epoch,
    broadcastId: row.broadcast_id!,
    broadcastTag: row.tag,
    transcoder: row.transcoder,
    instance: row.instance,
    nonce: row.nonce,
    connection: row.connection,
    attempt: row.attempt,
    connectionEpoch: row.connection_epoch,
    replaced: listOf(row.replaced),
    waiting: listOf(row.waiting),
    gateway: row.gateway,
    pop: row.pop,
    clientAddress: row.client_address,
    state: row.state,
    cost: row.cost,
    stop: row.stop === 1,
    expiresAt: row.expires_at,
    facts:
      row.facts === null
        ? noFacts
        : { ...noFacts, ...(JSON.parse(row.facts) as Partial<StreamFacts>) },
    title: row.title,
    topic: row.topic,
    startedAt: row.started_at,
    takes: row.takes,
    viewers: row.current_viewers,
    peakViewers: row.peak_viewers,
    totalViewers: row.total_viewers,
  }
}
