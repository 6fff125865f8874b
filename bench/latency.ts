// Scenario `latency`: glass to glass of every player, published at one POP by RTMPS and played at another over
// TLS, read from a clock burnt into the picture. Beside it, from an encoder with the same settings: nginx-rtmp's
// HLS and ffmpeg's own dash muxer. Players come one after another, because they share the machine.
import { existsSync } from 'node:fs'
import type { Browser } from 'playwright-core'
import { launchBrowser } from '../test/support/browser.ts'
import { Cluster } from '../test/support/cluster.ts'
import { Encoder } from '../test/support/encoder.ts'
import {
  isDash,
  type PlayerMode,
  type PlayerName,
  PlayerPage,
  PlayerStage,
  trustArgument,
} from '../test/support/player-page.ts'
import { stampFilters } from '../test/support/stamped-picture.ts'
import { until } from '../test/support/until.ts'
import { nginxRtmpMissing, startDashMuxer, startNginxRtmp } from './support/other-packagers.ts'
import type { Scenario, ScenarioResult } from './support/scenario.ts'
import { median, quantile, rounded, table } from './support/statistics.ts'

const encoder = { size: '1280x720', bitrate: '2500k', videoFilter: stampFilters() } as const
const warmUpMs = 12_000
const readingEveryMs = 500
const startLimitMs = 30_000
/** Unless `--seconds` asks for more. */
const leastSeconds = 20
/** Nothing may stall for so long. */
const steadySeconds = 180

interface Case {
  player: PlayerName
  mode: PlayerMode
  goalSeconds?: number
  /** Read for three minutes. */
  isSteady?: boolean
}

/** Of our packager, by the length of parts. */
const ours: { partSeconds: number; cases: Case[] }[] = [
  {
    partSeconds: 0.5,
    cases: [
      { player: 'hls.js', mode: 'low-latency', goalSeconds: 2.5, isSteady: true },
      { player: 'dash.js', mode: 'low-latency', goalSeconds: 2, isSteady: true },
      { player: 'shaka-hls', mode: 'low-latency', goalSeconds: 1.5 },
      { player: 'shaka-dash', mode: 'low-latency', goalSeconds: 1.5 },
      { player: 'hls.js', mode: 'plain' },
      { player: 'dash.js', mode: 'plain' },
      { player: 'shaka-hls', mode: 'plain' },
      { player: 'shaka-dash', mode: 'plain' },
    ],
  },
  {
    partSeconds: 0.2,
    cases: [
      { player: 'hls.js', mode: 'low-latency', goalSeconds: 1.4 },
      { player: 'dash.js', mode: 'low-latency' },
      { player: 'shaka-hls', mode: 'low-latency' },
      { player: 'shaka-dash', mode: 'low-latency' },
    ],
  },
]

interface Reading extends Case {
  packager: string
  glassMs: number[]
  /** As the player itself sees it. */
  playerSeconds: number[]
  playbackRate: number
  stalls: number
  stalledMs: number
  waitings: number
  errors: string[]
  /** Where there is no picture at all. */
  failure?: string
}

export const latency: Scenario = {
  name: 'latency',
  missing() {
    if (process.platform !== 'linux') return 'The latency scenario needs Linux.'
    if (!existsSync('/usr/bin/chromium')) return 'The latency scenario needs chromium.'
    return undefined
  },
  async run({ seconds: asked, progress }) {
    const seconds = Math.max(asked, leastSeconds)
    const readings: Reading[] = []
    const take = async (packager: string, media: Media, browser: Browser, cases: Case[]) => {
      for (const one of cases) {
        progress(`latency: ${packager}, ${one.player}, ${one.mode}`)
        const span = one.isSteady ? Math.max(seconds, steadySeconds) : seconds
        readings.push(await readPlayer(packager, media(one), browser, one, span))
      }
    }
    for (const { partSeconds, cases } of ours) {
      await using cluster = await Cluster.start({
        pops: 2,
        args: ['--ladder', 'passthrough', '--part-seconds', String(partSeconds)],
      })
      const { edges, channels, caFile } = cluster.facts
      await using _encoder = new Encoder({
        server: edges[0]!.rtmps,
        streamKey: channels[0]!.streamKey,
        caFile,
        ...encoder,
      })
      const media = `${edges[1]!.https}/live/${channels[0]!.liveId}`
      await playable(`${edges[1]!.http}/live/${channels[0]!.liveId}/index.m3u8`)
      const browser = await launchBrowser(await trustArgument(edges[1]!.https, caFile))
      try {
        await take(`nearcast, parts of ${partSeconds} s`, () => media, browser, cases)
      } finally {
        await browser.close()
      }
    }
    const browser = await launchBrowser()
    try {
      const missing = nginxRtmpMissing()
      if (missing) progress(missing)
      else {
        await using nginx = await startNginxRtmp()
        await using _encoder = new Encoder({ ...nginx.publish, ...encoder })
        await playable(nginx.hls)
        await take('nginx-rtmp', () => nginx.hls, browser, [
          { player: 'hls.js', mode: 'plain' },
          { player: 'shaka-hls', mode: 'plain' },
        ])
      }
      await using muxer = await startDashMuxer(encoder)
      await playable(muxer.mpd)
      await playable(muxer.hls)
      const manifest = ({ player }: Case) => (isDash(player) ? muxer.mpd : muxer.hls)
      await take('ffmpeg dash muxer', manifest, browser, [
        { player: 'dash.js', mode: 'low-latency' },
        { player: 'shaka-dash', mode: 'low-latency' },
        { player: 'hls.js', mode: 'plain' },
      ])
    } finally {
      await browser.close()
    }
    return report(readings, seconds)
  },
}

type Media = (one: Case) => string

async function playable(url: string): Promise<void> {
  await until(url, async () => (await fetch(url)).ok, startLimitMs)
}

async function readPlayer(
  packager: string,
  media: string,
  browser: Browser,
  one: Case,
  seconds: number,
): Promise<Reading> {
  const reading: Reading = {
    ...one,
    packager,
    glassMs: [],
    playerSeconds: [],
    playbackRate: Number.NaN,
    stalls: 0,
    stalledMs: 0,
    waitings: 0,
    errors: [],
  }
  await using stage = await PlayerStage.start()
  await using page = await PlayerPage.open({ browser, stage, media, ...one })
  try {
    await page.played(0.5, startLimitMs)
  } catch (err) {
    reading.failure = (err as Error).message
    return reading
  }
  await passing(warmUpMs)
  const before = await page.state()
  const endsAt = performance.now() + seconds * 1000
  while (performance.now() < endsAt) {
    const glass = await page.glassToGlassMs()
    const { latencySeconds } = await page.state()
    if (glass !== undefined) reading.glassMs.push(glass)
    if (latencySeconds !== null) reading.playerSeconds.push(latencySeconds)
    await passing(readingEveryMs)
  }
  const after = await page.state()
  return {
    ...reading,
    playbackRate: after.playbackRate,
    stalls: after.stalls - before.stalls,
    stalledMs: after.stalledMs - before.stalledMs,
    waitings: after.waitings - before.waitings,
    errors: after.errors.map(({ text, isFatal }) => `${isFatal ? 'fatal: ' : ''}${text}`),
  }
}

function passing(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function report(readings: Reading[], seconds: number): ScenarioResult {
  const lines = readings.map((it) => {
    const glass = median(it.glassMs) / 1000
    return [
      it.packager,
      `${it.player}, ${it.mode === 'plain' ? 'plain' : 'low latency'}`,
      it.failure ? 'no picture' : rounded(glass),
      rounded(quantile(it.glassMs, 0.95) / 1000),
      rounded(median(it.playerSeconds)),
      it.failure ? '–' : `${it.stalls}`,
      it.goalSeconds === undefined ? '' : `≤ ${it.goalSeconds}`,
      verdict(it, glass),
    ]
  })
  return {
    setting:
      `720p30 at 2.5 Mb/s, x264 zerolatency with a keyframe each 2 s, source copied; encoder, cluster of 2 POPs ` +
      `and Chromium on the same machine, one player at a time, ${warmUpMs / 1000} s to settle, then ${seconds} s of readings ` +
      `(three minutes for the first two). ` +
      `Seconds from the camera's clock to the same clock in the player's picture; a stall is a picture that stands ` +
      `still for longer than 300 ms.`,
    table: table([
      ['packager', 'player', 'median', 'p95', 'as the player says', 'stalls', 'goal', ''],
      ...lines,
    ]),
    data: readings,
  }
}

function verdict({ goalSeconds, stalls, failure }: Reading, glass: number): string {
  if (goalSeconds === undefined) return ''
  return !failure && glass <= goalSeconds && stalls === 0 ? 'met' : 'missed'
}
