// The tables of the live scenarios at the edge: what is met and missed, and that losses are told.
import { describe, expect, test } from 'vitest'
import { type CrowdRun, crowdTable } from '../../bench/crowd.ts'
import { type EdgeSoak, edgeSoakTable, verdictsOf } from '../../bench/edge-soak.ts'
import { type HeldRun, heldTable } from '../../bench/held.ts'
import { type SlowReadersRun, slowReadersTable } from '../../bench/slow-readers.ts'
import { fillsPerObject } from '../../bench/support/live-origin.ts'
import { readSlowReaders } from '../../bench/support/slowhttptest.ts'
import { rowsOf, slope } from '../../bench/support/statistics.ts'
import { type ViewersRun, viewersTable } from '../../bench/viewers.ts'

const cellsOf = (text: string, name: string) => rowsOf(text).find(([first]) => first === name)!

describe('crowdTable', () => {
  const run = (server: string, missMs: number[], requests: number): CrowdRun => ({
    server,
    report: { missMs, hitMs: [1], originMs: [40], startMs: [90], failures: { '503': 2 } },
    fills: { objects: 4, requests },
    playlists: 3,
  })

  test('the goals are those of ours, whatever nginx does', () => {
    const text = crowdTable([run('nearcast', [44], 4), run('nginx', [500], 8)])
    expect(cellsOf(text, 'requests upstream for each')).toEqual([
      'requests upstream for each',
      '1.00',
      '2.00',
      '1.00: met',
    ])
    expect(text).toContain("p99 ≤ origin's + 5: met")
    expect(cellsOf(text, 'viewers that failed').slice(1, 3)).toEqual(['2', '2'])
  })

  test('misses', () => {
    const text = crowdTable([run('nearcast', [46], 5), run('nginx', [1], 4)])
    expect(text).toContain('1.00: missed')
    expect(text).toContain("p99 ≤ origin's + 5: missed")
  })
})

describe('heldTable', () => {
  const run = (server: HeldRun['server'], road: HeldRun['road'], skew: number): HeldRun => ({
    server,
    road,
    report: { skewsMs: [skew], missed: 0, failures: {} },
    grownBytes: 10 * 16 * 1024,
  })
  const all = (ours: number) =>
    (['plain', 'TLS'] as const).flatMap((road) => [
      run('nearcast', road, ours),
      run('bare sockets', road, 10),
    ])

  test('skew beside bare sockets, and memory without TLS', () => {
    const text = heldTable(all(14), 10)
    expect(cellsOf(text, 'nearcast').at(-1)).toBe('≤ 15 KB: missed')
    expect(cellsOf(text, 'ours beside it').slice(4)).toEqual([
      '1.40',
      '1.40',
      '1.00',
      'p99 ≤ 1.5: met',
    ])
    expect(text.match(/≤ 15 KB/g)).toHaveLength(1)
    expect(heldTable(all(16), 10)).toContain('p99 ≤ 1.5: missed')
  })

  test('viewers that failed are told', () => {
    const [first, ...rest] = all(14)
    first!.report.failures['HTTP/1.1 503'] = 3
    expect(heldTable([first!, ...rest], 10)).toContain('nearcast, plain: 3 × HTTP/1.1 503.')
  })
})

test('viewersTable tells each kind of request, and its losses', () => {
  const run = (server: string, ms: number): ViewersRun => ({
    server,
    report: {
      latenciesMs: { 'HLS segment': [ms, ms, 3 * ms] },
      failures: { 'HLS segment: 404': 1 },
      lateMs: [0.5],
      bodyBytes: 1,
    },
    busy: 0.25,
    fills: { objects: 2, requests: 3 },
  })
  const text = viewersTable([run('nearcast', 1), run('nearcast', 1), run('nginx', 5)])
  expect(cellsOf(text, 'HLS segment')).toEqual([
    'HLS segment',
    'nearcast',
    '6',
    '1.00',
    '3.00',
    '3.00',
    '3.00',
  ])
  expect(cellsOf(text, 'requests').slice(1, 5)).toEqual([
    'nearcast',
    '2 failed',
    '1.50 upstream for each object',
    'core 25 %',
  ])
})

test('slowReadersTable holds the worst road against the goal', () => {
  const run = (road: SlowReadersRun['road'], kib: number): SlowReadersRun => ({
    road,
    readers: 10,
    seconds: 6,
    figures: { connected: 4, closed: 6, errors: 0 },
    grownBytes: 10 * kib * 1024,
    socketBytes: 10 * 3 * 1024,
    mostOpenFiles: 30,
    quiet: { latenciesMs: [1], failures: 0 },
    meanwhile: { latenciesMs: [2], failures: 1 },
  })
  expect(slowReadersTable([run('plain', 20), run('TLS', 64)])).toContain('≤ 64: met')
  const text = slowReadersTable([run('plain', 20), run('TLS', 65)])
  expect(text).toContain('≤ 64: missed')
  expect(cellsOf(text, 'KB in the buffers of the system, for each')[1]).toBe('3.00')
  expect(cellsOf(text, 'readers closed by the edge, still connected')[1]).toBe('6, 4')
})

test('slowhttptest: the last state counts, colours do not', () => {
  const state = (connected: number, closed: number) =>
    `\u001b[1;32mpending:     \u001b[1;32m 0\nconnected:   \u001b[1;32m ${connected}\nerror:       \u001b[1;32m 1\nclosed:      \u001b[1;32m ${closed}\n`
  expect(readSlowReaders(state(7, 0) + state(4, 3))).toEqual({ connected: 4, closed: 3, errors: 1 })
  expect(() => readSlowReaders('')).toThrow('did not run')
})

test('fills are counted of what never changes', () => {
  const asked = new Map([
    ['/live/a/720p.m3u8?_HLS_msn=4', 9],
    ['/live/a/t-1/720p/init.mp4', 1],
    ['/live/a/t-1/720p/p7.m4s', 2],
  ])
  expect(fillsPerObject(asked)).toEqual({ objects: 2, requests: 3 })
})

describe('edge soak', () => {
  const soak = (mbPerSample: number, openFilesAfter: number): EdgeSoak => ({
    samples: Array.from({ length: 101 }, (_, index) => ({
      atMs: index * 1_000,
      // What was taken in the first quarter is that of starting.
      residentBytes: (index < 25 ? index * 4 : 100 + (index - 25) * mbPerSample) * 1e6,
      openFiles: 40 + (index % 2),
    })),
    openFilesBefore: 30,
    openFilesAfter,
    requests: 10,
    left: 2,
    failures: { 'HLS segment: 503': 4 },
    p99Ms: [1, 2],
    busy: 0.1,
  })

  test('flat is told apart from what grows', () => {
    expect(verdictsOf(soak(0, 31)).map(({ isMet }) => isMet)).toEqual([true, true, true])
    expect(verdictsOf(soak(0.2, 45)).map(({ isMet }) => isMet)).toEqual([false, true, false])
    expect(verdictsOf(soak(0.2, 31))[0]!.text).toMatch(/, 720, 15\.0$/)
  })

  test('failures are told', () => {
    const text = edgeSoakTable(soak(0, 31))
    expect(cellsOf(text, 'requests of viewers, failed')[1]).toBe('10, 4')
    expect(text).toContain('4 × HLS segment: 503.')
  })

  test('a slope is that of the nearest line', () => {
    expect(
      slope([
        [0, 1],
        [1, 3],
        [2, 5],
      ]),
    ).toBeCloseTo(2)
    expect(
      slope([
        [0, 1],
        [1, 0],
        [2, 1],
      ]),
    ).toBeCloseTo(0)
  })
})
