// The coordinator without its sockets: stores, services and feeds wired together, and the beat that keeps them true.
import type { Check } from '../common/admin/admin-listener.ts'
import type { Clock, Timer } from '../common/clock.ts'
import type { ClusterAuth } from '../common/cluster/cluster-auth.ts'
import type { Logger } from '../common/log.ts'
import type { ResolvedCoordinatorConfig } from '../config/load.ts'
import type { CoordinatorParts } from './app.ts'
import { ChangeFeed } from './change-feed.ts'
import { ChannelStatuses } from './channel-status.ts'
import { SnapshotRenderer } from './cluster-snapshot.ts'
import type { Database } from './database/database.ts'
import { type ActiveLease, LeaseStore } from './lease-store.ts'
import { Membership } from './membership.ts'
import { Placement } from './placement.ts'
import { type PlacementReason, PublishService } from './publish-service.ts'
import { RecordingStore } from './recording-store.ts'
import { ViewerCounts } from './viewer-counts.ts'

const tickMs = 1_000
const snapshotDebounceMs = 20
// Load figures change with every heartbeat; nodes need them fresh, not at once.
const loadDebounceMs = 2_000

export type CoordinatorSettings = Pick<
  ResolvedCoordinatorConfig,
  'node' | 'cluster' | 'keys' | 'placement' | 'heartbeat'
>

export interface CoordinatorOptions {
  config: CoordinatorSettings
  database: Database
  auth: ClusterAuth
  clock: Clock
  log: Logger
}

export class Coordinator implements AsyncDisposable {
  readonly membership: Membership
  readonly placement: Placement
  readonly leaseStore: LeaseStore
  readonly #options: CoordinatorOptions
  readonly #closing = new AbortController()
  readonly #recordings: RecordingStore
  readonly #viewers: ViewerCounts
  readonly #publishes: PublishService
  readonly #statuses: ChannelStatuses
  readonly #snapshot: SnapshotRenderer
  readonly #snapshotFeed: ChangeFeed
  #leases: ActiveLease[] = []
  #ticker: Timer | undefined
  #ticking: Promise<void> | undefined
  #tickError: string | undefined
  onPlaced: (reason: PlacementReason) => void = () => {}
  /** Where this node is reached, once it listens. */
  self: { url: string; admin: string } | undefined

  constructor(options: CoordinatorOptions) {
    const { config, database, auth, clock, log } = options
    this.#options = options
    this.membership = new Membership({
      db: database.db,
      clock,
      log,
      goneAfterMs: config.heartbeat.intervalMs * config.heartbeat.missed,
      onChange: (kind) => this.#changed(kind === 'load' ? loadDebounceMs : undefined),
    })
    this.leaseStore = new LeaseStore(database, config.placement)
    this.placement = new Placement(this.membership, config.placement)
    this.#recordings = new RecordingStore(database)
    this.#viewers = new ViewerCounts(database, this.membership)
    this.#statuses = new ChannelStatuses(database, this.leaseStore, this.#recordings, this.#viewers)
    this.#publishes = new PublishService({
      database,
      leases: this.leaseStore,
      membership: this.membership,
      placement: this.placement,
      auth,
      log,
      onChange: () => this.#changed(),
      onPlaced: (reason) => this.onPlaced(reason),
    })
    this.#snapshot = new SnapshotRenderer(clock, this.membership, this.leaseStore)
    this.#snapshotFeed = new ChangeFeed({
      clock,
      log,
      debounceMs: snapshotDebounceMs,
      render: () => this.#snapshot.render(),
    })
  }

  /** Takes up what was there before a restart, then keeps watch. */
  async start(): Promise<void> {
    await this.membership.restore()
    this.#viewers.restore()
    await this.leaseStore.grantGrace()
    this.#leases = await this.leaseStore.active()
    this.#ticker = this.#options.clock.setInterval(() => this.#startTick(), tickMs)
  }

  /** Active leases as of the last look. */
  leases(): readonly ActiveLease[] {
    return this.#leases
  }

  generation(): number {
    return this.#snapshot.generation
  }

  parts(_adminToken: string): CoordinatorParts {
    return {
      auth: this.#options.auth,
      clock: this.#options.clock,
      log: this.#options.log,
      closing: this.#closing.signal,
      membership: this.membership,
      leases: this.leaseStore,
      publishes: this.#publishes,
      recordings: this.#recordings,
      viewers: this.#viewers,
      statuses: this.#statuses,
      snapshot: this.#snapshot,
      snapshotFeed: this.#snapshotFeed,
      onChange: () => this.#changed(),
    }
  }

  readiness(): Check[] {
    const error = this.#tickError
    return [{ name: 'database', ok: error === undefined, ...(error && { detail: error }) }]
  }

  /** Ends event streams. */
  close(): void {
    this.#closing.abort()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
    this.#ticker?.cancel()
    this.#snapshotFeed[Symbol.dispose]()
    await this.#ticking
    await this.#viewers.flush()
  }

  #changed(withinMs?: number): void {
    this.#snapshotFeed.touch(withinMs)
  }

  #startTick(): void {
    this.#ticking ??= this.#tick()
      .then(
        () => {
          this.#tickError = undefined
        },
        (err) => {
          this.#tickError = String(err)
          this.#options.log.error({ err }, 'the database failed')
        },
      )
      .finally(() => {
        this.#ticking = undefined
      })
  }

  async #tick(): Promise<void> {
    if (await this.membership.sweep()) await this.leaseStore.grantGrace()
    for (const { liveId, reason } of await this.leaseStore.endExpired()) {
      this.#options.log.info({ liveId, reason }, 'broadcast ended')
      this.#changed()
    }
    await this.#viewers.flush()
    this.#leases = await this.leaseStore.active()
  }
}
