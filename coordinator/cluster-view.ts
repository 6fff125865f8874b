// The cluster as people see it: nodes with their health, streams with their path, the ring with its shares.
import type { Clock } from '../common/clock.ts'
import type { NodeInfo } from '../common/contract/membership.ts'
import type { NodeView, RingView, StreamView, WhatIfView } from './api/schemas.ts'
import { isBegun, streamStateOf } from './channel-status.ts'
import type { ActiveLease, LeaseStore } from './lease-store.ts'
import type { Membership } from './membership.ts'
import type { Placement } from './placement.ts'
import { changedNodes, type RingChange, whatIf } from './ring-what-if.ts'
import type { ViewerCounts } from './viewer-counts.ts'

export interface ClusterViewOptions {
  clock: Clock
  membership: Membership
  leases: LeaseStore
  placement: Placement
  viewers: ViewerCounts
  heartbeatMs: number
  /** This node itself, once it listens. */
  self: () => NodeInfo | undefined
}

export class ClusterView {
  readonly #options: ClusterViewOptions
  readonly #startedAt: number

  constructor(options: ClusterViewOptions) {
    this.#options = options
    this.#startedAt = options.clock.now()
  }

  nodes(): NodeView[] {
    const { clock, membership, heartbeatMs } = this.#options
    const monotonic = clock.monotonic()
    const now = clock.now()
    const here = membership.members().map(({ info, seenAt, joinedAt }) => {
      const silentMs = monotonic - seenAt
      const health = info.draining ? 'draining' : silentMs > 1.5 * heartbeatMs ? 'late' : 'ok'
      return nodeView(info, health, joinedAt, now - silentMs)
    })
    const away = membership
      .departed()
      .map(({ info, joinedAt, goneAt, how }) => nodeView(info, how, joinedAt, goneAt))
    const self = this.#options.self()
    const own = self ? [nodeView(self, 'ok', this.#startedAt, now)] : []
    return [...own, ...here, ...away].sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  async streams(filter: { topic?: string | undefined } = {}): Promise<StreamView[]> {
    const leases = await this.#options.leases.active()
    return leases
      .filter((lease) => isBegun(lease))
      .filter((lease) => filter.topic === undefined || lease.topic === filter.topic)
      .map((lease) => this.#stream(lease))
  }

  async stream(liveId: string): Promise<StreamView | undefined> {
    const lease = await this.#options.leases.find(liveId)
    return lease && isBegun(lease) ? this.#stream(lease) : undefined
  }

  async ring(asked: readonly string[]): Promise<RingView> {
    const { placement } = this.#options
    const leases = await this.#options.leases.active()
    const seats = placement.seats(leases)
    const ring = placement.ringOf(seats)
    const shares = ring.shares()
    const caps = placement.caps(seats)
    return {
      vnodes: placement.options.vnodes,
      loadFactor: placement.options.loadFactor,
      nodes: seats.map(({ id, weight, load, streams }) => ({
        id,
        weight,
        share: shares.get(id) ?? 0,
        streams,
        load,
        cap: caps.get(id) ?? 0,
      })),
      streams: leases.map((lease) => ({
        liveId: lease.liveId,
        epoch: lease.epoch,
        cost: lease.cost,
        transcoder: lease.transcoder,
        ring: ring.place(lease.liveId) ?? null,
      })),
      where: asked.map((liveId) => ({ liveId, order: ring.order(liveId) })),
    }
  }

  /** Where the ring would put these live ids with other transcoders; `problem` where the change makes no sense. */
  async whatIf(
    change: RingChange,
    liveIds: readonly string[],
  ): Promise<WhatIfView | { problem: string }> {
    const { placement, leases } = this.#options
    const active = await leases.active()
    const before = placement.seats(active)
    const after = changedNodes(before, change)
    if ('problem' in after) return after
    const holders = new Map(active.map(({ liveId, transcoder }) => [liveId, transcoder]))
    const placed = liveIds.map((liveId) => ({ liveId, transcoder: holders.get(liveId) ?? null }))
    return whatIf(before, after.nodes, placed, placement.options.vnodes)
  }

  #stream(lease: ActiveLease): StreamView {
    const { membership, viewers, clock } = this.#options
    return {
      liveId: lease.liveId,
      broadcastId: lease.broadcastId,
      epoch: lease.epoch,
      state: streamStateOf(lease, clock.now()),
      title: lease.title,
      topic: lease.topic,
      startedAt: new Date(lease.startedAt).toISOString(),
      takes: lease.takes,
      pop: lease.pop === null ? null : { id: lease.pop },
      gateway: lease.gateway === null ? null : { id: lease.gateway },
      transcoder: lease.transcoder === null ? null : { id: lease.transcoder },
      ...lease.facts,
      viewers: viewers.current(lease.liveId),
      peakViewers: lease.peakViewers,
      totalViewers: lease.totalViewers,
      urls: playbackUrls(lease.liveId, membership),
    }
  }
}

function nodeView(
  info: NodeInfo,
  health: NodeView['health'],
  joinedAtMs: number,
  seenAtMs: number,
): NodeView {
  return {
    ...info,
    health,
    joinedAt: new Date(joinedAtMs).toISOString(),
    seenAt: new Date(seenAtMs).toISOString(),
  }
}

/** At the least loaded POP that takes viewers; null while there is none. */
function playbackUrls(liveId: string, membership: Membership): StreamView['urls'] {
  const edges = membership
    .members('edge')
    .map(({ info }) => info)
    .filter(({ draining, urls }) => !draining && (urls.https ?? urls.http) !== undefined)
  edges.sort((a, b) => a.load.viewers - b.load.viewers || (a.id < b.id ? -1 : 1))
  const base = edges[0]?.urls.https ?? edges[0]?.urls.http
  if (base === undefined) return null
  return {
    hls: `${base}/live/${liveId}/index.m3u8`,
    dash: `${base}/live/${liveId}/manifest.mpd`,
    status: `${base}/live/${liveId}/status.json`,
    watch: `${base}/watch/${liveId}`,
  }
}
