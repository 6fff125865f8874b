// A channel's whole world in one process: the coordinator's real lease code on a real database, transcoders that
// freeze, go deaf, are cut off or start anew and stand in for a coordinator that is away, and a home that commits what
// they make. Nothing here asserts anything.

import { randomUUID } from 'node:crypto'
import type { Selectable } from 'kysely'
import { createClusterAuth } from '../../common/cluster/cluster-auth.ts'
import type { LeaseOutcome } from '../../common/cluster/coordinator-client.ts'
import {
  goesOnElsewhere,
  type Holder,
  type LeaseRelease,
  type LeaseRenewal,
  type PublishGrant,
  type PublishRequest,
} from '../../common/contract/placement.ts'
import { type Refusal, refusal } from '../../common/contract/refusal.ts'
import { silentLogger } from '../../common/log.ts'
import { Ring, type RingNode } from '../../common/ring.ts'
import { Adoptions } from '../../coordinator/adoptions.ts'
import type { Database } from '../../coordinator/database/database.ts'
import type { Tables } from '../../coordinator/database/tables.ts'
import { type ActiveLease, LeaseStore } from '../../coordinator/lease-store.ts'
import { Membership } from '../../coordinator/membership.ts'
import { Placement } from '../../coordinator/placement.ts'
import { PublishService } from '../../coordinator/publish-service.ts'
import { LeaseReports } from '../../origin/transcoder/lease-reports.ts'
import { StandIn } from '../../origin/transcoder/stand-in.ts'
import type { FakeClock } from '../support/fake-clock.ts'
import { heartbeatOf } from '../support/heartbeats.ts'
import { type Commit, ReferenceHome } from './reference-home.ts'

const auth = createClusterAuth('s'.repeat(40))
export const liveId = 'demo'
export const keyDigest = 'd'.repeat(64)
const channelId = 'channel'
const goneAfterMs = 6_000
const tables = ['broadcasts', 'leases', 'nodes'] as const

interface Job extends Holder {
  /** Of the publish that was let in last. */
  nonce: string
  broadcastId: string
  connection: string
  before: readonly string[]
  /** It was answered `lost`, and does nothing any more. */
  isLost: boolean
}

/** What a gateway was told last. */
interface Seen {
  /** Of the row. */
  epoch: number
  route: (Holder & { transcoder: string }) | undefined
  seats: RingNode[]
}

export class Transcoder {
  readonly id: string
  instance: string = randomUUID()
  standIn!: StandIn
  reports!: LeaseReports
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

export class LeaseWorld implements Disposable {
  readonly database: Database
  readonly clock: FakeClock
  readonly transcoders = ['tc-1', 'tc-2', 'tc-3'].map((id) => new Transcoder(id))
  readonly home = new ReferenceHome()
  /** Told of each renewal that was held. */
  onHeld: (nonce: string | null) => void = () => {}
  /** The coordinator: its process, and the gateway's way to it. */
  isAway = false
  isCutOff = false
  leases!: LeaseStore
  membership!: Membership
  #adoptions!: Adoptions
  #settledAtMs = 0
  #seen: Seen = { epoch: 0, route: undefined, seats: [] }
  #publishes!: PublishService

  private constructor(database: Database, clock: FakeClock) {
    this.database = database
    this.clock = clock
  }

  static async start(database: Database, clock: FakeClock): Promise<LeaseWorld> {
    const world = new LeaseWorld(database, clock)
    for (const name of tables) await database.db.deleteFrom(name).execute()
    for (const node of world.transcoders) world.#boot(node)
    await world.bootCoordinator()
    await world.beat()
    return world
  }

  #boot(node: Transcoder): void {
    const { clock } = this
    node.reports?.[Symbol.dispose]()
    node.instance = randomUUID()
    const { id, instance } = node
    node.standIn = new StandIn({
      ...{ nodeId: id, instance, auth, clock, log: silentLogger },
      urls: () => ({ rtmp: `rtmp://${id}.test/live`, url: `http://${id}.test` }),
      isDraining: () => node.isDraining,
      lastEpochOf: () => node.job?.epoch ?? 0,
      standing: () => {
        const { job } = node
        if (!job || job.isLost) return undefined
        const { epoch, broadcastId, connection, before } = job
        const broadcastTag = broadcastId.replaceAll('-', '').slice(0, 16)
        const facts = { broadcastId, broadcastTag, startedAtMs: 0, isRecorded: false }
        return { epoch, facts, connection, before, state: 'live', takes: 1 }
      },
    })
    node.reports = new LeaseReports({
      standIn: node.standIn,
      clock,
      client: {
        renewLease: (_liveId, renewal) => this.#answerRenewal(node, renewal),
        releaseLease: (_liveId, release) => this.#answerRelease(node, release),
      },
    })
  }

  /** What the gateway is told at that moment stays with it while the coordinator is away. */
  async goAway(): Promise<void> {
    await this.look()
    this.isAway = true
  }

  async look(): Promise<void> {
    const lease = await this.find()
    const seats = this.membership.members('transcoder').filter(({ info }) => !info.draining)
    const isHere = lease && this.membership.isAlive(lease.transcoder, lease.instance)
    this.#seen = {
      epoch: await this.leases.epochOf(liveId),
      route: isHere
        ? { epoch: lease.epoch, instance: lease.instance!, transcoder: lease.transcoder! }
        : undefined,
      seats: seats.map(({ info }) => info),
    }
  }

  async bootCoordinator(): Promise<void> {
    this.isAway = false
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
    if (membership.members().length > 0) this.#settledAtMs = clock.monotonic() + 6_000
    this.#adoptions = new Adoptions({ database, leases: this.leases, log: silentLogger })
    this.#publishes = new PublishService({
      database,
      leases: this.leases,
      membership,
      placement: new Placement(membership, { loadFactor: 1.25, vnodes: 8 }),
      auth,
      isSettling: () => clock.monotonic() < this.#settledAtMs,
      log: silentLogger,
      onChange: () => {},
    })
    await this.look()
  }

  /** Sees each judgement of what was let in without the coordinator: the row before, the lease after it. */
  onAdoption: (
    renewal: LeaseRenewal,
    before: { epoch: number; lease: ActiveLease | undefined },
    after: ActiveLease | undefined,
  ) => void = () => {}

  async standing(): Promise<{ epoch: number; lease: ActiveLease | undefined }> {
    return { epoch: await this.leases.epochOf(liveId), lease: await this.find() }
  }

  find(): Promise<ActiveLease | undefined> {
    return this.leases.find(liveId)
  }

  /** As a gateway does: of a transcoder, where the coordinator does not answer, or does when the gateway has gone. */
  async publish(
    asks: Pick<PublishRequest, 'connection' | 'attempt' | 'nonce' | 'away'>,
    isLate = false,
  ): Promise<
    (
      | { granted: PublishGrant; by: 'coordinator' | 'stand-in' }
      | { refused: Refusal; by: string }
    ) & { late?: PublishGrant }
  > {
    if (isLate && !this.isAway && !this.isCutOff) {
      await this.look()
      const late = await this.publish(asks)
      this.isCutOff = true
      const answer = await this.publish(asks)
      this.isCutOff = false
      const isLost = late.by === 'coordinator' && 'granted' in late
      return isLost ? { ...answer, late: late.granted } : answer
    }
    const request = {
      keyDigest,
      gateway: 'gw-1',
      pop: null,
      clientAddress: '192.0.2.7',
    }
    if (!this.isAway && !this.isCutOff) {
      const answer = await this.#publishes.publish({ ...request, ...asks })
      const isAway = 'refused' in answer && answer.refused.code === 'coordinator-away'
      if (!isAway) return { ...answer, by: 'coordinator' }
    }
    const { route, seats, epoch } = this.#seen
    const id = route?.transcoder ?? new Ring(seats).place(liveId)
    const node = this.transcoders.find((it) => it.id === id)
    if (!node?.takesMedia) return { refused: refusal('coordinator-away'), by: 'nobody' }
    const { away: _away, ...own } = asks
    const followed = this.home.holder
    const isKnown = followed && followed.epoch >= epoch
    const newest = isKnown ? followed : route && route.epoch >= epoch ? route : { epoch }
    const answer = await node.standIn.grant({
      ...{ ...request, ...own, liveId, record: false, epoch: newest.epoch },
      ...('instance' in newest && { instance: newest.instance }),
    })
    return { ...answer, by: 'stand-in' }
  }

  stop(): Promise<boolean> {
    return this.#publishes.stop(liveId)
  }

  /** Whether the transcoder lets a publish in that was granted: its side of the first gate. */
  async letIn(
    node: Transcoder,
    holder: Pick<PublishGrant, 'epoch' | 'instance' | 'broadcastId'>,
    { connection, nonce }: Pick<PublishRequest, 'connection' | 'nonce'>,
  ): Promise<boolean> {
    const { epoch, instance, broadcastId } = holder
    if (!node.takesMedia || instance !== node.instance) return false
    if (node.job && !node.job.isLost && node.job.epoch > epoch) return false
    if (node.reports.isOver(liveId, epoch)) return false
    const isOther = node.job?.epoch === epoch && node.job.broadcastId !== broadcastId
    if (isOther && !node.job!.isLost) return false
    const outcome = await this.renew(node, holder, nonce)
    if (outcome === 'lost' || outcome === 'refused') return false
    const last = node.job?.epoch === epoch ? node.job : undefined
    const others = last ? [...last.before, last.connection] : []
    const before = others.filter((it) => it !== connection)
    node.job = { epoch, instance, broadcastId, connection, before, nonce, isLost: false }
    return true
  }

  /** An error says nothing: the job goes on. */
  async renew(
    node: Transcoder,
    { epoch, instance, broadcastId }: Holder & { broadcastId: string },
    nonce: string,
  ): Promise<'held' | 'lost' | 'refused' | 'error'> {
    const answer = await node.reports.renewLease(liveId, {
      ...{ epoch, instance, broadcastId, nonce },
      state: 'live',
      takes: 1,
      cost: 0,
      video: null,
      audio: null,
      renditions: [],
    })
    if (answer.outcome === 'error') return 'error'
    const { job } = node
    const isOver = answer.outcome === 'lost' || answer.stop
    if (isOver && job?.epoch === epoch && job.instance === instance) job.isLost = true
    if (answer.outcome === 'held' && answer.stop) {
      await node.reports.releaseLease(liveId, { epoch, instance, reason: 'stopped' })
    }
    if (answer.outcome !== 'held' || !answer.refused) return answer.outcome
    // Nobody else comes within the time that it is held for.
    if (job?.epoch === epoch && job.nonce === nonce) await this.giveBack(node, 'publisher-left')
    return 'refused'
  }

  async #answerRenewal(node: Transcoder, renewal: LeaseRenewal): Promise<LeaseOutcome> {
    if (this.isAway || !node.isHeard) return { outcome: 'error', error: 'away' }
    const { epoch } = renewal
    const before = await this.standing()
    const refused = await this.#adoptions.adopt(node.id, liveId, renewal)
    if (renewal.adopt) this.onAdoption(renewal, before, await this.find())
    const renewed = await this.leases.renew(liveId, renewal)
    if (renewed) this.onHeld(renewal.nonce)
    return renewed
      ? { outcome: 'held', epoch, stop: renewed.stop, refused }
      : { outcome: 'lost', epoch: await this.leases.epochOf(liveId), stop: false, refused }
  }

  async #answerRelease(node: Transcoder, release: LeaseRelease): Promise<LeaseOutcome> {
    if (this.isAway || !node.isHeard) return { outcome: 'error', error: 'away' }
    const { reason, ...holder } = release
    await (goesOnElsewhere(reason)
      ? this.leases.unbind(liveId, holder)
      : this.leases.release(liveId, holder, reason))
    return { outcome: 'held', epoch: release.epoch, stop: false }
  }

  /** Gives its broadcast up; whoever is not heard tells of it later. */
  async giveBack(node: Transcoder, reason: LeaseRelease['reason']): Promise<void> {
    const { job } = node
    if (!job || job.isLost || node.isFrozen) return
    job.isLost = true
    const { epoch, instance } = job
    await node.reports.releaseLease(liveId, { epoch, instance, reason })
  }

  /** `undefined`: it has nothing to commit, or does nothing. */
  commit(node: Transcoder): { by: Holder; outcome: Commit } | undefined {
    const { job } = node
    if (!job || job.isLost || !node.takesMedia) return undefined
    const by = { epoch: job.epoch, instance: job.instance }
    return { by, outcome: this.home.commit(this.home.nextNumber, by) }
  }

  async beat(): Promise<void> {
    if (this.isAway) return
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
    this.#boot(node)
    node.job = undefined
    node.isFrozen = false
    await this.beat()
  }

  /** Two seconds at a time: who can beats and renews, then the coordinator looks. */
  async wait(seconds: number, renews: boolean): Promise<void> {
    for (let passed = 0; passed < seconds; passed += 2) {
      await this.clock.advance(2_000)
      await this.beat()
      if (!this.isAway) await this.membership.sweep()
      if (!renews) continue
      for (const node of this.transcoders) {
        if (node.job && !node.job.isLost) await this.renew(node, node.job, node.job.nonce)
      }
    }
    if (!this.isAway) await this.leases.endExpired()
  }

  /** Nothing of it is left behind on the clock. */
  [Symbol.dispose](): void {
    for (const { reports } of this.transcoders) reports[Symbol.dispose]()
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
