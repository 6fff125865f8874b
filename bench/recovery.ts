// Scenario `recovery`: what interrupts a stream, times the players that watch it in low latency. Measured is the
// time from the first new media in the playlist until the picture moves again by itself.
import { existsSync, readFileSync } from 'node:fs'
import type { Browser } from 'playwright-core'
import { launchBrowser } from '../test/support/browser.ts'
import { Cluster } from '../test/support/cluster.ts'
import { Encoder } from '../test/support/encoder.ts'
import { readLivePlaylist } from '../test/support/hls-text.ts'
import {
  type PlayerName,
  PlayerPage,
  PlayerStage,
  playerNames,
  trustArgument,
} from '../test/support/player-page.ts'
import { descendantsOf } from '../test/support/processes.ts'
import { TlsClient } from '../test/support/tls-client.ts'
import { until } from '../test/support/until.ts'
import type { Scenario, ScenarioResult } from './support/scenario.ts'
import { rounded, table } from './support/statistics.ts'

const goalSeconds = 6
const limitMs = 45_000
/** Played before and after, so that each interruption finds a player that has settled. */
const settleSeconds = 5
/** Shaka Player opens no HLS playlist that has nothing whole in its later half: pages open so long after an absence. */
const wholeSegmentsBefore = 4
/** A picture that has moved so far moves again. */
const movedSeconds = 0.5
const sizes = ['640x480', '640x360'] as const

interface Stage {
  cluster: Cluster
  client: TlsClient
  encoder: Encoder
  size: (typeof sizes)[number]
}

interface Interruption {
  name: string
  interrupt(stage: Stage): Promise<void>
}

interface Recovery {
  player: PlayerName
  interruption: string
  /** Undefined: not within the limit. */
  seconds: number | undefined
  errors: string[]
}

const interruptions: Interruption[] = [
  { name: 'encoder gone for 2.5 s', interrupt: (stage) => away(stage, 2_500) },
  { name: 'encoder gone for 20 s', interrupt: (stage) => away(stage, 20_000) },
  {
    name: 'ffmpeg killed',
    async interrupt({ cluster }) {
      const children = descendantsOf(cluster.facts.transcoders[0]!.pid)
      const ffmpeg = children.find(({ command }) => /^\S*ffmpeg /.test(command))
      if (ffmpeg) process.kill(ffmpeg.pid, 'SIGKILL')
    },
  },
  {
    name: 'another picture',
    async interrupt(stage) {
      stage.size = sizes.find((size) => size !== stage.size)!
      await away(stage, 0)
    },
  },
]

export const recovery: Scenario = {
  name: 'recovery',
  missing() {
    if (process.platform !== 'linux') return 'The recovery scenario needs Linux: it reads /proc.'
    if (!existsSync('/usr/bin/chromium')) return 'The recovery scenario needs chromium.'
    return undefined
  },
  async run({ progress }) {
    await using cluster = await Cluster.start()
    const { edges, caFile } = cluster.facts
    const stage: Stage = {
      cluster,
      client: new TlsClient(readFileSync(caFile)),
      encoder: publish(cluster, sizes[0]),
      size: sizes[0],
    }
    const browser = await launchBrowser(await trustArgument(edges[0]!.https, caFile))
    const found: Recovery[] = []
    try {
      for (const player of playerNames) {
        for (const interruption of interruptions) {
          progress(`recovery: ${player}, ${interruption.name}`)
          found.push(await recover(stage, browser, player, interruption))
        }
      }
    } finally {
      await browser.close()
      await stage.encoder.kill()
      stage.client.close()
    }
    return report(found)
  },
}

function publish(cluster: Cluster, size: string): Encoder {
  const { edges, channels, caFile } = cluster.facts
  const { streamKey } = channels[0]!
  return new Encoder({ server: edges[0]!.rtmps, streamKey, caFile, size })
}

async function away(stage: Stage, ms: number): Promise<void> {
  await stage.encoder.kill()
  await passing(ms)
  stage.encoder = publish(stage.cluster, stage.size)
}

function passing(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function mediaOf({ facts }: Cluster): string {
  return `${facts.edges[0]!.https}/live/${facts.channels[0]!.liveId}`
}

/** Of the sound, which is there whatever the picture is. */
async function listed({ cluster, client }: Stage) {
  const { status, body } = await client.get(`${mediaOf(cluster)}/audio.m3u8`)
  return status === 200 ? readLivePlaylist(body.toString()).segments : []
}

async function newest(stage: Stage): Promise<string | undefined> {
  const segment = (await listed(stage)).findLast(({ isGap }) => !isGap)
  return segment?.parts.findLast(({ isGap }) => !isGap)?.uri
}

async function wholeInARow(stage: Stage): Promise<number> {
  const whole = (await listed(stage)).filter(({ uri }) => uri !== undefined)
  return whole.length - 1 - whole.findLastIndex(({ isGap }) => isGap)
}

async function recover(
  stage: Stage,
  browser: Browser,
  player: PlayerName,
  { name, interrupt }: Interruption,
): Promise<Recovery> {
  await until('whole segments', async () => (await wholeInARow(stage)) >= wholeSegmentsBefore)
  await using pages = await PlayerStage.start()
  const media = mediaOf(stage.cluster)
  await using page = await PlayerPage.open({
    browser,
    stage: pages,
    player,
    media,
    mode: 'low-latency',
  })
  await page.played(settleSeconds, limitMs)
  const known = stage.encoder
  await interrupt(stage)
  // A killed ffmpeg interrupts no source: the media was never gone.
  if (stage.encoder !== known) {
    const last = await newest(stage)
    await until('new media', async () => (await newest(stage)) !== last, limitMs)
  }
  const backAt = performance.now()
  const { playedSeconds } = await page.state()
  const moved = async () => (await page.state()).playedSeconds - playedSeconds >= movedSeconds
  const isBack = await until('the picture to move', moved, limitMs).catch(() => false)
  const seconds = Math.max(0, (performance.now() - backAt) / 1000 - movedSeconds)
  const { errors } = await page.state()
  return {
    player,
    interruption: name,
    seconds: isBack ? seconds : undefined,
    errors: errors.map(({ text, isFatal }) => `${isFatal ? 'fatal: ' : ''}${text}`),
  }
}

function report(found: Recovery[]): ScenarioResult {
  const cell = (player: PlayerName, name: string) => {
    const it = found.find((one) => one.player === player && one.interruption === name)
    if (!it) return ''
    if (it.seconds === undefined) return `not within ${limitMs / 1000} s: missed`
    return `${rounded(it.seconds)}${it.seconds > goalSeconds ? ': missed' : ''}`
  }
  return {
    setting:
      `640x480 at 30 frames per second with ladder, parts of 0.5 s, one player at a time, once each. Seconds from the ` +
      `first new part in the playlist until the picture moves again; the goal is ${goalSeconds} s. 0 is no interruption.`,
    table: table([
      ['player', ...interruptions.map(({ name }) => name)],
      ...playerNames.map((player) => [
        player,
        ...interruptions.map(({ name }) => cell(player, name)),
      ]),
    ]),
    data: found,
  }
}
