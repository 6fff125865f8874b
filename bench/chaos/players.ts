// What a killed transcoder costs those who watch: players in one Chromium, at another POP than the publisher's. Measured
// is how long each picture stood still after a kill, and, for comparison, in as much playback before it.
import { existsSync } from 'node:fs'
import { cpus } from 'node:os'
import { launchBrowser } from '../../test/support/browser.ts'
import {
  type BarePlayerState,
  type PlayerMode,
  type PlayerName,
  PlayerPage,
  PlayerStage,
  trustArgument,
} from '../../test/support/player-page.ts'
import { TakeoverStage } from '../../test/support/takeover-stage.ts'
import type { WatchedKill } from './players-table.ts'
import { killHolder } from './strikes.ts'

const size = '640x360'
/** Played before a kill, and again after it: buffers have emptied and filled by then. */
const watchedSeconds = 12
const limitMs = 60_000
const segmentMs = 2_000

const watchers: readonly { player: PlayerName; mode: PlayerMode }[] = [
  { player: 'hls.js', mode: 'low-latency' },
  { player: 'hls.js', mode: 'plain' },
  { player: 'dash.js', mode: 'low-latency' },
  { player: 'shaka-hls', mode: 'low-latency' },
  { player: 'shaka-dash', mode: 'low-latency' },
]

export function missingForPlayers(): string | undefined {
  return existsSync('/usr/bin/chromium') ? undefined : 'The players need chromium.'
}

export function playersSetting(runs: number): string {
  return (
    `${runs} kills of the transcoder (F5). ${size} at 30 frames a second from an RTMPS publisher, without a ladder; ` +
    `${watchers.length} players at once in one headless Chromium at another POP, on the machine of ${cpus().length} cores ` +
    `that all nodes and the publisher run on. A stall is a picture that stands still for more than 300 ms; watched are ` +
    `${watchedSeconds} s of playback after each kill, and as many before.`
  )
}

export async function watchKills(
  runs: number,
  progress: (text: string) => void,
): Promise<WatchedKill[]> {
  const stageOptions = { pops: 2, transcoders: 2, size, args: ['--ladder', 'passthrough'] }
  await using stage = await TakeoverStage.start(stageOptions)
  // The players are the viewers here; the audit would only take their processor time.
  await stage.audit[Symbol.asyncDispose]()
  const { edges, channels, caFile } = stage.cluster.facts
  const { https } = edges.at(-1)!
  const media = `${https}/live/${channels[0]!.liveId}`
  const browser = await launchBrowser(await trustArgument(https, caFile))
  await using pages = await PlayerStage.start()
  const found: WatchedKill[] = []
  try {
    const opened: PlayerPage[] = []
    for (const watcher of watchers) {
      const page = await PlayerPage.open({ browser, stage: pages, media, ...watcher })
      await page.played(2, limitMs)
      opened.push(page)
    }
    for (let run = 1; run <= runs; run++) {
      const kills = await watchOne(stage, opened)
      for (const it of kills) progress(`${run}/${runs} ${lineOf(it)}`)
      found.push(...kills)
    }
  } finally {
    await browser.close()
  }
  return found
}

async function watchOne(
  stage: TakeoverStage,
  pages: readonly PlayerPage[],
): Promise<WatchedKill[]> {
  const statesBefore = await Promise.all(pages.map((page) => page.state()))
  await Promise.all(pages.map((page) => page.played(watchedSeconds, limitMs)))
  await new Promise((resolve) => setTimeout(resolve, Math.random() * segmentMs))
  const statesAt = await Promise.all(pages.map((page) => page.state()))
  const { heal } = await killHolder(stage, 'transcoders')
  const played = await Promise.all(
    pages.map(async (page) => {
      const wentOn = await page.played(watchedSeconds, limitMs).then(
        () => true,
        () => false,
      )
      return { wentOn, state: await page.state() }
    }),
  )
  await heal()
  return played.map(({ wentOn, state }, i) => {
    return { ...differences(statesBefore[i]!, statesAt[i]!, state), player: pages[i]!.name, wentOn }
  })
}

function differences(
  before: BarePlayerState,
  at: BarePlayerState,
  after: BarePlayerState,
): Omit<WatchedKill, 'player' | 'wentOn'> {
  const moved = after.currentTime - at.currentTime
  return {
    stalledMs: after.stalledMs - at.stalledMs,
    stalls: after.stalls - at.stalls,
    stalledBeforeMs: at.stalledMs - before.stalledMs,
    reloads: after.reloads - at.reloads,
    skippedSeconds: Math.max(0, moved - (after.playedSeconds - at.playedSeconds)),
    errors: after.errors
      .slice(at.errors.length)
      .map(({ text, isFatal }) => `${isFatal ? 'fatal: ' : ''}${text}`),
  }
}

function lineOf({ player, stalledMs, stalledBeforeMs, reloads, wentOn, errors }: WatchedKill) {
  const stall = wentOn ? `stall ${Math.round(stalledMs)} ms` : 'did not go on'
  return `${player}: ${stall} (before: ${Math.round(stalledBeforeMs)}), ${reloads} reloads, ${errors.length} errors${errors.map((text) => `\n    ${text}`).join('')}`
}
