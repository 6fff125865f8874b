// The whole road with every part real: RTMPS in at one POP, through a gateway and a transcoder, and out as HLS
// and DASH through another POP's cache, seen by a browser.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launchBrowser, pictureHash, playerState } from '../support/browser.ts'
import { Cluster } from '../support/cluster.ts'
import { Encoder } from '../support/encoder.ts'
import { until } from '../support/until.ts'

const run = promisify(execFile)
const playSeconds = 10

describe('a stream published at POP 1 and watched at POP 2', () => {
  let cluster: Cluster
  let encoder: Encoder
  let browser: Browser
  let watchBase: string

  beforeAll(async () => {
    cluster = await Cluster.start({ pops: 2, transcoders: 2 })
    const { edges, channels, caFile } = cluster.facts
    encoder = new Encoder({
      server: edges[0]!.rtmps,
      streamKey: channels[0]!.streamKey,
      size: '1280x720',
      bitrate: '2500k',
      caFile,
    })
    watchBase = edges[1]!.http
    browser = await launchBrowser()
    await until(
      'a playable playlist',
      async () => (await fetch(`${watchBase}/live/demo/index.m3u8`)).ok,
    )
  })

  afterAll(async () => {
    await browser?.close()
    await encoder?.[Symbol.asyncDispose]()
    await cluster?.[Symbol.asyncDispose]()
  })

  test.each(['hls', 'dash'] as const)('plays %s for 10 s without a stall', async (protocol) => {
    const page = await browser.newPage()
    await page.goto(`${watchBase}/watch/demo?protocol=${protocol}`)
    await untilAdvancing(page)
    const first = await playerState(page)
    expect(first?.protocol).toBe(protocol)
    const firstPicture = await pictureHash(page)
    const last = await until(`${playSeconds} s of picture`, async () => {
      const now = await playerState(page)
      return now && now.currentTime - first!.currentTime >= playSeconds ? now : undefined
    })
    expect(last.stalls).toBe(first!.stalls)
    expect(await pictureHash(page)).not.toBe(firstPicture)
    await page.close()
  })

  test('every rendition decodes without an error', async () => {
    const renditions = await variantUris(`${watchBase}/live/demo/index.m3u8`)
    expect(renditions.length).toBeGreaterThanOrEqual(3)
    for (const uri of renditions) {
      const { stdout } = await run('ffprobe', [
        ...['-v', 'error', '-show_entries', 'stream=codec_name,width,height', '-of', 'json'],
        uri,
      ])
      const { streams } = JSON.parse(stdout) as { streams: { codec_name: string }[] }
      expect(streams.map(({ codec_name }) => codec_name)).toContain('h264')
      const decoded = await run('ffmpeg', ['-v', 'error', '-t', '4', '-i', uri, '-f', 'null', '-'])
      expect(decoded.stderr).toBe('')
    }
  })

  test('a second viewer is served from the cache of the POP', async () => {
    const segment = await newestSegment(`${watchBase}/live/demo/index.m3u8`)
    await (await fetch(segment)).arrayBuffer()
    const again = await fetch(segment)
    await again.arrayBuffer()
    expect(again.headers.get('cache-status')).toMatch(/pop-2; hit/)
    expect(again.headers.get('content-type')).toMatch(/mp4|iso\.segment/)
    expect(again.headers.get('access-control-allow-origin')).toBe('*')
  })

  test('segments come from the home of the stream, none is asked of the transcoder twice', async () => {
    const segment = await newestSegment(`${watchBase}/live/demo/index.m3u8`)
    const { edges } = cluster.facts
    await Promise.all(
      edges.flatMap(({ http }) =>
        Array.from({ length: 10 }, async () => {
          const answer = await fetch(new URL(new URL(segment).pathname, http))
          expect(answer.status).toBe(200)
          await answer.arrayBuffer()
        }),
      ),
    )
    // Before the home has its first change the transcoder may still be asked.
    const asked = cluster.facts.transcoders
      .flatMap(({ id }) => cluster.log(id).split('\n'))
      .flatMap((line) => /"path":"([^"]+\.(?:m4s|mp4))"/.exec(line)?.[1] ?? [])
    expect(asked).not.toContain(new URL(segment).pathname)
    expect(asked.length).toBe(new Set(asked).size)
  })

  test('an unknown live id is answered with words', async () => {
    const answer = await fetch(`${watchBase}/live/nobody/index.m3u8`)
    expect(answer.status).toBe(404)
    expect(await answer.text()).toMatch(/unknown live id|not known/i)
  })

  test('the API tells the path of the stream', async () => {
    const stream = await cluster.api<Record<string, unknown>>('GET', '/api/v1/streams/demo')
    expect(stream).toMatchObject({
      liveId: 'demo',
      pop: { id: 'pop-1' },
      gateway: { id: 'gw-1' },
      transcoder: { id: expect.stringMatching(/^tc-/) },
      video: { width: 1280, height: 720 },
      audio: { sampleRate: 48000 },
    })
  })
})

async function untilAdvancing(page: Page): Promise<void> {
  await until(
    'a picture that moves',
    async () => ((await playerState(page))?.currentTime ?? 0) > 0.5,
  )
}

async function variantUris(multivariant: string): Promise<string[]> {
  const text = await (await fetch(multivariant)).text()
  const lines = text.split('\n')
  return lines.flatMap((line, i) =>
    line.startsWith('#EXT-X-STREAM-INF') ? [new URL(lines[i + 1]!, multivariant).href] : [],
  )
}

async function newestSegment(multivariant: string): Promise<string> {
  const [variant] = await variantUris(multivariant)
  const text = await (await fetch(variant!)).text()
  const uri = text.split('\n').findLast((line) => line !== '' && !line.startsWith('#'))
  return new URL(uri!, variant).href
}
