// Serves manifests from the segment logs and media from disk, to gateways and to nobody else.
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Clock } from '../../common/clock.ts'
import type { ClusterAuth } from '../../common/cluster/cluster-auth.ts'
import type { Logger } from '../../common/log.ts'
import { createNetworkList, type NetworkList } from '../../common/net/allowed-networks.ts'
import { listen } from '../../common/net/listen.ts'
import { requestFault } from '../../common/net/request-guard.ts'
import type { BroadcastFolder } from '../archive/broadcast-folder.ts'
import { liveMpd, type MpdSettings, replayMpd } from '../packager/dash-manifests.ts'
import {
  liveMediaPlaylist,
  liveMultivariant,
  replayMediaPlaylist,
  replayMultivariant,
} from '../packager/hls-manifests.ts'
import { type PlaybackPath, parsePlaybackPath, type Source } from './playback-path.ts'
import type { TranscoderMetrics } from './transcoder-metrics.ts'

export interface PlaybackServerOptions {
  host: string
  port: number
  trustedNetworks: readonly string[]
  auth: ClusterAuth
  manifest: MpdSettings
  clock: Clock
  log: Logger
  metrics: Pick<TranscoderMetrics, 'served'>
  liveFolder: (liveId: string) => BroadcastFolder | undefined
  replayFolder: (recordingId: string) => Promise<BroadcastFolder | undefined>
}

const immutable = 'public, max-age=31536000, immutable'
/** Less than half a target duration, so that a player never waits for a cache. */
const shortLived = 'public, max-age=1'
const uncached = 'no-store'
const types = {
  playlist: 'application/vnd.apple.mpegurl',
  mpd: 'application/dash+xml',
  init: 'video/mp4',
  segment: 'video/iso.segment',
  audioInit: 'audio/mp4',
}

interface Answer {
  status: number
  type: string
  cacheControl: string
  body: string | { file: string }
}

export class PlaybackServer implements AsyncDisposable {
  readonly #options: PlaybackServerOptions
  readonly #trusted: NetworkList
  readonly #server: Server
  #port = 0

  constructor(options: PlaybackServerOptions) {
    this.#options = options
    this.#trusted = createNetworkList(options.trustedNetworks)
    this.#server = createServer({ headersTimeout: 10_000, requestTimeout: 15_000 })
    this.#server.keepAliveTimeout = 60_000
    this.#server.on('upgrade', (_request, socket) => socket.destroy())
    // Without the other two Node answers `100 Continue` by itself.
    for (const event of ['request', 'checkContinue', 'checkExpectation']) {
      this.#server.on(event, (request, response) => void this.#onRequest(request, response))
    }
  }

  get port(): number {
    return this.#port
  }

  async start(): Promise<void> {
    const { port } = await listen(this.#server, this.#options)
    this.#port = port
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.#server.closeIdleConnections()
    const timer = this.#options.clock.setTimeout(() => this.#server.closeAllConnections(), 1_000)
    await closed
    timer.cancel()
  }

  async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#options.log.debug({ path: request.url }, 'asked')
    try {
      // What follows on such a connection cannot be trusted to start where we think it does.
      if (requestFault(request)) response.shouldKeepAlive = false
      const answer = await this.#answer(request)
      await this.#send(request, response, answer.answer, answer.kind)
    } catch (err) {
      // A reader that leaves in the middle is no fault of anybody.
      this.#options.log.debug({ err }, 'request failed')
      response.destroy()
    }
  }

  async #answer(request: IncomingMessage): Promise<{ kind: string; answer: Answer }> {
    const fault = requestFault(request)
    if (fault) return { kind: 'unknown', answer: refused(fault.status, 'malformed', fault.reason) }
    const path = parsePlaybackPath(request.url ?? '')
    const kind = path?.kind ?? 'unknown'
    if (!(await this.#isAllowed(request))) {
      return {
        kind,
        answer: refused(403, 'forbidden', 'This node answers to gateways of its cluster only.'),
      }
    }
    if (!path) return { kind, answer: refused(404, 'path-unknown', 'No such path here.') }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return { kind, answer: refused(405, 'method', 'Only GET and HEAD.') }
    }
    return { kind, answer: await this.#find(path) }
  }

  async #isAllowed(request: IncomingMessage): Promise<boolean> {
    if (this.#trusted.includes(request.socket.remoteAddress)) return true
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]
    return token !== undefined && (await this.#options.auth.verifyNodeToken(token)) !== undefined
  }

  async #find(path: PlaybackPath): Promise<Answer> {
    const { manifest, clock } = this.#options
    if (path.kind === 'time') {
      const body = new Date(clock.now()).toISOString()
      return { status: 200, type: 'text/plain; charset=utf-8', cacheControl: uncached, body }
    }
    const isLive = path.from.kind === 'live'
    const folder = await this.#folder(path.from)
    if (!folder) {
      return isLive
        ? refused(404, 'offline', 'This stream is not live here.')
        : refused(404, 'recording-unknown', 'No such recording here.')
    }
    const { log } = folder
    if (log.rows.length === 0) return refused(404, 'not-yet', 'Nothing to play yet.')
    switch (path.kind) {
      case 'multivariant':
        return manifestAnswer(
          isLive ? liveMultivariant(log, manifest) : replayMultivariant(log),
          types.playlist,
        )
      case 'playlist':
        return manifestAnswer(
          isLive
            ? liveMediaPlaylist(log, manifest, path.rendition)
            : replayMediaPlaylist(log, manifest, path.rendition),
          types.playlist,
        )
      case 'mpd': {
        const body = isLive ? liveMpd(log, manifest, clock.now()) : replayMpd(log, manifest)
        return manifestAnswer(body, types.mpd)
      }
      case 'init':
      case 'segment': {
        const take = log.takeNamed(path.take)
        const rendition = take?.renditions.find((it) => it.name === path.rendition)
        if (!take || !rendition)
          return refused(404, 'segment-unknown', 'No such take or rendition.')
        const name = path.kind === 'init' ? 'init.mp4' : `${path.number}.m4s`
        const file = join(folder.renditionPath(take, rendition.name), name)
        const type = path.kind === 'segment' ? types.segment : types.init
        return { status: 200, type, cacheControl: immutable, body: { file } }
      }
    }
  }

  async #folder(from: Source): Promise<BroadcastFolder | undefined> {
    return from.kind === 'live'
      ? this.#options.liveFolder(from.liveId)
      : await this.#options.replayFolder(from.recordingId)
  }

  async #send(
    request: IncomingMessage,
    response: ServerResponse,
    answer: Answer,
    kind: string,
  ): Promise<void> {
    const { metrics } = this.#options
    if (typeof answer.body === 'object') {
      const file = await open(answer.body.file).catch(() => undefined)
      if (!file)
        return await this.#send(
          request,
          response,
          refused(404, 'segment-unknown', 'No such segment.'),
          kind,
        )
      try {
        const { size } = await file.stat()
        writeHead(response, answer, size)
        metrics.served(kind, answer.status, request.method === 'HEAD' ? 0 : size)
        if (request.method === 'HEAD') response.end()
        else {
          const stream = createReadStream('', { fd: file, autoClose: false, end: size - 1 })
          await pipeline(stream, response)
        }
      } finally {
        await file.close()
      }
      return
    }
    const body = Buffer.from(answer.body)
    writeHead(response, answer, body.length)
    metrics.served(kind, answer.status, body.length)
    response.end(request.method === 'HEAD' ? undefined : body)
  }
}

function writeHead(response: ServerResponse, answer: Answer, length: number): void {
  response.writeHead(answer.status, {
    'content-type': answer.type,
    'cache-control': answer.cacheControl,
    'content-length': length,
    'access-control-allow-origin': '*',
    'x-content-type-options': 'nosniff',
  })
}

function manifestAnswer(body: string | undefined, type: string): Answer {
  if (body === undefined) return refused(404, 'rendition-unknown', 'No such rendition.')
  return { status: 200, type, cacheControl: shortLived, body }
}

function refused(status: number, error: string, message: string): Answer {
  const body = `${JSON.stringify({ error, message })}\n`
  const cacheControl = status === 404 ? 'max-age=0' : uncached
  return { status, type: 'application/json', cacheControl, body }
}
