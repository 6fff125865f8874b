// Real encoders publish by RTMPS to a real cluster, whose CA they trust in a mount namespace of their own.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launchBrowser } from '../support/browser.ts'
import { Cluster } from '../support/cluster.ts'
import { readMediaPlaylist } from '../support/media-playlist.ts'
import { type PlayerName, PlayerPage, PlayerStage, trustArgument } from '../support/player-page.ts'
import { until } from '../support/until.ts'
import { EncoderProcess } from './encoder-process.ts'
import { ffmpegCommand } from './ffmpeg.ts'
import { gstreamerCommand, gstreamerElements, type RtmpElement } from './gstreamer.ts'
import { ObsStudio } from './obs-studio.ts'
import { missing, type Requirement } from './requirements.ts'
import { TrustStore } from './trust-store.ts'

interface RunningEncoder extends AsyncDisposable {
  output: string
  isRunning: boolean
}

interface EncoderKind {
  name: string
  needs: Requirement[]
  start(server: string, key: string, trust?: TrustStore): Promise<RunningEncoder> | RunningEncoder
  /** What it says of a certificate that it does not trust; absent where it never checks (librtmp). */
  distrust?: RegExp
  /** What it says when its key is not known; the code of the reason where it shows that. */
  refusal: RegExp
}

const ofProgram =
  (command: (server: string, key: string) => string[]): EncoderKind['start'] =>
  (server, key, trust) => {
    const line = command(server, key)
    return new EncoderProcess(trust?.commandFor(line) ?? line)
  }

const gstreamer = (
  element: RtmpElement,
  provider: string,
): Pick<EncoderKind, 'needs' | 'start'> => ({
  needs: [
    { program: 'gst-launch-1.0', package: 'gstreamer1.0-tools' },
    { gstreamer: element, package: provider },
    ...gstreamerElements,
  ],
  start: ofProgram((server, key) => gstreamerCommand(element, server, key)),
})

const kinds: EncoderKind[] = [
  {
    name: 'ffmpeg',
    needs: [{ program: 'ffmpeg', package: 'ffmpeg' }],
    start: ofProgram(ffmpegCommand),
    distrust: /certificate failed verification|certificate verify failed/i,
    refusal: /key-unknown/,
  },
  {
    name: 'gstreamer-rtmp2sink',
    ...gstreamer('rtmp2sink', 'gstreamer1.0-plugins-bad'),
    distrust: /Unacceptable TLS certificate/,
    refusal: /key-unknown/,
  },
  {
    name: 'gstreamer-rtmpsink',
    ...gstreamer('rtmpsink', 'gstreamer1.0-plugins-bad'),
    refusal: /Could not connect to RTMP stream/,
  },
  {
    name: 'obs-studio',
    needs: [
      { program: 'obs', package: 'obs-studio obs-plugins libgl1-mesa-dri' },
      { program: 'Xvfb', package: 'xvfb' },
    ],
    start: (server, streamKey, trust) =>
      ObsStudio.start({ server, streamKey, ...(trust && { trust }) }),
    distrust: /Cert verify failed/,
    refusal: /key-unknown/,
  },
]

const machineBundle = '/etc/ssl/certs/ca-certificates.crt'
const bundleDigest = () =>
  existsSync(machineBundle)
    ? createHash('sha256').update(readFileSync(machineBundle)).digest('hex')
    : 'absent'

let cluster: Cluster
let trust: TrustStore
let digestBefore: string

beforeAll(async () => {
  digestBefore = bundleDigest()
  cluster = await Cluster.start()
  trust = new TrustStore(cluster.facts.caFile)
})
afterAll(async () => {
  trust?.[Symbol.dispose]()
  await cluster?.[Symbol.asyncDispose]()
  expect(bundleDigest(), 'the trust store of the machine').toBe(digestBefore)
})

const edge = () => cluster.facts.edges[0]!
const server = () => edge().rtmps

async function createChannel(liveId: string): Promise<string> {
  const { streamKey } = await cluster.api<{ streamKey: string }>('POST', '/api/v1/channels', {
    liveId,
  })
  return streamKey
}

interface LiveStream {
  video: { width: number; height: number; keyframeIntervalSeconds: number | null } | null
  audio: { channels: number } | null
  renditions: { name: string; isSource: boolean }[]
}

const liveStream = (liveId: string) => cluster.api<LiveStream>('GET', `/api/v1/streams/${liveId}`)

/** Kinds of tracks that ffprobe finds in the playlist at the edge. */
async function tracksAt(url: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)(
    'ffprobe',
    ['-v', 'error', '-show_entries', 'stream=codec_type', '-of', 'csv=p=0', url],
    { timeout: 30_000 },
  )
  return [...new Set(stdout.split('\n').map((line) => line.replace(/,/g, '').trim()))]
    .filter((line) => line !== '')
    .sort()
}

for (const kind of kinds) {
  const lack = missing('mount namespaces', { program: 'ffprobe', package: 'ffmpeg' }, ...kind.needs)

  describe.skipIf(lack)(lack ? `${kind.name} (${lack})` : kind.name, () => {
    it('publishes by RTMPS, and what it sends plays at the edge', async () => {
      const key = await createChannel(kind.name)
      await using encoder = await kind.start(server(), key, trust)
      const told = () => `${kind.name} to be live; it says:\n${encoder.output.slice(-2_000)}`
      const stream = await until(
        `${kind.name} to be live`,
        async () => {
          const found = await liveStream(kind.name)
          return found.video && found.audio && found.renditions.length > 0 ? found : undefined
        },
        60_000,
      ).catch((err) => {
        throw new Error(told(), { cause: err })
      })
      expect(stream).toMatchObject({ video: { width: 640, height: 360 }, audio: { channels: 2 } })
      const playlist = `${edge().http}/live/${kind.name}/index.m3u8`
      await until(`${playlist} to play`, async () => (await fetch(playlist)).ok)
      expect(await tracksAt(playlist)).toEqual(['audio', 'video'])
      expect(encoder.isRunning).toBe(true)
    })

    it.runIf(kind.distrust)('refuses a certificate that it does not trust', async () => {
      await using encoder = await kind.start(server(), 'nc_never-sent')
      await until('the encoder to complain', () => kind.distrust!.test(encoder.output)).catch(() =>
        expect(encoder.output).toMatch(kind.distrust!),
      )
    })

    it('is told that its key is not known', async () => {
      const key = `nc_${'x'.repeat(32)}`
      await using encoder = await kind.start(server(), key, trust)
      await until('the encoder to complain', () => kind.refusal.test(encoder.output)).catch(() =>
        expect(encoder.output).toMatch(kind.refusal),
      )
      expect(cluster.log('pop-1')).not.toContain(key)
    })
  })
}

const obs = kinds.find(({ name }) => name === 'obs-studio')!
const lack = missing('mount namespaces', ...obs.needs)

describe.skipIf(lack)('OBS Studio, refused for what it sends', () => {
  // OBS reads no status while it sends, so the verdict waits for its next try.
  it('shows the reason on its second attempt', async () => {
    const streamKey = await createChannel('obs-long-gop')
    await using studio = await ObsStudio.start({
      server: server(),
      streamKey,
      trust,
      keyframes: 900,
    })
    const reason = /keyframe-interval-too-long/
    await until('OBS to show the reason', () => reason.test(studio.output), 60_000).catch(() =>
      expect(studio.output).toMatch(reason),
    )
  })
})

// x264's own default, with which OBS comes: a keyframe each 250 frames, which is 8.33 s at 30 frames per second.
describe.skipIf(lack)('OBS Studio with its output settings untouched', () => {
  const liveId = 'obs-untouched'
  const media = (name: string) => `${edge().http}/live/${liveId}/${name}`
  const noBrowser = missing({
    program: process.env.NEARCAST_TEST_BROWSER ?? '/usr/bin/chromium',
    package: 'chromium',
  })
  let studio: ObsStudio

  beforeAll(async () => {
    const streamKey = await createChannel(liveId)
    studio = await ObsStudio.start({ server: server(), streamKey, trust, keyframes: 'untouched' })
  })
  afterAll(async () => {
    await studio?.[Symbol.asyncDispose]()
  })

  it('is cut into segments of 2 s, of a source that is encoded for it', async () => {
    const { segments } = await until(
      'four segments',
      async () => {
        const answer = await fetch(media('360p.m3u8'))
        const playlist = answer.ok && readMediaPlaylist(await answer.text())
        return playlist && playlist.segments.length >= 4 && playlist
      },
      60_000,
    )
    for (const segment of segments) {
      expect(segment.durationSeconds).toBeCloseTo(2, 2)
      expect(segment).toMatchObject({ isGap: false, hasDiscontinuity: false })
    }
  })

  it.each(['index.m3u8', 'timeline.mpd'])('is decoded from %s without an error', async (name) => {
    const { stderr } = await promisify(execFile)(
      'ffmpeg',
      ['-v', 'error', '-t', '5', '-i', media(name), '-map', '0', '-f', 'null', '-'],
      { timeout: 60_000 },
    )
    expect(stderr).toBe('')
  })

  it.skipIf(noBrowser).each<PlayerName>(['hls.js', 'dash.js'])('plays in %s', async (player) => {
    await using stage = await PlayerStage.start()
    const browser = await launchBrowser(await trustArgument(edge().https, cluster.facts.caFile))
    try {
      const folder = `${edge().https}/live/${liveId}`
      const options = { browser, stage, player, media: folder, mode: 'low-latency' as const }
      await using page = await PlayerPage.open(options)
      await page.played(1)
      const before = await page.pictureHash()
      const { errors } = await page.played(3)
      expect(await page.pictureHash()).not.toBe(before)
      expect(errors.filter(({ isFatal }) => isFatal)).toEqual([])
    } finally {
      await browser.close()
    }
  })

  it('tells operators how far apart the keyframes are, and what to set', async () => {
    const { video, renditions } = await until('a second keyframe', async () => {
      const found = await liveStream(liveId)
      return found.video?.keyframeIntervalSeconds != null && found
    })
    expect(video?.keyframeIntervalSeconds).toBeCloseTo(250 / 30, 1)
    expect(renditions).toMatchObject([{ name: '360p', isSource: true }, { name: 'audio' }])
    expect(cluster.log(cluster.facts.transcoders[0]!.id)).toMatch(
      /"level":40.*"obs-untouched".*keyframes lie too far apart.*Set the encoder to one each 2 s/,
    )
  })
})
