// Scenario `road`: how long the whole road of a stream takes, with every part real. Each round boots a cluster,
// publishes 720p30 by RTMPS at one POP and watches at the other one in Chromium.
import { existsSync, readFileSync } from 'node:fs'
import { launchBrowser, playerState } from '../test/support/browser.ts'
import { Cluster } from '../test/support/cluster.ts'
import { Encoder } from '../test/support/encoder.ts'
import { descendantsOf } from '../test/support/processes.ts'
import { glassToGlassMs, stampFilters } from '../test/support/stamped-picture.ts'
import { until } from '../test/support/until.ts'
import type { Scenario, ScenarioOptions, ScenarioResult } from './support/scenario.ts'
import { median, rounded, table } from './support/statistics.ts'

const protocols = ['hls', 'dash'] as const
const settleMs = 8_000
const readingEveryMs = 500

interface Round {
  readyMs: number
  playableMs: number
  glassToGlassMs: Record<(typeof protocols)[number], number[]>
  firstPictureMs: Record<(typeof protocols)[number], number>
  residentBytes: Record<string, number>
}

export const road: Scenario = {
  name: 'road',
  missing() {
    if (process.platform !== 'linux') return 'The road scenario needs Linux: it reads /proc.'
    if (!existsSync('/usr/bin/chromium')) return 'The road scenario needs chromium.'
    return undefined
  },
  async run(options) {
    const rounds: Round[] = []
    for (let i = 0; i < options.rounds; i++) {
      options.progress(`road: round ${i + 1}/${options.rounds}`)
      rounds.push(await runRound(options))
    }
    return report(rounds, options)
  },
}

async function runRound({ seconds }: ScenarioOptions): Promise<Round> {
  const bootedAt = performance.now()
  await using cluster = await Cluster.start({ pops: 2, transcoders: 2 })
  const readyMs = performance.now() - bootedAt
  const { edges, channels, caFile } = cluster.facts
  const watch = edges[1]!.http
  const publishedAt = performance.now()
  await using _encoder = new Encoder({
    server: edges[0]!.rtmps,
    streamKey: channels[0]!.streamKey,
    size: '1280x720',
    bitrate: '2500k',
    videoFilter: stampFilters(),
    caFile,
  })
  await until('a playable playlist', async () => (await fetch(`${watch}/live/demo/index.m3u8`)).ok)
  const playableMs = performance.now() - publishedAt
  const round: Round = {
    readyMs,
    playableMs,
    glassToGlassMs: { hls: [], dash: [] },
    firstPictureMs: { hls: Number.NaN, dash: Number.NaN },
    residentBytes: {},
  }
  const browser = await launchBrowser()
  for (const protocol of protocols) {
    const page = await browser.newPage()
    await page.goto(`${watch}/watch/demo?protocol=${protocol}`)
    await until('a picture', async () => ((await playerState(page))?.currentTime ?? 0) > 0.5)
    await new Promise((resolve) => setTimeout(resolve, settleMs))
    for (let at = 0; at < seconds * 1000; at += readingEveryMs) {
      const reading = await glassToGlassMs(page)
      if (reading !== undefined) round.glassToGlassMs[protocol].push(reading)
      await new Promise((resolve) => setTimeout(resolve, readingEveryMs))
    }
    round.firstPictureMs[protocol] = (await playerState(page))?.timeToFirstPictureMs ?? Number.NaN
    await page.close()
  }
  round.residentBytes = residentBytes(cluster)
  await browser.close()
  return round
}

function isEncoder({ command }: { command: string }): boolean {
  return /^\S*ffmpeg /.test(command)
}

function residentBytes({ facts }: Cluster): Record<string, number> {
  const busiest = facts.transcoders.find(({ pid }) => descendantsOf(pid).some(isEncoder))
  const children = busiest ? descendantsOf(busiest.pid) : []
  const pids: Record<string, number | undefined> = {
    coordinator: facts.coordinator.pid,
    'edge of the publisher': facts.edges[0]?.pid,
    'edge of the viewer': facts.edges[1]?.pid,
    gateway: facts.gateways[0]?.pid,
    transcoder: busiest?.pid,
    'RTMP receiver': children.find((child) => !isEncoder(child))?.pid,
    'ffmpeg (480p and 360p)': children.find(isEncoder)?.pid,
  }
  return Object.fromEntries(
    Object.entries(pids).map(([name, pid]) => {
      const status = pid ? readFileSync(`/proc/${pid}/status`, 'utf8') : ''
      return [name, Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN) * 1024]
    }),
  )
}

function report(rounds: Round[], { seconds }: ScenarioOptions): ScenarioResult {
  const over = (pick: (round: Round) => number) => rounded(median(rounds.map(pick)))
  const glass = (protocol: (typeof protocols)[number]) =>
    rounded(median(rounds.flatMap((round) => round.glassToGlassMs[protocol])) / 1000)
  const worst = (protocol: (typeof protocols)[number]) =>
    rounded(Math.max(...rounds.flatMap((round) => round.glassToGlassMs[protocol])) / 1000)
  const lines = [
    ['what', 'median'],
    ['`up` to ready, s', over((round) => round.readyMs / 1000)],
    ['encoder started to playable playlist, s', over((round) => round.playableMs / 1000)],
    ...protocols.flatMap((protocol) => {
      const name = protocol.toUpperCase()
      return [
        [
          `${name}: page opened to first picture, s`,
          over((r) => r.firstPictureMs[protocol] / 1000),
        ],
        [`${name}: glass to glass, s`, `${glass(protocol)} (worst ${worst(protocol)})`],
      ]
    }),
    ...Object.keys(rounds[0]!.residentBytes).map((name) => [
      `RSS of the ${name}, MB`,
      over((round) => (round.residentBytes[name] ?? Number.NaN) / 1e6),
    ]),
  ]
  return {
    setting:
      `720p30 at 2.5 Mb/s, x264 zerolatency with a keyframe each 2 s, 2 s segments; encoder, cluster of ` +
      `2 POPs, gateway and 2 transcoders, and Chromium on the same machine; ${rounds.length} rounds, ` +
      `${seconds} s of readings for each player.`,
    table: table(lines),
    data: rounds,
  }
}
