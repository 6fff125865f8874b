// Which node a live id belongs to: a weighted consistent-hash ring, and bounded load on top of it.
//
// - The ring answers for new placements only. A live stream stays where its lease says, whatever the ring
//   answers later.
// - Every node gets an explicit count of virtual nodes. With `hashring`'s own count (40, scaled by the share of
//   a node in the total weight) rounding lets one node's leaving move streams between nodes that stay.
// - Same nodes, same answers: nodes are sorted by id first, so that every process builds the same ring.
import HashRing from 'hashring'

export const defaultVnodes = 128
const maxVnodes = 16_384
const hashSpace = 2 ** 32

export interface RingNode {
  id: string
  /** Share of new streams relative to the others; 0 takes none. */
  weight: number
}

const ringNodeText = /^([a-z0-9][a-z0-9_.-]{0,62})(?::(\d{1,9}(?:\.\d{1,9})?))?$/

/** Reads `id` or `id:weight`, as people write it; `undefined` for anything else, and for a weight of 0. */
export function parseRingNode(text: string): RingNode | undefined {
  const [, id, weightText = '1'] = ringNodeText.exec(text) ?? []
  const weight = Number(weightText)
  return id !== undefined && weight > 0 ? { id, weight } : undefined
}

export class Ring {
  readonly #ring: HashRing
  readonly #ids: string[]

  constructor(nodes: readonly RingNode[], vnodesPerWeight = defaultVnodes) {
    const members = nodes.filter((node) => node.weight > 0)
    members.sort((a, b) => (a.id < b.id ? -1 : 1))
    this.#ids = members.map((node) => node.id)
    const servers = Object.fromEntries(
      members.map((node) => [node.id, { vnodes: vnodesOf(node.weight, vnodesPerWeight) }]),
    )
    // A node whose vnodes equal `vnode count` would be scaled after all; no node ever has 0.
    this.#ring = new HashRing(servers, 'md5', { 'vnode count': 0 })
  }

  /** The node that the live id hashes to; `undefined` on an empty ring. */
  place(liveId: string): string | undefined {
    return this.#ids.length === 0 ? undefined : this.#ring.get(liveId)
  }

  /** Distinct nodes in the order in which they stand in for each other; the first is `place(liveId)`. */
  order(liveId: string, count: number = this.#ids.length): string[] {
    return this.#ids.length === 0 || count < 1 ? [] : this.#ring.range(liveId, count)
  }

  /** Share of the hash space that each node owns; together 1. */
  shares(): Map<string, number> {
    if (this.#ids.length === 0) return new Map()
    const pointsOf = this.#ring.points(this.#ids) as unknown as Record<string, number[]>
    const points = Object.entries(pointsOf).flatMap(([id, values]) =>
      values.map((value) => ({ id, value })),
    )
    points.sort((a, b) => a.value - b.value)
    const shares = new Map(Object.keys(pointsOf).map((id) => [id, 0]))
    let previous = (points.at(-1)?.value ?? 0) - hashSpace
    for (const { id, value } of points) {
      shares.set(id, shares.get(id)! + (value - previous) / hashSpace)
      previous = value
    }
    return shares
  }
}

function vnodesOf(weight: number, vnodesPerWeight: number): number {
  return Math.min(maxVnodes, Math.max(1, Math.round(weight * vnodesPerWeight)))
}

export interface LoadedNode extends RingNode {
  /** Measured cost of what it carries now: pixels per second of its streams. */
  load: number
}

/** How much each node may carry once a stream of this cost is added: `factor` times its share of the whole. */
export function loadCaps(
  nodes: readonly LoadedNode[],
  newCost: number,
  factor: number,
): Map<string, number> {
  const totalLoad = nodes.reduce((sum, node) => sum + node.load, newCost)
  const totalWeight = nodes.reduce((sum, node) => sum + node.weight, 0)
  return new Map(
    nodes.map((node) => [
      node.id,
      totalWeight > 0 ? Math.ceil(((factor * totalLoad) / totalWeight) * node.weight) : 0,
    ]),
  )
}

/**
 * The first node of the order that stays within its cap; an idle node always takes one stream. When the caps
 * are all too small for one large stream, the node that would be least loaded for its weight.
 */
export function chooseBounded(
  order: readonly string[],
  nodes: readonly LoadedNode[],
  newCost: number,
  factor: number,
): string | undefined {
  const eligible = new Map(
    nodes.filter((node) => node.weight > 0).map((node) => [node.id, node] as const),
  )
  const caps = loadCaps([...eligible.values()], newCost, factor)
  let lightest: { id: string; fill: number } | undefined
  for (const id of order) {
    const node = eligible.get(id)
    if (!node) continue
    if (node.load === 0 || node.load + newCost <= caps.get(id)!) return id
    const fill = (node.load + newCost) / node.weight
    if (!lightest || fill < lightest.fill) lightest = { id, fill }
  }
  return lightest?.id
}
