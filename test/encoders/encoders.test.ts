// Real encoders publish by RTMPS to a real cluster, whose CA they trust in a mount namespace of their own.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Cluster } from '../support/cluster.ts'
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
  video: { width: number; height: number } | null
  audio: { channels: number } | null
  renditions: unknown[]
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
      keyframeFrames: 900,
    })
    const reason = /keyframe-interval-too-long/
    await until('OBS to show the reason', () => reason.test(studio.output), 60_000).catch(() =>
      expect(studio.output).toMatch(reason),
    )
  })
})
