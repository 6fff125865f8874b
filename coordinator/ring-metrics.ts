// What Prometheus learns about the ring and the leases.
import type { Metrics } from '../common/metrics.ts'
import type { ActiveLease } from './lease-store.ts'
import type { Membership } from './membership.ts'
import type { Placement } from './placement.ts'
import type { PlacementReason } from './publish-service.ts'

export interface RingFacts {
  membership: Membership
  placement: Placement
  /** The leases as they were at the last look, at most a second ago. */
  leases: () => readonly ActiveLease[]
  generation: () => number
}

export class RingMetrics {
  readonly #moves

  constructor(metrics: Metrics, facts: RingFacts) {
    metrics.gauge(
      { name: 'ring_nodes', help: 'Nodes of the cluster.', labels: ['role', 'state'] as const },
      (gauge) => {
        gauge.reset()
        for (const { info } of facts.membership.members()) {
          gauge.inc({ role: info.role, state: info.draining ? 'draining' : 'ready' })
        }
      },
    )
    metrics.gauge(
      { name: 'ring_streams', help: 'Streams on each transcoder.', labels: ['node'] as const },
      (gauge) => {
        gauge.reset()
        for (const seat of facts.placement.seats(facts.leases())) {
          gauge.set({ node: seat.id }, seat.streams)
        }
      },
    )
    metrics.gauge(
      { name: 'ring_imbalance_ratio', help: 'Highest load for its weight over the mean; 0 idle.' },
      (gauge) => gauge.set(imbalance(facts.placement.seats(facts.leases()))),
    )
    metrics.gauge(
      { name: 'ring_generation', help: 'Generation of the snapshot that nodes are pushed.' },
      (gauge) => gauge.set(facts.generation()),
    )
    this.#moves = metrics.counter({
      name: 'ring_moves_total',
      help: 'Publishes by how they were placed: new, rejoined, taken-over by another, moved to another process.',
      labels: ['reason'] as const,
    })
  }

  placed(reason: PlacementReason): void {
    this.#moves.inc({ reason })
  }
}

function imbalance(seats: readonly { load: number; weight: number }[]): number {
  const load = seats.reduce((sum, seat) => sum + seat.load, 0)
  const weight = seats.reduce((sum, seat) => sum + seat.weight, 0)
  if (load === 0) return 0
  return Math.max(...seats.map((seat) => seat.load / seat.weight)) / (load / weight)
}
