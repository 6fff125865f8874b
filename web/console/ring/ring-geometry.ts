// Lays the ring out: an arc for each node as long as its share, and a point for each live id on it.
import type { RingState } from '../api/shapes.ts'

export interface Arc {
  id: string
  /** Turns from the top, clockwise: 0 to 1. */
  from: number
  to: number
}

export interface Spot {
  liveId: string
  /** Node whose arc it lies on: what the ring says. */
  node: string
  at: number
  /** The lease has it elsewhere. */
  isMoved: boolean
}

export function layOut(ring: Pick<RingState, 'nodes' | 'streams'>): { arcs: Arc[]; spots: Spot[] } {
  const nodes = [...ring.nodes].sort((a, b) => (a.id < b.id ? -1 : 1))
  const total = nodes.reduce((sum, { share }) => sum + share, 0) || 1
  let turned = 0
  const arcs = nodes.map(({ id, share }) => {
    const from = turned
    turned += share / total
    return { id, from, to: turned }
  })
  const spots = arcs.flatMap(({ id, from, to }) => {
    const here = ring.streams
      .filter((stream) => stream.ring === id)
      .sort((a, b) => (a.liveId < b.liveId ? -1 : 1))
    return here.map(({ liveId, transcoder }, i) => ({
      liveId,
      node: id,
      at: from + ((to - from) * (i + 1)) / (here.length + 1),
      isMoved: transcoder !== null && transcoder !== id,
    }))
  })
  return { arcs, spots }
}

export interface Point {
  x: number
  y: number
}

/** A point on a circle around the origin; 0 turns is the top. */
export function pointAt(turns: number, radius: number): Point {
  const angle = turns * 2 * Math.PI - Math.PI / 2
  return { x: radius * Math.cos(angle), y: radius * Math.sin(angle) }
}

/** SVG path of an arc; a whole circle is two halves, because one arc cannot end where it starts. */
export function arcPath({ from, to }: Pick<Arc, 'from' | 'to'>, radius: number): string {
  const round = (value: number) => Math.round(value * 100) / 100
  const text = ({ x, y }: Point) => `${round(x)} ${round(y)}`
  const middle = (from + to) / 2
  const sweep = (end: number) => `A ${radius} ${radius} 0 0 1 ${text(pointAt(end, radius))}`
  return `M ${text(pointAt(from, radius))} ${sweep(middle)} ${sweep(to)}`
}
