import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { BandwidthReport } from '../../../common/contract/bandwidth-test.ts'
import type { Refusal } from '../../../common/contract/refusal.ts'
import { silentLogger } from '../../../common/log.ts'
import { BandwidthTests, isBandwidthTest } from '../../../common/relay/bandwidth-tests.ts'
import type { HopRequest } from '../../../common/relay/relay-host.ts'
import { FakeClock } from '../../support/fake-clock.ts'

let clock: FakeClock
let socket: PassThrough
let relay: AbortController
let refused: Refusal[]
let reports: (BandwidthReport & { id: string })[]
let tests: BandwidthTests

beforeEach(() => {
  clock = new FakeClock()
  socket = new PassThrough()
  relay = new AbortController()
  refused = []
  reports = []
  tests = new BandwidthTests({
    clock,
    refusalMemoryMs: 15_000,
    report: async (id, report) => void reports.push({ id, ...report }),
  })
})

afterEach(() => {
  socket.destroy()
})

function run(limitMs = 60_000) {
  const request: Pick<HopRequest, 'keyDigest' | 'signal' | 'refuse' | 'annotate'> = {
    keyDigest: 'k',
    signal: relay.signal,
    refuse: (reason) => void refused.push(reason),
    annotate: () => silentLogger,
  }
  return tests.run('an-id', socket, request as HopRequest, limitMs)
}

describe('a bandwidth test', () => {
  test('ends at its limit with the result, which the next try hears too, for a while', async () => {
    run()
    for (let second = 0; second < 60; second++) {
      socket.write(Buffer.alloc(second === 30 ? 125_000 : 250_000))
      await clock.advance(1_000)
    }
    expect(reports).toEqual([
      {
        id: 'an-id',
        end: 'time-limit',
        measure: expect.objectContaining({
          bytes: 59 * 250_000 + 125_000,
          medianBitsPerSecond: 2_000_000,
          lowestBitsPerSecond: 1_000_000,
        }),
      },
    ])
    expect(refused.map(({ code }) => code)).toEqual(['bandwidth-test-over'])
    expect(refused[0]?.message).toContain('2.00 Mb/s, 1.00 Mb/s in its slowest second')
    expect(tests.recall('k')).toEqual(refused[0])
    await clock.advance(15_000)
    expect(tests.recall('k')).toBeUndefined()
    socket.destroy()
    relay.abort()
    await clock.advance(60_000)
    expect(reports).toHaveLength(1)
  })

  test('ends with its publisher, and what comes afterwards is not counted', async () => {
    run()
    socket.write(Buffer.alloc(1_000))
    await clock.advance(2_000)
    relay.abort()
    socket.write(Buffer.alloc(1_000))
    await clock.advance(60_000)
    expect(reports).toMatchObject([{ end: 'left', measure: { bytes: 1_000, durationMs: 2_000 } }])
    expect(refused).toEqual([])
    expect(tests.recall('k')).toBeUndefined()
  })

  test('whose publisher has gone meanwhile is over at once', async () => {
    socket.destroy()
    run()
    expect(reports).toMatchObject([{ end: 'left', measure: { bytes: 0 } }])
  })

  test('is what the key says, whatever value it gives', () => {
    expect(isBandwidthTest('bandwidthtest=true')).toBe(true)
    expect(isBandwidthTest('x=1&bandwidthtest')).toBe(true)
    expect(isBandwidthTest('bandwidth=1')).toBe(false)
  })
})
