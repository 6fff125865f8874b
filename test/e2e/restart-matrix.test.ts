// What interrupts a stream, times the players that watch it: each must show a moving picture again by itself,
// and nothing that is published meanwhile may break a rule.
import { readFileSync } from 'node:fs'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { launchBrowser } from '../support/browser.ts'
import { Cluster } from '../support/cluster.ts'
import { Encoder } from '../support/encoder.ts'
import { type CheckerReport, LiveChecker } from '../support/live-checker.ts'
import { type PlayerName, PlayerPage, PlayerStage, trustArgument } from '../support/player-page.ts'
import { descendantsOf } from '../support/processes.ts'
import { until } from '../support/until.ts'

const players: PlayerName[] = ['hls.js', 'dash.js', 'shaka-hls']
/** How long a publisher is away: long enough that every player runs dry, and that gaps are listed meanwhile. */
const awayMs = 6_500
/** Played after the interruption: more than what a player may still have had. */
const playSeconds = 4

let cluster: Cluster
let encoder: Encoder
let checker: LiveChecker
let browser: Browser
let stage: PlayerStage
let pages: PlayerPage[]

function publish(size = '640x480'): Encoder {
  const { edges, channels, caFile } = cluster.facts
  const { streamKey } = channels[0]!
  return new Encoder({ server: edges[0]!.rtmps, streamKey, caFile, size })
}

beforeAll(async () => {
  cluster = await Cluster.start()
  const { edges, channels, caFile } = cluster.facts
  encoder = publish()
  const media = `${edges[0]!.https}/live/${channels[0]!.liveId}`
  checker = await LiveChecker.start({ media, ca: readFileSync(caFile) })
  // Shaka 5.2 looks into three segments for captions, and fails for good when one of them is open.
  await until('three whole segments', () => checker.report.lastNumber > 3)
  stage = await PlayerStage.start()
  browser = await launchBrowser(await trustArgument(edges[0]!.https, caFile))
  pages = await Promise.all(
    players.map((player) =>
      PlayerPage.open({ browser, stage, player, media, mode: 'low-latency' }),
    ),
  )
  await Promise.all(pages.map((page) => page.played(1)))
})

afterAll(async () => {
  await browser?.close()
  await stage?.[Symbol.asyncDispose]()
  await checker?.[Symbol.asyncDispose]()
  await encoder?.[Symbol.asyncDispose]()
  await cluster?.[Symbol.asyncDispose]()
})

async function interrupted(interrupt: () => Promise<void>): Promise<void> {
  const { lastNumber } = checker.report
  await interrupt()
  // A picture that only empties its buffer proves nothing: wait for media that came after.
  await until('media after the interruption', () => checker.report.lastNumber > lastNumber + 2)
  await Promise.all(pages.map((page) => page.played(playSeconds)))
  expect(faultLines(checker.report)).toEqual([])
}

test('a publisher who is gone for 6.5 s is awaited by all players', async () => {
  await interrupted(async () => {
    await encoder.kill()
    await new Promise((resolve) => setTimeout(resolve, awayMs))
    encoder = publish()
  })
  expect(checker.report.discontinuities).toBe(2)
})

test('an ffmpeg that is killed is made good without a discontinuity', async () => {
  await interrupted(async () => {
    const transcoder = cluster.facts.transcoders[0]!
    const ffmpeg = descendantsOf(transcoder.pid).find(({ command }) => /^\S*ffmpeg /.test(command))
    process.kill(ffmpeg!.pid, 'SIGKILL')
  })
  expect(checker.report.discontinuities).toBe(2)
})

test('a publisher who comes back with another picture is followed by all players', async () => {
  await interrupted(async () => {
    await encoder.kill()
    encoder = publish('640x360')
  })
  expect(checker.report.discontinuities).toBe(3)
  expect(await checker.stop()).toMatchObject({ faults: [], isEnded: false })
})

function faultLines({ faults }: CheckerReport): string[] {
  return faults.map(({ where, rule, texts }) => `${where}: ${rule}\n${texts.join('\n---\n')}`)
}
