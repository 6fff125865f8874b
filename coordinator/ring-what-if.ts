// What another set of transcoders would change: the live ids that the ring would give to another node.
import { Ring, type RingNode } from '../common/ring.ts'

export interface RingChange {
  add: readonly RingNode[]
  remove: readonly string[]
}

/** A live id, and the transcoder that its broadcast is on; null while it is not live. */
export interface PlacedLiveId {
  liveId: string
  transcoder: string | null
}

export interface RingMove extends PlacedLiveId {
  from: string | null
  to: string | null
  /** A live stream stays where it is, unless its own node is among those that go. */
  when: 'next-broadcast' | 'node-goes'
}

export interface WhatIf {
  nodes: { id: string; weight: number; shareBefore: number; shareAfter: number }[]
  liveIds: number
  moves: RingMove[]
}

/** A node that is removed and added gets the weight that it is added with. */
export function changedNodes(
  nodes: readonly RingNode[],
  { add, remove }: RingChange,
): { nodes: RingNode[] } | { problem: string } {
  const ids = nodes.map(({ id }) => id)
  const missing = remove.find((id) => !ids.includes(id))
  if (missing !== undefined) {
    const known = ids.length > 0 ? `it has ${ids.toSorted().join(', ')}` : 'it is empty'
    return { problem: `"${missing}" is not on the ring: ${known}.` }
  }
  const kept = nodes.filter(({ id }) => !remove.includes(id))
  for (const [i, { id }] of add.entries()) {
    if (kept.some((node) => node.id === id)) {
      return { problem: `"${id}" is on the ring already; remove and add it to weigh it anew.` }
    }
    if (add.findIndex((node) => node.id === id) !== i) {
      return { problem: `"${id}" is added twice.` }
    }
  }
  return { nodes: [...kept, ...add] }
}

export function whatIf(
  before: readonly RingNode[],
  after: readonly RingNode[],
  liveIds: readonly PlacedLiveId[],
  vnodes: number,
): WhatIf {
  const [ringBefore, ringAfter] = [new Ring(before, vnodes), new Ring(after, vnodes)]
  const [sharesBefore, sharesAfter] = [ringBefore.shares(), ringAfter.shares()]
  const weights = new Map([...before, ...after].map(({ id, weight }) => [id, weight]))
  const goes = (id: string | null) => id !== null && !after.some((node) => node.id === id)
  const moves = liveIds.flatMap(({ liveId, transcoder }): RingMove[] => {
    const to = ringAfter.place(liveId) ?? null
    if (goes(transcoder)) {
      const isOfRing = before.some((node) => node.id === transcoder)
      if (isOfRing) return [{ liveId, transcoder, from: transcoder, to, when: 'node-goes' }]
    }
    const from = ringBefore.place(liveId) ?? null
    return from === to ? [] : [{ liveId, transcoder, from, to, when: 'next-broadcast' }]
  })
  moves.sort(byUrgency)
  return {
    nodes: [...weights].toSorted(byId).map(([id, weight]) => ({
      id,
      weight,
      shareBefore: sharesBefore.get(id) ?? 0,
      shareAfter: sharesAfter.get(id) ?? 0,
    })),
    liveIds: liveIds.length,
    moves,
  }
}

function byId([a]: [string, number], [b]: [string, number]): number {
  return a < b ? -1 : 1
}

/** What moves with its node first, then what is live, then by live id. */
function byUrgency(a: RingMove, b: RingMove): number {
  const rank = ({ when, transcoder }: RingMove) =>
    when === 'node-goes' ? 0 : transcoder === null ? 2 : 1
  return rank(a) - rank(b) || (a.liveId < b.liveId ? -1 : 1)
}
