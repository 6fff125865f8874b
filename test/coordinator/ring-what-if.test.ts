import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Ring } from '../../common/ring.ts'
import type { WhatIfView } from '../../coordinator/api/schemas.ts'
import { changedNodes, whatIf } from '../../coordinator/ring-what-if.ts'
import { CoordinatorFixture } from './coordinator-fixture.ts'

const node = (id: string, weight = 1) => ({ id, weight })
const three = [node('tc-1'), node('tc-2'), node('tc-3')]
const idle = Array.from({ length: 200 }, (_, i) => ({ liveId: `channel-${i}`, transcoder: null }))

describe('a change of the ring', () => {
  test.each<[string, Parameters<typeof changedNodes>[1], ReturnType<typeof changedNodes>]>([
    [
      'adds and removes',
      { add: [node('tc-4', 2)], remove: ['tc-1', 'tc-3'] },
      { nodes: [node('tc-2'), node('tc-4', 2)] },
    ],
    [
      'weighs anew what it removes and adds',
      { add: [node('tc-1', 3)], remove: ['tc-1'] },
      { nodes: [node('tc-2'), node('tc-3'), node('tc-1', 3)] },
    ],
    [
      'cannot remove what is not there',
      { add: [], remove: ['tc-9'] },
      { problem: '"tc-9" is not on the ring: it has tc-1, tc-2, tc-3.' },
    ],
    [
      'cannot add what is there',
      { add: [node('tc-2')], remove: [] },
      { problem: '"tc-2" is on the ring already; remove and add it to weigh it anew.' },
    ],
    [
      'cannot add a node twice',
      { add: [node('tc-4'), node('tc-4', 2)], remove: [] },
      { problem: '"tc-4" is added twice.' },
    ],
  ])('%s', (_name, change, expected) => {
    expect(changedNodes(three, change)).toEqual(expected)
  })
})

describe('what if', () => {
  test('a node came: just the live ids that it would take', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 40 }), (quarters) => {
        const weight = quarters / 4
        const after = [...three, node('tc-4', weight)]
        const { moves, liveIds } = whatIf(three, after, idle, 128)
        expect(liveIds).toBe(200)
        expect(new Set(moves.map(({ to }) => to))).toEqual(new Set(['tc-4']))
        const ring = new Ring(after, 128)
        const taken = idle.filter(({ liveId }) => ring.place(liveId) === 'tc-4')
        expect(moves.map(({ liveId }) => liveId).toSorted()).toEqual(
          taken.map(({ liveId }) => liveId).toSorted(),
        )
      }),
      { numRuns: 20 },
    )
  })

  test('a node went: its live ids alone, each to where the ring then says', () => {
    const after = three.slice(1)
    const { moves, nodes } = whatIf(three, after, idle, 128)
    expect(new Set(moves.map(({ from }) => from))).toEqual(new Set(['tc-1']))
    const ring = new Ring(after, 128)
    for (const { liveId, to } of moves) expect(to).toBe(ring.place(liveId))
    expect(nodes.map(({ id, shareAfter }) => [id, shareAfter === 0])).toEqual([
      ['tc-1', true],
      ['tc-2', false],
      ['tc-3', false],
    ])
  })

  test('live streams: those of a node that goes move with it, first of all; others stay', () => {
    const ring = new Ring(three, 128)
    const ofRing = (id: string) => idle.find(({ liveId }) => ring.place(liveId) === id)!.liveId
    // By the bound on load a stream may be elsewhere than the ring says.
    const placed = [
      { liveId: ofRing('tc-1'), transcoder: 'tc-2' },
      { liveId: ofRing('tc-2'), transcoder: 'tc-1' },
      { liveId: ofRing('tc-3'), transcoder: 'tc-3' },
    ]
    const { moves } = whatIf(three, three.slice(1), placed, 128)
    expect(moves).toMatchObject([
      { liveId: placed[1]!.liveId, from: 'tc-1', to: 'tc-2', when: 'node-goes' },
      { liveId: placed[0]!.liveId, from: 'tc-1', transcoder: 'tc-2', when: 'next-broadcast' },
    ])
  })

  test('every node went: the live ids have nowhere to go', () => {
    const { moves } = whatIf(three, [], idle, 128)
    expect(moves).toHaveLength(200)
    expect(new Set(moves.map(({ to }) => to))).toEqual(new Set([null]))
  })
})

describe('the route', () => {
  test('looks at every channel and changes nothing', async () => {
    await using fixture = await CoordinatorFixture.start()
    const gateway = await fixture.node('gw-1', 'gateway')
    await fixture.node('tc-1', 'transcoder')
    await gateway.granted(await fixture.channel('demo'))
    for (let i = 0; i < 20; i++) await fixture.channel(`channel-${i}`)
    await fixture.node('tc-2', 'transcoder')
    const before = await fixture.api('GET', '/ring')
    const answer = await fixture.api<WhatIfView>(
      'GET',
      '/ring/whatif?remove=tc-1&add=tc-3&add=tc-4:2',
    )
    expect(answer.liveIds).toBe(21)
    expect(answer.nodes.map(({ id, weight }) => [id, weight])).toEqual([
      ['tc-1', 1],
      ['tc-2', 1],
      ['tc-3', 1],
      ['tc-4', 2],
    ])
    expect(answer.moves[0]).toMatchObject({ liveId: 'demo', transcoder: 'tc-1', when: 'node-goes' })
    expect(answer.moves.length).toBeGreaterThan(10)
    expect(await fixture.api('GET', '/ring')).toEqual(before)
  })

  test.each([
    ['add=tc-9:heavy', 'got "tc-9:heavy", expected a node id, or id:weight with a weight above 0'],
    ['add=tc-9&add=tc-8:0', 'got "tc-8:0", expected a node id'],
    ['add=No%20Id', 'got "No Id", expected a node id'],
    ['remove=%20', 'query.remove'],
    ['remove=tc-9', '"tc-9" is not on the ring: it has tc-1.'],
    ['remove=gw-1', '"gw-1" is not on the ring'],
    ['add=tc-1', '"tc-1" is on the ring already'],
  ])('refuses ?%s with the reason', async (query, reason) => {
    await using fixture = await CoordinatorFixture.start()
    await fixture.node('gw-1', 'gateway')
    await fixture.node('tc-1', 'transcoder')
    const { status, body } = await fixture.call('GET', `/api/v1/ring/whatif?${query}`)
    expect(status).toBe(400)
    expect(body.detail).toContain(reason)
  })

  test('is described with its lists', async () => {
    await using fixture = await CoordinatorFixture.start()
    const document = await fixture.api<{
      paths: Record<string, { get: { parameters: { name: string; schema: object }[] } }>
    }>('GET', '/openapi.json')
    const { parameters } = document.paths['/api/v1/ring/whatif']!.get
    expect(parameters.map(({ name, schema }) => [name, schema])).toMatchObject([
      ['add', { type: 'array', items: { type: 'string' } }],
      ['remove', { type: 'array', items: { type: 'string' } }],
    ])
  })
})
