// A small stand-in for an edge: the built watch page under a strict policy, a status that the test sets, and
// real HLS and DASH that ffmpeg makes as the show goes on.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { extname, join, normalize } from 'node:path'
import type { ChannelStatus } from '../../common/contract/channel.ts'
import { until } from './until.ts'

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.m3u8': 'application/vnd.apple.mpegurl',
  '.mpd': 'application/dash+xml',
  '.m4s': 'video/iso.segment',
  '.mp4': 'video/mp4',
}

/** The policy that web/README.md asks of an edge, as far as it concerns the page. */
export const pagePolicy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
  "media-src 'self' blob:; worker-src 'self'; base-uri 'none'; form-action 'none'"

export const replayId = '3f0f7c1e-0d5c-4f5e-9b1a-0a4de1c7b5a2'

export interface PlayhouseOptions {
  /** Folder of the built page. */
  site: string
  liveId: string
}

export class Playhouse implements AsyncDisposable {
  status: ChannelStatus | 'no-such-channel' | 'broken'
  readonly #options: PlayhouseOptions
  readonly #dir: string
  readonly #server: Server
  #take = 0
  #encoder: ChildProcess | undefined

  static async start(options: PlayhouseOptions): Promise<Playhouse> {
    const dir = await mkdtemp(join(tmpdir(), 'nearcast-playhouse-'))
    const house = new Playhouse(options, dir)
    house.#server.listen(0, '127.0.0.1')
    await once(house.#server, 'listening')
    return house
  }

  constructor(options: PlayhouseOptions, dir: string) {
    this.#options = options
    this.#dir = dir
    this.#server = createServer((request, response) => {
      const { pathname } = new URL(request.url ?? '/', 'http://localhost')
      this.#serve(pathname, response).catch(() => answer(response, 404, 'text/plain', 'not here'))
    })
    this.status = {
      liveId: options.liveId,
      title: '',
      description: '',
      topic: null,
      state: 'offline',
      broadcastId: null,
      startedAt: null,
      takes: 0,
      viewers: 0,
      replayId: null,
    }
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Changes the status; a status that was no status starts from the last known facts. */
  set(change: Partial<ChannelStatus>): void {
    if (typeof this.status === 'string') throw new Error('set a whole status first')
    this.status = { ...this.status, ...change }
  }

  /** Starts a new take and resolves when its manifests are there. */
  async goLive(): Promise<void> {
    await this.stopEncoder()
    this.#take++
    const dir = this.#takeDir()
    await mkdir(dir, { recursive: true })
    this.#encoder = encode(['-re'], 600, dir, ['-window_size', '6', '-extra_window_size', '4'])
    await until('a live playlist', async () => {
      const files = ['media_0.m3u8', 'media_1.m3u8', 'media_2.m3u8', 'manifest.mpd']
      await Promise.all(files.map((file) => access(join(dir, file))))
      return true
    })
    this.set({ state: 'live', takes: this.#take })
  }

  /** The encoder is gone, as when its machine loses power. */
  async stopEncoder(): Promise<void> {
    const encoder = this.#encoder
    this.#encoder = undefined
    if (!encoder || encoder.exitCode !== null) return
    encoder.kill('SIGKILL')
    await once(encoder, 'exit')
  }

  /** Makes the recording that `replayId` names. */
  async makeReplay(seconds: number): Promise<void> {
    const dir = join(this.#dir, 'replay')
    await mkdir(dir, { recursive: true })
    const encoder = encode([], seconds, dir, [])
    const [code] = await once(encoder, 'exit')
    if (code !== 0) throw new Error(`ffmpeg ended with ${code}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopEncoder()
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
    await rm(this.#dir, { recursive: true, force: true })
  }

  #takeDir(): string {
    return join(this.#dir, `take-${this.#take}`)
  }

  async #serve(path: string, response: ServerResponse): Promise<void> {
    const { site, liveId } = this.#options
    const safe = normalize(path)
    if (safe.startsWith('/watch/')) {
      response.setHeader('content-security-policy', pagePolicy)
      return answer(response, 200, types['.html']!, await readFile(join(site, 'index.html')))
    }
    if (safe === `/live/${liveId}/status.json`) return this.#serveStatus(response)
    const file = safe.startsWith('/assets/')
      ? join(site, safe)
      : safe.startsWith(`/live/${liveId}/`)
        ? join(this.#takeDir(), safe.slice(`/live/${liveId}/`.length))
        : safe.startsWith(`/replay/${replayId}/`)
          ? join(this.#dir, 'replay', safe.slice(`/replay/${replayId}/`.length))
          : undefined
    if (!file) return answer(response, 404, 'text/plain', 'not here')
    answer(response, 200, types[extname(file)] ?? 'application/octet-stream', await readFile(file))
  }

  #serveStatus(response: ServerResponse): void {
    if (this.status === 'no-such-channel') {
      answer(response, 404, 'application/problem+json', '{"title":"No such channel"}')
    } else if (this.status === 'broken') {
      answer(response, 502, 'text/plain', 'no gateway')
    } else {
      answer(response, 200, 'application/json', JSON.stringify(this.status))
    }
  }
}

function answer(
  response: ServerResponse,
  status: number,
  type: string,
  body: string | Buffer,
): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' })
  response.end(body)
}

/**
 * Two renditions and one audio track in CMAF segments, under both kinds of manifest. Small and short, so that pages draw
 * little and wait little.
 */
function encode(before: string[], seconds: number, dir: string, muxer: string[]): ChildProcess {
  const args = [
    ...['-v', 'error', '-nostdin', ...before, '-f', 'lavfi', '-i', 'testsrc2=s=320x180:r=25'],
    ...['-f', 'lavfi', '-i', 'sine=f=330:r=48000', '-t', String(seconds)],
    ...['-map', '0:v', '-map', '0:v', '-map', '1:a', '-c:v', 'libx264', '-preset', 'ultrafast'],
    ...['-tune', 'zerolatency', '-pix_fmt', 'yuv420p', '-g', '25', '-keyint_min', '25'],
    ...['-sc_threshold', '0', '-b:v:0', '400k', '-b:v:1', '150k', '-s:v:1', '160x90'],
    ...['-c:a', 'aac', '-b:a', '96k', '-f', 'dash', '-seg_duration', '1', '-use_template', '1'],
    ...['-use_timeline', '1', '-hls_playlist', '1', '-hls_master_name', 'index.m3u8'],
    ...['-adaptation_sets', 'id=0,streams=v id=1,streams=a'],
    ...muxer,
    join(dir, 'manifest.mpd'),
  ]
  return spawn('ffmpeg', args, { stdio: ['ignore', 'ignore', 'inherit'] })
}
