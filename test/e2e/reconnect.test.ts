// Encoders that come and go: same broadcast, same transcoder, and the page plays on by itself.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { launchBrowser, playerState } from '../support/browser.ts'
import { Cluster } from '../support/cluster.ts'
import { Encoder } from '../support/encoder.ts'
import { liveIdsOnDifferentNodes } from '../support/ring-pair.ts'
import { until } from '../support/until.ts'

interface StreamFacts {
  broadcastId: string
  epoch: number
  transcoder: { id: string }
}

const awayMs = 20_000

let cluster: Cluster

beforeAll(async () => {
  cluster = await Cluster.start({ transcoders: 2 })
})

afterAll(() => cluster?.[Symbol.asyncDispose]())

function publish(streamKey: string): Encoder {
  const { edges, caFile } = cluster.facts
  return new Encoder({ server: edges[0]!.rtmps, streamKey, caFile, size: '320x180' })
}

function streamOf(liveId: string): Promise<StreamFacts> {
  return cluster.api<StreamFacts>('GET', `/api/v1/streams/${liveId}`)
}

async function untilPlayable(liveId: string): Promise<void> {
  const url = `${cluster.facts.edges[0]!.http}/live/${liveId}/index.m3u8`
  await until('a playable playlist', async () => (await fetch(url)).ok)
}

// The second has its time while the first is away.
test.concurrent('an encoder killed and back after 20 s keeps its transcoder, and pages recover', async () => {
  await using browser = await launchBrowser()
  const { streamKey } = cluster.facts.channels[0]!
  const first = publish(streamKey)
  await untilPlayable('demo')
  const before = await streamOf('demo')
  const pages = await Promise.all(
    ['hls', 'dash'].map(async (protocol) => {
      const page = await browser.newPage()
      await page.goto(`${cluster.facts.edges[0]!.http}/watch/demo?protocol=${protocol}`)
      await until('a picture', async () => ((await playerState(page))?.currentTime ?? 0) > 1)
      return page
    }),
  )

  await first.kill()
  await new Promise((resolve) => setTimeout(resolve, awayMs))
  const held = await Promise.all(pages.map((page) => playerState(page)))
  await using _second = publish(streamKey)
  for (const [i, page] of pages.entries()) {
    await until('the page to play on', async () => {
      const now = await playerState(page)
      return now !== undefined && now.currentTime > (held[i]?.currentTime ?? 0) + 2
    })
  }
  const after = await streamOf('demo')
  expect(after.broadcastId).toBe(before.broadcastId)
  expect(after.transcoder.id).toBe(before.transcoder.id)
  expect(after.epoch).toBe(before.epoch)
})

test.concurrent('two channels that the ring gives to different transcoders live on both', async () => {
  const liveIds = liveIdsOnDifferentNodes(cluster.facts.transcoders.map(({ id }) => id))
  const [one, other] = await Promise.all(
    liveIds.map((liveId) =>
      cluster.api<{ streamKey: string }>('POST', '/api/v1/channels', { liveId }),
    ),
  )
  await using _first = publish(one!.streamKey)
  await using _second = publish(other!.streamKey)
  await Promise.all(liveIds.map((liveId) => untilPlayable(liveId)))
  const streams = await Promise.all(liveIds.map((liveId) => streamOf(liveId)))
  expect(new Set(streams.map(({ transcoder }) => transcoder.id)).size).toBe(2)
})
