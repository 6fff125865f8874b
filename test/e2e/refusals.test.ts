// What an encoder's user is told when a publish is refused, at both gates.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Cluster } from '../support/cluster.ts'
import { Encoder } from '../support/encoder.ts'

describe('a refused publisher', () => {
  let cluster: Cluster

  beforeAll(async () => {
    cluster = await Cluster.start()
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
  })

  test.concurrent('that asks for a bandwidth test does not go live', async () => {
    const { streamKey } = await cluster.api<{ streamKey: string }>('POST', '/api/v1/channels', {
      liveId: 'tested',
    })
    await using encoder = new Encoder({
      server: server(),
      streamKey: `${streamKey}?bandwidthtest=true`,
    })
    expect(await encoder.exited).not.toBe(0)
    expect(encoder.output).toContain('bandwidth-test-unavailable')
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
