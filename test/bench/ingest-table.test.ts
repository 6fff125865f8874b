// The table of the ingest scenario: shares, their ratio, and a verdict.
import { expect, test } from 'vitest'
import { type IngestRun, ingestTable } from '../../bench/ingest-table.ts'

function run(server: IngestRun['server'], tls: number, rtmp: number): IngestRun {
  return {
    server,
    cores: { 'TLS hop': tls, 'RTMP hop': rtmp },
    idleCores: { 'TLS hop': 0.001, 'RTMP hop': 0.001 },
    grownBytes: { 'TLS hop': 4e7, 'RTMP hop': 2e7 },
    sentBitsPerSecond: 88e6,
    disconnects: 0,
    handshakes: { answered: 1_000, seconds: 1.5, cpuSeconds: 1.25 },
  }
}

const theirs = run('nginx', 0.14, 0.04)
const sendingOn = run('nginx that sends on', 0.14, 0.1)

test('both hops together are held against those of nginx', () => {
  const text = ingestTable([run('nearcast', 0.14, 0.07), theirs, sendingOn], 40)
  expect(text).toMatch(/both +\| +21\.0 % \| +18\.0 % \| +24\.0 % \|/)
  expect(text).toMatch(/ours beside it +\| +\| +1\.17 \| +0\.88 \| +≤ 1\.5: met \|/)
  expect(text).toMatch(/publishers per core +\| +190 \| +222 \| +167 \|/)
  expect(text).toMatch(/MB a publisher +\| +1\.50 \|/)
  expect(text).toMatch(/handshakes per second of a core +\| +800 \|/)
})

test('repeated runs give their median, their least and their most', () => {
  const runs = [0.1, 0.4, 0.2].map((tls) => run('nearcast', tls, 0))
  expect(ingestTable([...runs, theirs], 40)).toContain('20.0 % (10.0 %–40.0 %)')
})

test('a miss is written as a miss, and lost connections are told', () => {
  const text = ingestTable([{ ...run('nearcast', 0.3, 0.1), disconnects: 2 }, theirs], 40)
  expect(text).toContain('≤ 1.5: missed')
  expect(text).toContain('2 publishers lost their connection.')
})

test('ours alone is held against nobody', () => {
  const text = ingestTable([run('nearcast', 0.14, 0.07)], 40)
  expect(text).toMatch(/both +\| +21\.0 % \|/)
  expect(text).not.toMatch(/met|missed|NaN/)
})
