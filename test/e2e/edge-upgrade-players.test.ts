// Low-latency HLS and DASH in a browser, over HTTP/2, while another edge is killed and while the one that they play from
// is upgraded: nobody who watches may see either.
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { launchBrowser, type PlayerState, playerState } from '../support/browser.ts'
import { Cluster } from '../support/cluster.ts'
import { EdgeUpgrades } from '../support/edge-upgrade.ts'
import { Encoder } from '../support/encoder.ts'
import { trustArgument } from '../support/player-page.ts'
import { isRunning } from '../support/processes.ts'
import { RequestWatch } from '../support/request-watch.ts'
import { until } from '../support/until.ts'

/** More than what a player has buffered. */
const secondsBetween = 2
const secondsAfter = 5

interface Watching {
  protocol: 'hls' | 'dash'
  page: Page
  requests: RequestWatch
}

let cluster: Cluster
let upgrades: EdgeUpgrades
let encoder: Encoder
let browser: Browser
let watching: Watching[]

beforeAll(async () => {
  // The publisher has a POP of its own: what is judged is what viewers lose by their edge, or by one that they do not use.
  cluster = await Cluster.start({ pops: 3, args: ['--ladder', 'passthrough'] })
  upgrades = new EdgeUpgrades(cluster)
  const { edges, channels, caFile } = cluster.facts
  const { streamKey, liveId } = channels[0]!
  encoder = new Encoder({ server: edges[2]!.rtmps, streamKey, caFile, size: '640x360' })
  const { http, https } = edges[0]!
  await until('a playable playlist', async () => {
    return (await fetch(`${http}/live/${liveId}/index.m3u8`)).ok
  })
  browser = await launchBrowser(await trustArgument(https, caFile))
  watching = await Promise.all(
    (['hls', 'dash'] as const).map(async (protocol) => {
      const page = await browser.newPage()
      const requests = new RequestWatch(page)
      await page.goto(`${https}/watch/${liveId}?protocol=${protocol}`)
      return { protocol, page, requests }
    }),
  )
})

afterAll(async () => {
  await browser?.close()
  await encoder?.[Symbol.asyncDispose]()
  await upgrades?.[Symbol.asyncDispose]()
  await cluster?.[Symbol.asyncDispose]()
})

test('players see neither the death of another edge nor the upgrade of theirs', async () => {
  const [watched, other] = cluster.facts.edges
  await until('pictures', async () => (await states()).every((state) => state?.currentTime > 0.5))
  // Past the jump to the place to join.
  await played(1)
  const before = await states()
  expect(before).toMatchObject([
    { protocol: 'hls', latencyMode: 'low' },
    { protocol: 'dash', latencyMode: 'low' },
  ])
  await played(secondsBetween)

  process.kill(other!.pid, 'SIGKILL')
  await played(secondsBetween)

  const left = await upgrades.upgrade(watched!)
  await left()
  expect(isRunning(watched!.pid)).toBe(false)
  const finished = watching.map(({ requests }) => requests.finished)
  await played(secondsAfter)

  const after = await states()
  for (const [i, { page, requests }] of watching.entries()) {
    expect(requests.failures).toEqual([])
    expect(after[i]!.stalls).toBe(before[i]!.stalls)
    expect(requests.loads).toBe(1)
    expect(requests.finished).toBeGreaterThan(finished[i]!)
    expect(await protocolsOf(page)).toEqual(['h2'])
  }
})

function states(): Promise<PlayerState[]> {
  return Promise.all(watching.map(async ({ page }) => (await playerState(page))!))
}

/** So much more on every page. */
async function played(seconds: number): Promise<void> {
  const from = await states()
  const isPlayed = (state: PlayerState, i: number) =>
    state.currentTime >= from[i]!.currentTime + seconds
  await until(`${seconds} s more`, async () => (await states()).every(isPlayed))
}

/** By which the page had its answers. */
async function protocolsOf(page: Page): Promise<string[]> {
  const seen = await page.evaluate(() =>
    performance
      .getEntriesByType('resource')
      .map((entry) => (entry as unknown as { nextHopProtocol: string }).nextHopProtocol),
  )
  return [...new Set(seen)]
}
