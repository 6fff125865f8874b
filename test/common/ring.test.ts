import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { nodeIdSchema } from '../../common/contract/membership.ts'
import {
  chooseBounded,
  type LoadedNode,
  loadCaps,
  parseRingNode,
  Ring,
  type RingNode,
} from '../../common/ring.ts'

const liveIds = Array.from({ length: 400 }, (_, i) => `channel-${i}`)

// Weights that would meet hashring's own count of 40 are among them: 0.3125 × 128 = 40.
const weights = fc.constantFrom(0.25, 0.3125, 0.5, 1, 1, 1, 2, 3)
const clusters = fc
  .uniqueArray(fc.integer({ min: 0, max: 99 }), { minLength: 2, maxLength: 12 })
  .chain((numbers) =>
    fc.tuple(...numbers.map((number) => weights.map((weight) => ({ id: `tc-${number}`, weight })))),
  )

describe('Ring', () => {
  test('a node more or less moves only the live ids of that node', () => {
    fc.assert(
      fc.property(clusters, fc.nat(), (nodes, pick) => {
        const changed = nodes[pick % nodes.length]!
        const withIt = new Ring(nodes)
        const withoutIt = new Ring(nodes.filter((node) => node !== changed))
        for (const liveId of liveIds) {
          const before = withIt.place(liveId)
          if (before === changed.id) continue
          expect(withoutIt.place(liveId)).toBe(before)
        }
      }),
      { numRuns: 60 },
    )
  })

  test('the order of the others is the same whether or not a node is there', () => {
    fc.assert(
      fc.property(clusters, fc.nat(), (nodes, pick) => {
        const gone = nodes[pick % nodes.length]!
        const ring = new Ring(nodes)
        const rest = new Ring(nodes.filter((node) => node !== gone))
        const liveId = liveIds[pick % liveIds.length]!
        expect(rest.order(liveId)).toEqual(ring.order(liveId).filter((id) => id !== gone.id))
      }),
      { numRuns: 40 },
    )
  })

  test('answers do not depend on the order in which nodes are listed', () => {
    fc.assert(
      fc.property(clusters, (nodes) => {
        const one = new Ring(nodes)
        const other = new Ring([...nodes].reverse())
        for (const liveId of liveIds.slice(0, 50)) {
          expect(other.order(liveId)).toEqual(one.order(liveId))
        }
      }),
      { numRuns: 30 },
    )
  })

  test('the first of the order is the placement, and nobody is in it twice', () => {
    const ring = new Ring(nodesOf(5))
    for (const liveId of liveIds) {
      const order = ring.order(liveId)
      expect(order[0]).toBe(ring.place(liveId))
      expect(new Set(order).size).toBe(5)
      expect(ring.order(liveId, 2)).toEqual(order.slice(0, 2))
    }
  })

  test('shares add up to 1 and tell what the ring then does', () => {
    const ring = new Ring([
      { id: 'small', weight: 1 },
      { id: 'large', weight: 3 },
    ])
    const shares = ring.shares()
    expect([...shares.values()].reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 9)
    const placed = Array.from({ length: 20_000 }, (_, i) => ring.place(`x${i}`))
    const large = placed.filter((id) => id === 'large').length / placed.length
    expect(large).toBeCloseTo(shares.get('large')!, 1)
    expect(shares.get('large')).toBeGreaterThan(0.65)
    expect(shares.get('large')).toBeLessThan(0.85)
  })

  test('a node of weight 0 gets nothing, and an empty ring answers nothing', () => {
    const ring = new Ring([
      { id: 'off', weight: 0 },
      { id: 'on', weight: 1 },
    ])
    expect(new Set(liveIds.map((liveId) => ring.place(liveId)))).toEqual(new Set(['on']))
    const empty = new Ring([{ id: 'off', weight: 0 }])
    expect(empty.place('demo')).toBeUndefined()
    expect(empty.order('demo')).toEqual([])
    expect(empty.shares().size).toBe(0)
  })

  test('places as ketama does: the first point at or after the hash of the live id', () => {
    const nodes = [
      { id: 'tc-a', weight: 1 },
      { id: 'tc-b', weight: 0.5 },
      { id: 'tc-c', weight: 0.3125 },
    ]
    const ring = new Ring(nodes)
    const reference = ketama(nodes)
    for (const liveId of liveIds) expect(ring.place(liveId)).toBe(reference(liveId))
  })
})

/** A second implementation, from the description of ketama: four points from each MD5 of `id-index`. */
function ketama(nodes: RingNode[]): (liveId: string) => string {
  const md5 = (text: string) => createHash('md5').update(text).digest()
  const points = nodes.flatMap(({ id, weight }) =>
    Array.from({ length: Math.round(weight * 128) }, (_, i) => md5(`${id}-${i}`)).flatMap((hash) =>
      [0, 4, 8, 12].map((offset) => ({ id, value: hash.readUInt32LE(offset) })),
    ),
  )
  points.sort((a, b) => a.value - b.value)
  return (liveId) => {
    const hash = md5(liveId).readUInt32LE(0)
    return (points.find(({ value }) => value >= hash) ?? points[0]!).id
  }
}

describe('a node as people write it', () => {
  test.each<[string, RingNode | undefined]>([
    ['tc-1', { id: 'tc-1', weight: 1 }],
    ['tc-1:2', { id: 'tc-1', weight: 2 }],
    ['tc-1:0.25', { id: 'tc-1', weight: 0.25 }],
    ['tc-1:0', undefined],
    ['tc-1:-1', undefined],
    ['tc-1:1e3', undefined],
    ['tc-1:heavy', undefined],
    ['tc-1:', undefined],
    [':2', undefined],
    ['', undefined],
    ['Tc 1', undefined],
  ])('%j', (text, expected) => {
    expect(parseRingNode(text)).toEqual(expected)
  })

  test('whatever the text: an id of a node and a weight that the ring takes, or nothing', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-z0-9_.-]+:[\d.]+$/)), (text) => {
        const node = parseRingNode(text)
        if (!node) return
        expect(nodeIdSchema.safeParse(node.id).success).toBe(true)
        expect(node.weight).toBeGreaterThan(0)
        expect(Number.isFinite(node.weight)).toBe(true)
      }),
    )
  })
})

describe('chooseBounded', () => {
  const node = (id: string, load: number, weight = 1): LoadedNode => ({ id, load, weight })

  test.each<[string, LoadedNode[], string[], number, string | undefined]>([
    ['the first of the order when all are idle', [node('a', 0), node('b', 0)], ['b', 'a'], 10, 'b'],
    [
      'the next when the first is over its cap',
      [node('a', 100), node('b', 10)],
      ['a', 'b'],
      10,
      'b',
    ],
    ['an idle node, however large the stream', [node('a', 5), node('b', 0)], ['b', 'a'], 99, 'b'],
    ['a heavy node more than a light one', [node('a', 50, 4), node('b', 10)], ['a', 'b'], 10, 'a'],
    ['no node of weight 0', [node('a', 0, 0), node('b', 10)], ['a', 'b'], 10, 'b'],
    ['the lightest when none has room', [node('a', 50), node('b', 40)], ['a', 'b'], 90, 'b'],
    ['nobody when there is nobody', [], ['a'], 10, undefined],
  ])('takes %s', (_name, nodes, order, cost, expected) => {
    expect(chooseBounded(order, nodes, cost, 1.25)).toBe(expected)
  })

  test('no node of equal streams ever carries more than 1.25 times the mean, rounded up', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 80 }),
        (size, count) => {
          const nodes = nodesOf(size).map((entry) => ({ ...entry, load: 0 }))
          const ring = new Ring(nodes)
          for (let i = 0; i < count; i++) {
            const id = chooseBounded(ring.order(`s${i}`), nodes, 1, 1.25)
            nodes.find((entry) => entry.id === id)!.load += 1
          }
          const cap = Math.ceil((1.25 * count) / size)
          for (const { load } of nodes) expect(load).toBeLessThanOrEqual(cap)
        },
      ),
      { numRuns: 50 },
    )
  })

  test('caps are 1.25 times the load with the new stream, by weight', () => {
    const caps = loadCaps([node('a', 30, 1), node('b', 30, 3)], 20, 1.25)
    expect(Object.fromEntries(caps)).toEqual({ a: 25, b: 75 })
  })
})

function nodesOf(count: number): RingNode[] {
  return Array.from({ length: count }, (_, i) => ({ id: `tc-${i}`, weight: 1 }))
}
