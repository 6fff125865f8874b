// The coordinator without its sockets: stores, services and feeds wired together, and the beat that keeps them true.
import type { z } from '@hono/zod-openapi'
import type { Check } from '../common/admin/admin-listener.ts'
import type { Clock, Timer } from '../common/clock.ts'
import type { ClusterAuth } from '../common/cluster/cluster-auth.ts'
import { NodeHeartbeat } from '../common/cluster/node-heartbeat.ts'
import type { NodeInfo } from '../common/contract/membership.ts'
import type { Logger } from '../common/log.ts'
import type { ResolvedCoordinatorConfig } from '../config/load.ts'
import { AccessTokens } from './access-tokens.ts'
import { Adoptions } from './adoptions.ts'
import type { consoleStateSchema } from './api/public-api.ts'
import type { CoordinatorParts } from './app.ts'
import { BandwidthTests } from './bandwidth-tests.ts'
import { BroadcastStore } from './broadcast-store.ts'
import { ChangeFeed } from './change-feed.ts'
import { ChannelRefusals } from './channel-refusals.ts'
import { ChannelStatuses } from './channel-status.ts'
import { ChannelStore } from './channel-store.ts'
import { SnapshotRenderer } from './cluster-snapshot.ts'
import { ClusterView } from './cluster-view.ts'
import type { Database } from './database/database.ts'
import { DrainService } from './drain-service.ts'
import { DrainedNodes } from './drained-nodes.ts'
import { KnownKeys } from './known-keys.ts'
import { type ActiveLease, LeaseStore } from './lease-store.ts'
import { Membership } from './membership.ts'
import { Placement } from './placement.ts'
import { type PlacementReason, PublishService } from './publish-service.ts'
import { PurgeService } from './purge-service.ts'
import { RecordingStore } from './recording-store.ts'
import { KeySealer } from './stream-key.ts'
import { StreamKeyStore } from './stream-key-store.ts'
import { StreamMoves } from './stream-moves.ts'
import { ViewerCounts } from './viewer-counts.ts'

const tickMs = 1_000
const snapshotDebounceMs = 20
// Load figures change with every heartbeat; nodes need them fresh, not at once.
const loadDebounceMs = 2_000
const consoleDebounceMs = 200
/** Longer than a transcoder may take to be heard of again: a call that still waits for its answer, and the beat after it. */
const settleMs = 6_000

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
  readonly #drained: DrainedNodes
  readonly #moves: StreamMoves
  readonly #closing = new AbortController()
  readonly #recordings: RecordingStore
  readonly #viewers: ViewerCounts
  readonly #publishes: PublishService
  readonly #statuses: ChannelStatuses
  readonly #refusals: ChannelRefusals
  readonly #bandwidthTests: BandwidthTests
  readonly #purges: PurgeService
  readonly #snapshot: SnapshotRenderer
  readonly #snapshotFeed: ChangeFeed
  readonly #view: ClusterView
  readonly #consoleFeed: ChangeFeed
  readonly #heartbeat: NodeHeartbeat
  #leases: ActiveLease[] = []
  #settledAtMs = 0
  #ticker: Timer | undefined
  #ticking: Promise<void> | undefined
  #tickError: string | undefined
  onPlaced: (reason: PlacementReason) => void = () => {}
  /** Where this node is reached, once it listens. */
  self: { url: string; admin: string } | undefined

  constructor(options: CoordinatorOptions) {
    const { config, database, auth, clock, log } = options
    this.#options = options
    this.#drained = new DrainedNodes(database)
    this.membership = new Membership({
      db: database.db,
      clock,
      log,
      goneAfterMs: config.heartbeat.intervalMs * config.heartbeat.missed,
      isDrained: (id) => this.#drained.get(id) !== undefined,
      onChange: (kind) => this.#changed(kind === 'load' ? loadDebounceMs : undefined),
    })
    this.leaseStore = new LeaseStore(database, config.placement)
    this.placement = new Placement(this.membership, config.placement)
    this.#moves = new StreamMoves({
      clock,
      drained: this.#drained,
      membership: this.membership,
      placement: this.placement,
    })
    this.#recordings = new RecordingStore(database)
    this.#viewers = new ViewerCounts(database, this.membership)
    this.#statuses = new ChannelStatuses(database, this.leaseStore, this.#recordings, this.#viewers)
    this.#refusals = new ChannelRefusals(database, clock)
    this.#bandwidthTests = new BandwidthTests(database, clock)
    this.#publishes = new PublishService({
      database,
      leases: this.leaseStore,
      membership: this.membership,
      placement: this.placement,
      auth,
      log,
      isSettling: () => clock.monotonic() < this.#settledAtMs,
      onChange: () => this.#changed(),
      onPlaced: (reason) => this.onPlaced(reason),
    })
    this.#purges = new PurgeService({
      membership: this.membership,
      clock,
      log,
      onChange: () => this.#snapshotFeed.touch(0),
    })
    this.#snapshot = new SnapshotRenderer(
      clock,
      this.membership,
      this.leaseStore,
      this.#moves,
      () => this.#purges.orders(),
    )
    this.#snapshotFeed = new ChangeFeed({
      clock,
      log,
      debounceMs: snapshotDebounceMs,
      render: () => this.#snapshot.render(),
    })
    this.#heartbeat = new NodeHeartbeat('coordinator', config.node, clock)
    this.#view = new ClusterView({
      clock,
      membership: this.membership,
      leases: this.leaseStore,
      placement: this.placement,
      viewers: this.#viewers,
      heartbeatMs: config.heartbeat.intervalMs,
      self: () => this.#selfInfo(),
    })
    this.#consoleFeed = new ChangeFeed({
      clock,
      log,
      debounceMs: consoleDebounceMs,
      render: () => this.#consoleState(),
    })
  }

  /** Takes up what was there before a restart, then keeps watch. */
  async start(): Promise<void> {
    await this.#drained.restore()
    await this.membership.restore()
    this.#settle()
    this.#viewers.restore()
    await this.leaseStore.grantGrace()
    this.#leases = await this.leaseStore.active()
    this.#ticker = this.#options.clock.setInterval(() => this.#startTick(), tickMs)
  }

  /** It was away: transcoders are heard before a broadcast begins. */
  #settle(): void {
    if (this.membership.members('transcoder').length === 0) return
    this.#settledAtMs = this.#options.clock.monotonic() + settleMs
  }

  /** Active leases as of the last look. */
  leases(): readonly ActiveLease[] {
    return this.#leases
  }

  generation(): number {
    return this.#snapshot.generation
  }

  parts(adminToken: string, consoleDir: string): CoordinatorParts {
    const { database, config } = this.#options
    const channels = new ChannelStore(database, this.leaseStore)
    const sealer = config.keys.sealed ? new KeySealer(config.cluster.secret) : undefined
    return {
      channels,
      keys: new StreamKeyStore(database, sealer),
      broadcasts: new BroadcastStore(database),
      tokens: new AccessTokens(database, adminToken),
      view: this.#view,
      drains: new DrainService({
        drained: this.#drained,
        moves: this.#moves,
        membership: this.membership,
        leases: this.leaseStore,
        placement: this.placement,
        log: this.#options.log,
      }),
      consoleFeed: this.#consoleFeed,
      consoleDir,
      auth: this.#options.auth,
      clock: this.#options.clock,
      log: this.#options.log,
      closing: this.#closing.signal,
      membership: this.membership,
      leases: this.leaseStore,
      publishes: this.#publishes,
      adoptions: new Adoptions({ database, leases: this.leaseStore, log: this.#options.log }),
      knownKeys: new KnownKeys(database, this.#options.clock),
      recordings: this.#recordings,
      viewers: this.#viewers,
      statuses: this.#statuses,
      refusals: this.#refusals,
      bandwidthTests: this.#bandwidthTests,
      purges: this.#purges,
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
    this.#consoleFeed[Symbol.dispose]()
    await this.#ticking
    await this.#viewers.flush()
  }

  #changed(withinMs?: number): void {
    this.#snapshotFeed.touch(withinMs)
    this.#consoleFeed.touch(withinMs)
  }

  #selfInfo(): NodeInfo | undefined {
    if (!this.self) return undefined
    const { url, admin } = this.self
    const { viewers: _viewers, ...info } = this.#heartbeat.beat({
      urls: { [url.startsWith('https') ? 'https' : 'http']: url, admin },
      draining: this.#closing.signal.aborted,
      streams: this.#leases.length,
      bytesIn: 0,
      bytesOut: 0,
    })
    return { ...info, id: this.#options.config.node.id }
  }

  async #consoleState(): Promise<string> {
    return JSON.stringify({
      now: new Date(this.#options.clock.now()).toISOString(),
      nodes: this.#view.nodes(),
      streams: await this.#view.streams(),
    } satisfies z.infer<typeof consoleStateSchema>)
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
    if (await this.membership.sweep()) {
      this.#settle()
      await this.leaseStore.grantGrace()
    }
    for (const { liveId, reason } of await this.leaseStore.endExpired()) {
      this.#options.log.info({ liveId, reason }, 'broadcast ended')
      this.#changed()
    }
    await this.#viewers.flush()
    this.#leases = await this.leaseStore.active()
    if (this.#moves.advance(this.#leases)) this.#changed()
  }
}
