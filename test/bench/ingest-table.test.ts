// The table of the ingest scenario: shares, their ratio, and a verdict.
import { expect, test } from 'vitest'
import { type IngestRun, ingestTable } from '../../bench/ingest.ts'

function run(server: IngestRun['server'], tls: number, rtmp: number): IngestRun {
  return {
    server,
    cores: { 'TLS hop': tls, 'RTMP hop': rtmp },
    grownBytes: { 'TLS hop': 4e7, 'RTMP hop': 2e7 },
    sentBitsPerSecond: 88e6,
    disconnects: 0,
  }
}

const theirs = run('nginx', 0.14, 0.04)

test('both hops together are held against those of nginx', () => {
  const text = ingestTable([run('nearcast', 0.14, 0.07), theirs])
  expect(text).toMatch(/nearcast \| +14\.0 % \| +7\.00 % \| +21\.0 % \| +190 \| +1\.50 /)
  expect(text).toMatch(/ratio +\| +1\.00 \| +1\.75 \| 1\.17 \(aim ≤ 1\.5: met\)/)
})

test('a miss is written as a miss, and lost connections are told', () => {
  const text = ingestTable([{ ...run('nearcast', 0.3, 0.1), disconnects: 2 }, theirs])
  expect(text).toContain('aim ≤ 1.5: missed')
  expect(text).toContain('2 publishers lost their connection.')
})
