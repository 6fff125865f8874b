// A channel's whole world in one process: the coordinator's real lease code on a real database, transcoders that
// freeze, go deaf, are cut off or start anew, and a home that commits what they make. Nothing here asserts anything.

import { randomUUID } from 'node:crypto'
import type { Selectable } from 'kysely'
import { createClusterAuth } from '../../common/cluster/cluster-auth.ts'
import type { Holder, PublishRequest } from '../../common/contract/placement.ts'
import { silentLogger } from '../../common/log.ts'
import type { Database } from '../../coordinator/database/database.ts'
import type { Tables } from '../../coordinator/database/tables.ts'
import { type ActiveLease, type EndReason, LeaseStore } from '../../coordinator/lease-store.ts'
import { Membership } from '../../coordinator/membership.ts'
import { Placement } from '../../coordinator/placement.ts'
import { PublishService } from '../../coordinator/publish-service.ts'
import type { FakeClock } from '../support/fake-clock.ts'
import { heartbeatOf } from '../support/heartbeats.ts'
import { type Commit, ReferenceHome } from './reference-home.ts'

export const liveId = 'demo'
export const keyDigest = 'd'.repeat(64)
const channelId = 'channel'
const goneAfterMs = 6_000
const tables = ['broadcasts', 'leases', 'nodes'] as const

interface Job extends Holder {
  /** Of the publish that was let in last. */
  nonce: string
  /** It was answered `lost`, and does nothing any more. */
  isLost: boolean
}

export class Transcoder {
  readonly id: string
  instance: string = randomUUID()
  /** Does nothing at all, and does not know it. */
  isFrozen = false
  /** Beats and renews, but takes no publish and makes no media. */
  isDeaf = false
  /** The coordinator cannot be reached: what it is asked ends in an error. */
  isCutOff = false
  isDraining = false
  job: Job | undefined

  constructor(id: string) {
    this.id = id
  }

  get isHeard(): boolean {
    return !this.isFrozen && !this.isCutOff
  }

  get takesMedia(): boolean {
    return !this.isFrozen && !this.isDeaf
  }
}

type Rows = { [Name in (typeof tables)[number]]: Selectable<Tables[Name]>[] }

export class LeaseWorld {
  readonly database: Database
  readonly clock: FakeClock
  readonly transcoders = ['tc-1', 'tc-2', 'tc-3'].map((id) => new Transcoder(id))
  readonly home = new ReferenceHome()
  /** Told of each renewal that was held. */
  onHeld: (nonce: string) => void = () => {}
  leases!: LeaseStore
  membership!: Membership
  #publishes!: PublishService

  private constructor(database: Database, clock: FakeClock) {
    this.database = database
    this.clock = clock
  }

  static async start(database: Database, clock: FakeClock): Promise<LeaseWorld> {
    const world = new LeaseWorld(database, clock)
    for (const name of tables) await database.db.deleteFrom(name).execute()
    await world.bootCoordinator()
    await world.beat()
    return world
  }

  async bootCoordinator(): Promise<void> {
    const { database, clock } = this
    const membership = new Membership({
      db: database.db,
      clock,
      log: silentLogger,
      goneAfterMs,
      onChange: () => {},
    })
    await membership.restore()
    this.membership = membership
    this.leases = new LeaseStore(database, { leaseTtlMs: 6_000, holdMs: 60_000 })
    await this.leases.grantGrace()
    this.#publishes = new PublishService({
      database,
      leases: this.leases,
      membership,
      placement: new Placement(membership, { loadFactor: 1.25, vnodes: 8 }),
      auth: createClusterAuth('s'.repeat(40), clock),
      log: silentLogger,
      onChange: () => {},
    })
  }

  find(): Promise<ActiveLease | undefined> {
    return this.leases.find(liveId)
  }

  publish(asks: Pick<PublishRequest, 'connection' | 'attempt' | 'nonce' | 'away'>) {
    return this.#publishes.publish({
      keyDigest,
      gateway: 'gw-1',
      pop: null,
      clientAddress: '192.0.2.7',
      ...asks,
    })
  }

  stop(): Promise<boolean> {
    return this.#publishes.stop(liveId)
  }

  /** Whether the transcoder lets a publish in that was granted: its side of the first gate. */
  async letIn(node: Transcoder, holder: Holder, nonce: string): Promise<boolean> {
    if (!node.takesMedia || holder.instance !== node.instance) return false
    if (node.job && !node.job.isLost && node.job.epoch > holder.epoch) return false
    if ((await this.renew(node, holder, nonce)) === 'lost') return false
    node.job = { ...holder, nonce, isLost: false }
    return true
  }

  /** An error says nothing: the job goes on. */
  async renew(
    node: Transcoder,
    { epoch, instance }: Holder,
    nonce: string,
  ): Promise<'held' | 'lost' | 'error'> {
    if (!node.isHeard) return 'error'
    const holder = { epoch, instance }
    const renewed = await this.leases.renew(liveId, {
      ...holder,
      nonce,
      state: 'live',
      takes: 1,
      cost: 0,
      video: null,
      audio: null,
      renditions: [],
    })
    if (renewed) this.onHeld(nonce)
    const { job } = node
    const isOver = !renewed || renewed.stop
    if (isOver && job?.epoch === holder.epoch && job.instance === holder.instance) job.isLost = true
    if (renewed?.stop) await this.leases.release(liveId, holder, 'stopped')
    return renewed ? 'held' : 'lost'
  }

  async giveBack(node: Transcoder, reason: EndReason | 'unbind'): Promise<void> {
    const { job } = node
    if (!job || job.isLost || !node.isHeard) return
    job.isLost = true
    await (reason === 'unbind'
      ? this.leases.unbind(liveId, job)
      : this.leases.release(liveId, job, reason))
  }

  /** `undefined`: it has nothing to commit, or does nothing. */
  commit(node: Transcoder): { by: Holder; outcome: Commit } | undefined {
    const { job } = node
    if (!job || job.isLost || !node.takesMedia) return undefined
    const by = { epoch: job.epoch, instance: job.instance }
    return { by, outcome: this.home.commit(this.home.nextNumber, by) }
  }

  async beat(): Promise<void> {
    for (const node of this.transcoders) {
      if (!node.isHeard) continue
      await this.membership.beat(
        node.id,
        heartbeatOf(node.id, {
          role: 'transcoder',
          instance: node.instance,
          draining: node.isDraining,
        }),
      )
    }
  }

  async restart(node: Transcoder): Promise<void> {
    node.instance = randomUUID()
    node.job = undefined
    node.isFrozen = false
    await this.beat()
  }

  /** Two seconds at a time: who can beats and renews, then the coordinator looks. */
  async wait(seconds: number, renews: boolean): Promise<void> {
    for (let passed = 0; passed < seconds; passed += 2) {
      await this.clock.advance(2_000)
      await this.beat()
      await this.membership.sweep()
      if (!renews) continue
      for (const node of this.transcoders) {
        if (node.job && !node.job.isLost) await this.renew(node, node.job, node.job.nonce)
      }
    }
    await this.leases.endExpired()
  }

  async copy(): Promise<Rows> {
    const { db } = this.database
    return {
      broadcasts: await db.selectFrom('broadcasts').selectAll().execute(),
      leases: await db.selectFrom('leases').selectAll().execute(),
      nodes: await db.selectFrom('nodes').selectAll().execute(),
    }
  }

  /** The coordinator's machine is lost, and an earlier copy of its database takes over. */
  async rollBack(rows: Rows): Promise<void> {
    const { db } = this.database
    for (const name of tables) {
      await db.deleteFrom(name).execute()
      if (rows[name].length > 0) await db.insertInto(name).values(rows[name]).execute()
    }
    await this.bootCoordinator()
    await this.beat()
  }
}

/** The one channel of the world, and its key. */
export async function addChannel({ db }: Database): Promise<void> {
  await db
    .insertInto('channels')
    .values({
      id: channelId,
      live_id: liveId,
      owner: null,
      name: liveId,
      title: '',
      description: '',
      topic: null,
      cover_path: null,
      record: 0,
      replay_title: null,
      chat_enabled: 0,
      protected: 0,
      max_viewers: null,
      last_cost: null,
      created_at: 0,
    })
    .execute()
  await db
    .insertInto('stream_keys')
    .values({
      id: 'key',
      channel_id: channelId,
      label: '',
      digest: keyDigest,
      sealed: null,
      created_at: 0,
      expires_at: null,
      revoked_at: null,
      last_used_at: null,
    })
    .execute()
}
