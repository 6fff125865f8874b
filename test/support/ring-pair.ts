// Two live ids that the ring gives to two different nodes.
import { Ring } from '../../common/ring.ts'

export function liveIdsOnDifferentNodes(nodeIds: readonly string[]): [string, string] {
  const ring = new Ring(nodeIds.map((id) => ({ id, weight: 1 })))
  const first = 'pair-0'
  for (let i = 1; ; i++) {
    const other = `pair-${i}`
    if (ring.place(other) !== ring.place(first)) return [first, other]
  }
}
