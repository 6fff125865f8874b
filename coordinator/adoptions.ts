// Takes over what transcoders have let in while this process was away, or could not be reached by a gateway.
//
// - The row decides, by compare-and-set: a holder at a higher epoch than the row's is taken over as it stands, whoever
//   had the lease hears by its next renewal that it has lost; an equal epoch of somebody else, or a lower one, is left
//   to the renewal that follows, which is answered `lost`. So of several that claim one epoch the first to come wins.
// - An answer to a publish that came too late has placed it where nobody will come, under the epoch of the claim that
//   runs instead, be it at the same transcoder or elsewhere: the claim takes the place of the row's assignment, as long
//   as no renewal has told of anybody there. Whoever comes there after all hears that it is lost.
// - A claim whose broadcast is over by then takes the channel from nobody: what runs under a lower epoch goes on. It is
//   remembered, and its epoch is, where nobody has the channel.
// - In the row's own broadcast only the publisher's connection may have changed: it is placed, and let in by the renewal,
//   unless the row knows of a newer one.
// - The key is judged as it stands now: what it would not open today is not taken over, and whoever came back by it to a
//   lease that stands does not have the channel there.
// - Whoever is not to have the channel hears why, also where it is in already: the row's own publisher, or the next one,
//   goes on in the broadcast.
import type { Transaction } from 'kysely'
import type { Adoption, LeaseRenewal, Replaced } from '../common/contract/placement.ts'
import { type Refusal, refusal } from '../common/contract/refusal.ts'
import type { Logger } from '../common/log.ts'
import { maxReplaced } from '../common/takeover.ts'
import { beginBroadcast, rememberBroadcast } from './broadcast-store.ts'
import type { Database } from './database/database.ts'
import type { Tables } from './database/tables.ts'
import type { ActiveLease, LeaseStore } from './lease-store.ts'
import { assumedCost } from './placement.ts'
import { publisherOf } from './publisher.ts'

export interface AdoptionsOptions {
  database: Database
  leases: LeaseStore
  log: Logger
}

type Outcome = 'adopted' | 'bound' | 'remembered' | 'left' | Refusal

export class Adoptions {
  readonly #options: AdoptionsOptions

  constructor(options: AdoptionsOptions) {
    this.#options = options
  }

  /** To be called with each renewal before it is judged; the answer is to say why the publisher is refused, if it is. */
  async adopt(
    transcoder: string,
    liveId: string,
    renewal: LeaseRenewal,
  ): Promise<Refusal | undefined> {
    const { adopt } = renewal
    if (!adopt) return undefined
    const { database, log } = this.#options
    // The epoch must be on the disk before it is told, as everywhere.
    const outcome = await database.durably((transaction) =>
      this.#judge(transcoder, liveId, renewal, adopt, transaction),
    )
    const { epoch, instance } = renewal
    const refused = typeof outcome === 'string' ? undefined : outcome
    log.info(
      {
        ...{ liveId, transcoder, epoch, instance, publisher: adopt.connection },
        outcome: refused?.code ?? outcome,
      },
      'publish that was let in without a coordinator',
    )
    return refused
  }

  async #judge(
    transcoder: string,
    liveId: string,
    { epoch, instance, cost, takes }: LeaseRenewal,
    adopt: Adoption,
    transaction: Transaction<Tables>,
  ): Promise<Outcome> {
    const { database, leases } = this.#options
    const found = await publisherOf({ ...database, db: transaction }, adopt.keyDigest)
    const publisher = 'code' in found || found.liveId === liveId ? found : refusal('key-unknown')
    const lease = await leases.find(liveId, transaction)
    const isHolder = lease?.epoch === epoch && lease.instance === instance
    const isOwn = isHolder && lease.broadcastId === adopt.broadcastId
    const isUnused = lease?.epoch === epoch && lease.state === 'starting' && !lease.stop
    const givesWay = isUnused && !isOwn
    if (isHolder && !givesWay) {
      if (!isOwn || isKnown(adopt, lease)) return 'left'
      if ('code' in publisher) return publisher
      if (!isNewer(adopt, lease)) return refusal('already-publishing')
      const binding = { ...adopt, isTakeover: lease.state === 'live' }
      return (await leases.rejoin(lease, binding, transaction)) ? 'bound' : 'left'
    }
    if ('code' in publisher) return publisher
    const { channelId, lastCost } = publisher
    const { broadcastId, broadcastTag, broadcastStartedAt } = adopt
    const begun = { id: broadcastId, tag: broadcastTag, startedAt: broadcastStartedAt }
    if (adopt.isOver && lease && !isHolder) {
      if (takes === 0 || lease.broadcastId === broadcastId) return 'left'
      await rememberBroadcast(database, { ...begun, takes }, publisher, transaction)
      return 'remembered'
    }
    const { epoch: known } = await leases.standing(liveId, transaction)
    if (epoch <= known && !givesWay) return 'left'
    if (lease && lease.broadcastId !== broadcastId) {
      await leases.end(lease, 'superseded', transaction)
    }
    const assigned = await leases.assign(
      {
        ...adopt,
        ...{ isNew: true, isTakeover: false },
        replaced: lease ? formerOf(adopt, lease) : adopt.replaced,
        ...{ liveId, channelId, broadcastId, epoch, transcoder, instance },
        cost: cost || (lastCost ?? assumedCost),
        expected: await leases.standing(liveId, transaction),
      },
      transaction,
    )
    if (!assigned) return 'left'
    await beginBroadcast(database, begun, publisher, transaction)
    return 'adopted'
  }
}

function isKnown({ nonce }: Adoption, lease: ActiveLease): boolean {
  return lease.nonce === nonce || lease.waiting.some((it) => it.nonce === nonce)
}

/** Not where the row has replaced it, or has a connection that the transcoder has never heard of. */
function isNewer(adopt: Adoption, lease: ActiveLease): boolean {
  const { connection, attempt, replaced, epoch, connectionEpoch } = lease
  if (replaced.some((it) => it.connection === adopt.connection)) return false
  // Whoever came under an earlier epoch had the broadcast before it moved, and the transcoder has never heard of it.
  if (connection === null || connectionEpoch !== epoch) return true
  if (connection === adopt.connection) return adopt.attempt >= (attempt ?? 0)
  return adopt.replaced.some((it) => it.connection === connection)
}

/** Whoever had the channel by the row, and by the transcoder, must not take it back. */
function formerOf(adopt: Adoption, lease: ActiveLease): Replaced[] {
  const former = { connection: lease.connection ?? '', takenAtMs: null }
  const byConnection = new Map(
    [...lease.replaced, former, ...adopt.replaced].map((it) => [it.connection, it]),
  )
  byConnection.delete('')
  byConnection.delete(adopt.connection)
  return [...byConnection.values()].slice(-maxReplaced)
}
