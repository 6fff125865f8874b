// The table of the edge scenario: medians, ratios beside the others, and goals that are met, missed or told by CPU.
import { describe, expect, test } from 'vitest'
import { type EdgeRow, edgeTable, type Road } from '../../bench/edge-table.ts'

function row(server: string, rates: readonly number[], changes: Partial<EdgeRow> = {}): EdgeRow {
  const runs = rates.map((rate) => ({
    requestsPerSecond: rate,
    requestsPerCpuSecond: 2 * rate,
    busy: 1,
    p50Ms: 1,
    p99Ms: 2,
  }))
  return { object: 'playlist, 1 KB', road: 'plain', server, runs, residentBytes: 1e7, ...changes }
}

const cells = (text: string, server: string) =>
  text
    .split('\n')
    .filter((line) => line.includes(` ${server} |`))
    .map((line) => line.split('|').map((cell) => cell.trim()))

describe('edgeTable', () => {
  test('holds the ratio of the medians against the goal of the object', () => {
    const text = edgeTable([row('nearcast', [1, 140, 900]), row('nginx', [100, 100, 1])])
    expect(cells(text, 'beside nginx')[0]!.slice(4)).toEqual([
      '1.40',
      '1.40',
      '',
      '1.00',
      '1.00',
      '',
      '≥ 1.3: met',
      '',
    ])
    const missed = edgeTable([row('nearcast', [120]), row('nginx', [100])])
    expect(missed).toContain('≥ 1.3: missed')
  })

  test('tells by time of the processor where a core was idle', () => {
    const idle = row('nginx', [100])
    idle.runs[0]!.busy = 0.5
    idle.runs[0]!.requestsPerCpuSecond = 300
    const text = edgeTable([row('nearcast', [150]), idle])
    expect(text).toContain('≥ 1.3: missed by CPU')
  })

  test('has goals of its own over HTTP/2, and none beside Varnish', () => {
    const h2 = { road: 'h2' as Road }
    const text = edgeTable([
      row('nearcast', [100]),
      row('varnish', [50]),
      row('nearcast', [60], h2),
      row('nginx', [100], h2),
    ])
    expect(cells(text, 'beside varnish')[0]!.at(-2)).toBe('')
    expect(text).toContain('≥ 0.6: met')
  })

  test('leaves out what the load generator does not tell', () => {
    const silent = row('nearcast', [100])
    silent.runs[0]!.p50Ms = undefined
    expect(cells(edgeTable([silent]), 'nearcast')[0]!.slice(7, 9)).toEqual(['–', '2.00'])
  })
})
