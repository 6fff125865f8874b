// An encoder that vanishes and comes back: same broadcast, same transcoder, and the page plays on by itself.
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launchBrowser, playerState } from '../support/browser.ts'
import { Cluster } from '../support/cluster.ts'
import { Encoder } from '../support/encoder.ts'
import { HashRingPair } from '../support/ring-pair.ts'
import { until } from '../support/until.ts'

interface StreamFacts {
  broadcastId: string
  epoch: number
  transcoder: { id: string }
}

const awayMs = 20_000

describe('encoders that come and go', () => {
  let cluster: Cluster
  let browser: Browser

  beforeAll(async () => {
    cluster = await Cluster.start({ transcoders: 2 })
    browser = await launchBrowser()
  })

  afterAll(async () => {
    await browser?.close()
    await cluster?.[Symbol.asyncDispose]()
  })

  const publish = (streamKey: string) => {
    const { edges, caFile } = cluster.facts
    return new Encoder({ server: edges[0]!.rtmps, streamKey, caFile, size: '320x180' })
  }
  const stream = (liveId: string) => cluster.api<StreamFacts>('GET', `/api/v1/streams/${liveId}`)
  const untilPlayable = (liveId: string) =>
    until('a playable playlist', async () => {
      const { http } = cluster.facts.edges[0]!
      return (await fetch(`${http}/live/${liveId}/index.m3u8`)).ok
    })

  test('an encoder killed and back after 20 s keeps its transcoder, and the page recovers', async () => {
    const { streamKey } = cluster.facts.channels[0]!
    const first = publish(streamKey)
    await untilPlayable('demo')
    const before = await stream('demo')
    const page = await browser.newPage()
    await page.goto(`${cluster.facts.edges[0]!.http}/watch/demo`)
    await until('a picture', async () => ((await playerState(page))?.currentTime ?? 0) > 1)

    await first.kill()
    await new Promise((resolve) => setTimeout(resolve, awayMs))
    const held = await playerState(page)
    await using _second = publish(streamKey)
    await until('the page to play on', async () => {
      const now = await playerState(page)
      return now !== undefined && now.currentTime > (held?.currentTime ?? 0) + 2
    })
    const after = await stream('demo')
    expect(after.broadcastId).toBe(before.broadcastId)
    expect(after.transcoder.id).toBe(before.transcoder.id)
    expect(after.epoch).toBe(before.epoch)
    await page.close()
  })

  test('two channels that the ring gives to different transcoders live on both', async () => {
    const [one, other] = new HashRingPair(cluster.facts.transcoders.map(({ id }) => id)).liveIds
    const keys = await Promise.all(
      [one, other].map((liveId) =>
        cluster.api<{ streamKey: string }>('POST', '/api/v1/channels', { liveId }),
      ),
    )
    await using _first = publish(keys[0]!.streamKey)
    await using _second = publish(keys[1]!.streamKey)
    await Promise.all([untilPlayable(one), untilPlayable(other)])
    const streams = await Promise.all([stream(one), stream(other)])
    expect(streams[0].transcoder.id).not.toBe(streams[1].transcoder.id)
  })
})
