// A bare page per player, as a third party would embed it: hls.js, dash.js and Shaka straight from their
// packages, in low latency or plain, playing from an edge over TLS.
//
// The pages come from a small server on loopback: nothing between player and edge is intercepted, because an
// interceptor would add to what is measured.
import { createHash, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:tls'
import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { pictureHash } from './browser.ts'
import { glassToGlassMs } from './stamped-picture.ts'
import { until } from './until.ts'

export const playerNames = ['hls.js', 'dash.js', 'shaka-hls', 'shaka-dash'] as const
export type PlayerName = (typeof playerNames)[number]
export type PlayerMode = 'low-latency' | 'plain'

export interface PlayerError {
  text: string
  isFatal: boolean
  atMs: number
}

export interface BarePlayerState {
  currentTime: number
  /** Without what was jumped over. */
  playedSeconds: number
  framesShown: number
  bufferedAheadSeconds: number
  playbackRate: number
  /** As the player itself sees it. */
  latencySeconds: number | null
  /** Height of the picture. */
  rendition: number | null
  version: string | null
  hasStarted: boolean
  isStalled: boolean
  /** How often the picture stood still for longer than 300 ms after it had started. */
  stalls: number
  stalledMs: number
  /** `waiting` events after the start: shorter stops than a stall are in here too. */
  waitings: number
  /** How often the media element was emptied after it had started: a player that began anew. */
  reloads: number
  errors: PlayerError[]
}

const modules = new URL('../../node_modules/', import.meta.url)
const libraries = {
  'hls.js': 'hls.js/dist/hls.min.js',
  'dash.js': 'dashjs/dist/modern/umd/dash.all.min.js',
  shaka: 'shaka-player/dist/shaka-player.compiled.js',
}
type Engine = keyof typeof libraries

const script = fileURLToPath(new URL('./player-page-script.js', import.meta.url))

function engineOf(player: PlayerName): Engine {
  return player === 'shaka-hls' || player === 'shaka-dash' ? 'shaka' : player
}

export function isDash(player: PlayerName): boolean {
  return player === 'dash.js' || player === 'shaka-dash'
}

/** Which manifest a player of that kind is given; plain DASH takes the one with explicit times. */
export function manifestFor(player: PlayerName, mode: PlayerMode): string {
  if (!isDash(player)) return 'index.m3u8'
  return mode === 'low-latency' ? 'manifest.mpd' : 'timeline.mpd'
}

/**
 * The argument that makes Chromium trust exactly the key of that server, after its certificate was checked
 * against the authority in `caFile`: a self-made authority cannot be handed to Chromium itself.
 */
export async function trustArgument(https: string, caFile: string): Promise<string> {
  const { hostname, port } = new URL(https)
  const socket = connect({
    host: hostname,
    port: Number(port),
    servername: hostname,
    ca: readFileSync(caFile),
  })
  try {
    await once(socket, 'secureConnect')
    const { raw } = socket.getPeerCertificate()
    const key = new X509Certificate(raw).publicKey.export({ type: 'spki', format: 'der' })
    const digest = createHash('sha256').update(key).digest('base64')
    return `--ignore-certificate-errors-spki-list=${digest}`
  } finally {
    socket.destroy()
  }
}

/** Serves the bare pages. */
export class PlayerStage implements AsyncDisposable {
  readonly #server: Server

  static async start(): Promise<PlayerStage> {
    const stage = new PlayerStage()
    stage.#server.listen(0, '127.0.0.1')
    await once(stage.#server, 'listening')
    return stage
  }

  private constructor() {
    this.#server = createServer((req, res) => {
      const { pathname } = new URL(req.url ?? '/', 'http://localhost')
      const engine = pathname.slice(1) as Engine
      const send = (type: string, body: string | Buffer) => {
        res.writeHead(200, { 'content-type': `${type}; charset=utf-8` }).end(body)
      }
      if (pathname === '/script.js') send('text/javascript', readFileSync(script))
      else if (engine in libraries) send('text/html', page(engine))
      else if (pathname.startsWith('/library/')) {
        const library = libraries[pathname.slice('/library/'.length) as Engine]
        if (library) send('text/javascript', readFileSync(new URL(library, modules)))
        else res.writeHead(404).end()
      } else res.writeHead(404).end()
    })
  }

  urlOf(player: PlayerName): string {
    const { port } = this.#server.address() as AddressInfo
    return `http://127.0.0.1:${port}/${engineOf(player)}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

function page(engine: Engine): string {
  return `<!doctype html><meta charset="utf-8"><title>${engine}</title>
<style>body { margin: 0 } video { width: 640px; height: 360px }</style>
<video muted autoplay playsinline></video>
<script src="/library/${engine}"></script>
<script src="/script.js"></script>`
}

export interface PlayerPageOptions {
  browser: Browser
  stage: PlayerStage
  player: PlayerName
  mode: PlayerMode
  /** URL of the folder of manifests, without the last slash; or of one manifest. */
  media: string
}

interface InPage {
  barePlayer: {
    start(options: { engine: string; url: string; lowLatency: boolean }): void
    state(): BarePlayerState
  }
}

export class PlayerPage implements AsyncDisposable {
  readonly name: string
  readonly #page: Page

  private constructor(name: string, page: Page) {
    this.name = name
    this.#page = page
  }

  /** Resolves when the player has been told what to play. */
  static async open(options: PlayerPageOptions): Promise<PlayerPage> {
    const { browser, stage, player, mode, media } = options
    const page = await browser.newPage()
    try {
      await page.goto(stage.urlOf(player))
      const isManifest = /\.(m3u8|mpd)$/.test(media)
      await page.evaluate((orders) => (globalThis as unknown as InPage).barePlayer.start(orders), {
        engine: engineOf(player),
        url: isManifest ? media : `${media}/${manifestFor(player, mode)}`,
        lowLatency: mode === 'low-latency',
      })
      return new PlayerPage(`${player}, ${mode}`, page)
    } catch (err) {
      await page.close()
      throw err
    }
  }

  async state(): Promise<BarePlayerState> {
    return await this.#page.evaluate(() => (globalThis as unknown as InPage).barePlayer.state())
  }

  /** Milliseconds from camera to screen; undefined before there is a picture. */
  async glassToGlassMs(): Promise<number | undefined> {
    return await glassToGlassMs(this.#page)
  }

  /** Two that differ prove that the picture moves. */
  async pictureHash(): Promise<number> {
    return await pictureHash(this.#page)
  }

  /** Resolves when that much more has been played; what is thrown tells what the player said. */
  async played(seconds: number, limitMs = 30_000): Promise<BarePlayerState> {
    let first: number | undefined
    let seen: BarePlayerState | undefined
    try {
      return await until(
        `${this.name} to play ${seconds} s`,
        async () => {
          seen = await this.state()
          if (!seen.hasStarted) return undefined
          first ??= seen.playedSeconds
          return seen.playedSeconds - first >= seconds ? seen : undefined
        },
        limitMs,
      )
    } catch (err) {
      throw new Error(`${this.name} does not play: ${JSON.stringify(seen)}`, { cause: err })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#page.close()
  }
}
