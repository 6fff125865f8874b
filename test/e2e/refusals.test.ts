// What an encoder's user is told when a publish is refused, at both gates.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { BandwidthMeasure } from '../../common/contract/bandwidth-test.ts'
import { Cluster } from '../support/cluster.ts'
import { Encoder } from '../support/encoder.ts'
import { until } from '../support/until.ts'

interface BandwidthTest {
  state: string
  end: string | null
  atPop: BandwidthMeasure | null
  atGateway: BandwidthMeasure | null
}

describe('a refused publisher', () => {
  let cluster: Cluster

  beforeAll(async () => {
    // The next try of an encoder may come to the other worker.
    cluster = await Cluster.start({ env: { NEARCAST__WORKERS: '2' } })
  })

  afterAll(async () => {
    await cluster?.[Symbol.asyncDispose]()
  })

  const server = () => cluster.facts.edges[0]!.rtmps

  test.concurrent('with a wrong key is told so before it starts', async () => {
    await using encoder = new Encoder({ server: server(), streamKey: `nc_${'x'.repeat(32)}` })
    expect(await encoder.exited).not.toBe(0)
    expect(encoder.output).toContain('key-unknown')
  })

  test.concurrent('whose input is not accepted is told at its next try', async () => {
    const { streamKey } = cluster.facts.channels[0]!
    const sorenson = { server: server(), streamKey, videoArgs: ['-c:v', 'flv', '-b:v', '500k'] }
    await using first = new Encoder(sorenson)
    expect(await first.exited).not.toBe(0)
    await using second = new Encoder(sorenson)
    expect(await second.exited).not.toBe(0)
    expect(second.output).toContain('codec-unsupported')
    expect(cluster.log('pop-1')).not.toContain(streamKey)
    expect(cluster.log('gw-1')).not.toContain(streamKey)
    await until('the channel to show it', async () => {
      const { refusals } = await cluster.api<{ refusals: { code: string; count: number }[] }>(
        'GET',
        '/api/v1/channels/demo/refusals',
      )
      return refusals.some(({ code, count }) => code === 'codec-unsupported' && count === 2)
    })
  })

  test.concurrent('that asks for a bandwidth test is measured on its whole way and does not go live', async () => {
    const { streamKey } = await cluster.api<{ streamKey: string }>('POST', '/api/v1/channels', {
      liveId: 'tested',
    })
    await using encoder = new Encoder({
      server: server(),
      streamKey: `${streamKey}?bandwidthtest=true`,
    })
    const tests = () =>
      cluster.api<{ bandwidthTests: BandwidthTest[] }>(
        'GET',
        '/api/v1/bandwidth-tests?liveId=tested',
      )
    await until('the test to run', async () => (await tests()).bandwidthTests.length > 0)
    await until('two seconds of media', () => /time=00:00:0[2-9]/.test(encoder.output))
    const { streams } = await cluster.api<{ streams: { liveId: string }[] }>(
      'GET',
      '/api/v1/streams',
    )
    expect(streams.map((it) => it.liveId)).not.toContain('tested')
    await encoder.stop()
    const measured = async () => {
      const [test] = (await tests()).bandwidthTests
      return test?.atPop && test.atGateway ? test : undefined
    }
    const { atPop, atGateway, state, end } = await until('both measures', measured)
    expect({ state, end }).toEqual({ state: 'done', end: 'left' })
    // Payload is the same; the edge writes it anew for its gateway.
    expect(Math.abs(atPop!.bytes / atGateway!.bytes - 1)).toBeLessThan(0.05)
    expect(atPop!.medianBitsPerSecond).toBeGreaterThan(100_000)
    expect(cluster.log('tc-1')).not.toContain('"tested"')
  })

  test.concurrent('with a revoked key is told so', async () => {
    const { streamKey } = await cluster.api<{ streamKey: string }>('POST', '/api/v1/channels', {
      liveId: 'revoked',
    })
    const { keys } = await cluster.api<{ keys: { id: string }[] }>(
      'GET',
      '/api/v1/channels/revoked/keys',
    )
    await cluster.api('POST', `/api/v1/channels/revoked/keys/${keys[0]!.id}/revoke`)
    await using encoder = new Encoder({ server: server(), streamKey })
    expect(await encoder.exited).not.toBe(0)
    expect(encoder.output).toContain('key-revoked')
  })
})
