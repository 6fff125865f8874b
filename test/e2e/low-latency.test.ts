// Low latency with every part real: published at one POP, played at another over TLS by players that are not ours,
// while a checker watches every playlist, MPD and sampled byte. What it took is measured by `npm run bench`.
import { readFileSync } from 'node:fs'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launchBrowser } from '../support/browser.ts'
import { Cluster } from '../support/cluster.ts'
import { Encoder } from '../support/encoder.ts'
import { type CheckerReport, LiveChecker } from '../support/live-checker.ts'
import { type PlayerName, PlayerPage, PlayerStage, trustArgument } from '../support/player-page.ts'

const playSeconds = 4

describe('a stream in low latency', () => {
  let cluster: Cluster
  let encoder: Encoder
  let checker: LiveChecker
  let browser: Browser
  let stage: PlayerStage
  let media: string

  beforeAll(async () => {
    cluster = await Cluster.start({ pops: 2 })
    const { edges, channels, caFile } = cluster.facts
    const { streamKey, liveId } = channels[0]!
    // One rung below the source, so that ladder, copied source and sound are all there.
    encoder = new Encoder({ server: edges[0]!.rtmps, streamKey, caFile, size: '640x480' })
    media = `${edges[1]!.https}/live/${liveId}`
    checker = await LiveChecker.start({ media, ca: readFileSync(caFile) })
    stage = await PlayerStage.start()
    browser = await launchBrowser(await trustArgument(edges[1]!.https, caFile))
  })

  afterAll(async () => {
    await browser?.close()
    await stage?.[Symbol.asyncDispose]()
    await checker?.[Symbol.asyncDispose]()
    await encoder?.[Symbol.asyncDispose]()
    await cluster?.[Symbol.asyncDispose]()
  })

  test.each<PlayerName>(['hls.js', 'dash.js', 'shaka-hls', 'shaka-dash'])(
    '%s plays',
    async (player) => {
      await using page = await PlayerPage.open({
        browser,
        stage,
        player,
        media,
        mode: 'low-latency',
      })
      const { errors } = await page.played(playSeconds)
      expect(errors.filter(({ isFatal }) => isFatal)).toEqual([])
    },
  )

  test('no client saw a rule broken, and everything was looked at', async () => {
    const report = await checker.stop()
    expect(faultLines(report)).toEqual([])
    expect(report.playlists.toSorted()).toEqual([
      '360p-iframes.m3u8',
      '360p.m3u8',
      '480p.m3u8',
      'audio.m3u8',
    ])
    expect(report.blockedReloads).toBeGreaterThan(20)
    expect(report.mpds).toBeGreaterThan(4)
    const { inits, parts, hints, segments, openSegments } = report.media
    expect(inits).toBe(3)
    for (const count of [parts, hints, segments, openSegments]) expect(count).toBeGreaterThan(2)
  })
})

function faultLines({ faults }: CheckerReport): string[] {
  return faults.map(({ where, rule, texts }) => `${where}: ${rule}\n${texts.join('\n---\n')}`)
}
