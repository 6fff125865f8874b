// Which stream of a drained transcoder moves next: one at a time for each such node.
//
// - The route of the stream whose turn it is says so to its gateway, which publishes it anew. Placement then gives
//   it another transcoder, because the present one is draining.
// - The next turn begins when the other transcoder has confirmed the stream, so that one that cannot start them is
//   not given all of them.
// - A stream that has not moved within its turn goes to the end of the line: none holds up the others.
// - Only what is live moves. Without a publisher there is nobody to publish it anew; one that comes back is placed
//   elsewhere anyway.
import type { Clock } from '../common/clock.ts'
import type { DrainedNodes } from './drained-nodes.ts'
import type { ActiveLease } from './lease-store.ts'
import type { Membership } from './membership.ts'
import type { Placement } from './placement.ts'

// Longer than a gateway takes that has to try a second transcoder.
const turnMs = 10_000

interface Turn {
  liveId: string
  broadcastId: string
  epoch: number
  /** Monotonic ms. */
  endsAt: number
}

interface Line {
  turn: Turn | undefined
  /** Broadcast → the number of the turn that it had last. */
  turns: Map<string, number>
}

export interface StreamMovesOptions {
  clock: Clock
  drained: DrainedNodes
  membership: Membership
  placement: Placement
}

export class StreamMoves {
  readonly #options: StreamMovesOptions
  readonly #lines = new Map<string, Line>()
  #turnCount = 0

  constructor(options: StreamMovesOptions) {
    this.#options = options
  }

  /** Ends turns that are over and begins the next; true when a route has changed by it. */
  advance(leases: readonly ActiveLease[]): boolean {
    const drained = this.#options.drained.all().map(({ id }) => id)
    const before = this.#moving()
    for (const id of this.#lines.keys()) if (!drained.includes(id)) this.#lines.delete(id)
    for (const id of drained) {
      const line = this.#lines.get(id) ?? { turn: undefined, turns: new Map() }
      this.#lines.set(id, line)
      if (line.turn && !this.#isOver(line.turn, id, leases)) continue
      line.turn = this.#next(id, line, leases)
    }
    return this.#moving() !== before
  }

  /** True while its gateway is asked to publish it anew. */
  isMoving({ liveId, epoch, broadcastId, transcoder }: ActiveLease): boolean {
    const turn = transcoder === null ? undefined : this.#lines.get(transcoder)?.turn
    return turn?.liveId === liveId && turn.epoch === epoch && turn.broadcastId === broadcastId
  }

  /** The streams that a transcoder process still has. */
  left(node: string, leases: readonly ActiveLease[]): ActiveLease[] {
    const { membership } = this.#options
    return leases.filter(
      ({ transcoder, instance }) => transcoder === node && membership.isAlive(node, instance),
    )
  }

  #moving(): string {
    return JSON.stringify([...this.#lines].map(([id, { turn }]) => [id, turn?.liveId, turn?.epoch]))
  }

  #next(node: string, line: Line, leases: readonly ActiveLease[]): Turn | undefined {
    const { placement, clock } = this.#options
    const movable = this.left(node, leases).filter(({ state }) => state === 'live')
    for (const id of line.turns.keys()) {
      if (!movable.some(({ broadcastId }) => broadcastId === id)) line.turns.delete(id)
    }
    if (movable.length === 0 || placement.seats(leases).length === 0) return undefined
    const lastTurn = ({ broadcastId }: ActiveLease) => line.turns.get(broadcastId) ?? 0
    const { liveId, broadcastId, epoch } = movable.reduce((first, lease) =>
      lastTurn(lease) < lastTurn(first) ? lease : first,
    )
    this.#turnCount += 1
    line.turns.set(broadcastId, this.#turnCount)
    return { liveId, broadcastId, epoch, endsAt: clock.monotonic() + turnMs }
  }

  #isOver(turn: Turn, node: string, leases: readonly ActiveLease[]): boolean {
    if (this.#options.clock.monotonic() >= turn.endsAt) return true
    const lease = leases.find(({ broadcastId }) => broadcastId === turn.broadcastId)
    if (!lease) return true
    const isHere = lease.transcoder === node && lease.epoch === turn.epoch
    return isHere ? lease.state !== 'live' : lease.state !== 'starting'
  }
}
