// Serves manifests and media to gateways and to nobody else: what is live from memory, what is not from disk.
import { createReadStream } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Clock } from '../../common/clock.ts'
import type { ClusterAuth } from '../../common/cluster/cluster-auth.ts'
import { standInPath } from '../../common/contract/stand-in.ts'
import { LiveAnswers, type LiveStream } from '../../common/live/live-answers.ts'
import type { LiveBroadcast } from '../../common/live/live-broadcast.ts'
import {
  type Answer,
  manifestAnswer,
  mediaAnswer,
  refused,
  renditionUnknown,
  type SegmentName,
  segmentUnknown,
  types,
  uncached,
} from '../../common/live/playback-answer.ts'
import {
  type PlaybackPath,
  parseDirectives,
  parsePlaybackPath,
} from '../../common/live/playback-path.ts'
import { streamSegment } from '../../common/live/segment-stream.ts'
import type { Logger } from '../../common/log.ts'
import { createNetworkList, type NetworkList } from '../../common/net/allowed-networks.ts'
import { listen } from '../../common/net/listen.ts'
import { requestFault } from '../../common/net/request-guard.ts'
import { progressPath } from '../../common/relay/progress-lines.ts'
import type { BroadcastFolder } from '../archive/broadcast-folder.ts'
import { replayMpd } from '../packager/dash-replay.ts'
import {
  type ReplaySettings,
  replayMediaPlaylist,
  replayMultivariant,
} from '../packager/hls-replay.ts'
import { type FeedServer, parseFeedTarget } from './feed-server.ts'
import type { ProgressFeed } from './progress-feed.ts'
import { parseResumeTarget, type ResumeDesk } from './resume-desk.ts'
import type { StandIn } from './stand-in.ts'
import type { TranscoderMetrics } from './transcoder-metrics.ts'

export interface PlaybackServerOptions {
  host: string
  port: number
  trustedNetworks: readonly string[]
  auth: ClusterAuth
  /** Of replays. */
  manifest: ReplaySettings
  clock: Clock
  log: Logger
  metrics: Pick<TranscoderMetrics, 'served'>
  progress: Pick<ProgressFeed, 'serve'>
  /** For the homes of what is live here. */
  feeds: Pick<FeedServer, 'serve' | 'letGo'>
  resumes: Pick<ResumeDesk, 'receive'>
  /** Lets publishes in while the coordinator is away. */
  standIn?: Pick<StandIn, 'serve'>
  /** `elsewhere`: for all we know another node has it. */
  live: (liveId: string) => LiveStream | 'elsewhere' | undefined
  replayFolder: (recordingId: string) => Promise<BroadcastFolder | undefined>
}

// A connection on which no byte moves for so long is gone; longer than any answer is held back.
const idleTimeoutMs = 30_000
/** Longest wait for the next part of an open segment. */
const partWaitMs = 12_000

interface Asked {
  kind: PlaybackPath['kind'] | 'unknown'
  live?: LiveStream
  /** Undefined when the one who asked has left meanwhile. */
  answer: Answer | undefined
}

export class PlaybackServer implements AsyncDisposable {
  readonly #options: PlaybackServerOptions
  readonly #trusted: NetworkList
  readonly #server: Server
  readonly #live: LiveAnswers
  /** One for each request under way: aborted when it is no longer worth an answer. */
  readonly #underWay = new Set<AbortController>()
  #port = 0

  constructor(options: PlaybackServerOptions) {
    this.#options = options
    this.#trusted = createNetworkList(options.trustedNetworks)
    this.#live = new LiveAnswers(options.clock)
    this.#server = createServer({
      headersTimeout: 10_000,
      requestTimeout: 15_000,
      // Else Node looks every 30 s whether somebody is over them.
      connectionsCheckingInterval: 1_000,
      noDelay: true,
    })
    this.#server.keepAliveTimeout = 60_000
    this.#server.timeout = idleTimeoutMs
    this.#server.on('upgrade', (_request, socket) => socket.destroy())
    // Without the other two Node answers `100 Continue` by itself.
    for (const event of ['request', 'checkContinue', 'checkExpectation']) {
      this.#server.on(event, (request, response) => void this.#onRequest(request, response))
    }
  }

  get port(): number {
    return this.#port
  }

  /** Requests held back, or not answered to the end. */
  get underWay(): number {
    return this.#underWay.size
  }

  /** A broadcast that goes on elsewhere, or nowhere, without having ended: nobody waits for it here any more. */
  letGo(broadcast: LiveBroadcast): void {
    this.#live.waits(broadcast).letGo()
    this.#options.feeds.letGo(broadcast)
  }

  async start(): Promise<void> {
    const { port } = await listen(this.#server, this.#options)
    this.#port = port
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return
    const closed = new Promise((resolve) => this.#server.close(resolve))
    for (const request of this.#underWay) request.abort()
    this.#server.closeIdleConnections()
    const timer = this.#options.clock.setTimeout(() => this.#server.closeAllConnections(), 1_000)
    await closed
    timer.cancel()
  }

  async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#options.log.debug({ path: request.url }, 'asked')
    const leaving = new AbortController()
    this.#underWay.add(leaving)
    response.once('close', () => {
      this.#underWay.delete(leaving)
      leaving.abort()
    })
    try {
      const { standIn } = this.#options
      if (standIn && request.method === 'POST' && request.url === standInPath) {
        await standIn.serve(request, response)
        return
      }
      if (await this.#receivePoint(request, response)) return
      // What follows on such a connection cannot be trusted to start where we think it does.
      if (requestFault(request)) response.shouldKeepAlive = false
      if (await this.#serveFeed(request, response, leaving.signal)) return
      const isProgress = request.method === 'GET' && request.url === progressPath
      if (isProgress && (await this.#isAllowed(request))) {
        this.#options.progress.serve(response, leaving.signal)
        return
      }
      const asked = await this.#answer(request, leaving.signal)
      if (response.destroyed) return
      if (leaving.signal.aborted) response.shouldKeepAlive = false
      await this.#send(request, response, asked, leaving.signal)
    } catch (err) {
      // A reader that leaves in the middle is no fault of anybody.
      this.#options.log.debug({ err }, 'request failed')
      response.destroy()
    }
  }

  /** Answers whether one was sent by somebody who may. */
  async #receivePoint(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const target = request.method === 'POST' ? parseResumeTarget(request.url ?? '') : undefined
    if (!target || !(await this.#isAllowed(request))) return false
    const isRead = await this.#options.resumes.receive(target, request)
    response.writeHead(isRead ? 204 : 400, isRead ? {} : { connection: 'close' })
    response.end()
    return true
  }

  /** Answers whether one was asked for by somebody who may. */
  async #serveFeed(
    request: IncomingMessage,
    response: ServerResponse,
    signal: AbortSignal,
  ): Promise<boolean> {
    const target = request.method === 'GET' ? parseFeedTarget(request.url ?? '') : undefined
    if (!target || requestFault(request) || !(await this.#isAllowed(request))) return false
    if (signal.aborted) response.destroy()
    else {
      signal.addEventListener('abort', () => response.destroy(), { once: true })
      this.#options.feeds.serve(target, response)
    }
    return true
  }

  async #answer(request: IncomingMessage, signal: AbortSignal): Promise<Asked> {
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
    return await this.#find(path, request.url ?? '', signal)
  }

  async #isAllowed(request: IncomingMessage): Promise<boolean> {
    if (this.#trusted.includes(request.socket.remoteAddress)) return true
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]
    return token !== undefined && (await this.#options.auth.verifyNodeToken(token)) !== undefined
  }

  async #find(path: PlaybackPath, target: string, signal: AbortSignal): Promise<Asked> {
    const { kind } = path
    if (kind === 'time') {
      const body = Buffer.from(new Date(this.#options.clock.now()).toISOString())
      const type = 'text/plain; charset=utf-8'
      return { kind, answer: { status: 200, type, cacheControl: uncached, body } }
    }
    if (path.from.kind === 'replay') {
      return { kind, answer: await this.#findReplay(path, path.from.recordingId) }
    }
    const live = this.#options.live(path.from.liveId)
    if (!live) return { kind, answer: refused(404, 'offline', 'This stream is not live here.') }
    if (live === 'elsewhere') return { kind, answer: stopping }
    const directives = parseDirectives(kind === 'playlist' || kind === 'iframes' ? target : '')
    if ('problem' in directives) {
      return { kind, answer: refused(400, 'directive-malformed', directives.problem) }
    }
    return { kind, live, answer: await this.#live.find(live, path, directives, signal) }
  }

  async #findReplay(
    path: Exclude<PlaybackPath, { kind: 'time' }>,
    recordingId: string,
  ): Promise<Answer> {
    const { manifest, replayFolder } = this.#options
    const folder = await replayFolder(recordingId)
    if (!folder) return refused(404, 'recording-unknown', 'No such recording here.')
    const { log } = folder
    if (log.rows.length === 0) return refused(404, 'not-yet', 'Nothing to play yet.')
    switch (path.kind) {
      case 'multivariant':
        return replayAnswer(replayMultivariant(log), types.playlist)
      case 'playlist':
        return replayAnswer(replayMediaPlaylist(log, manifest, path.rendition), types.playlist)
      case 'iframes':
        return renditionUnknown
      case 'mpd':
        return replayAnswer(replayMpd(log, manifest), types.mpd)
      case 'part':
        return segmentUnknown
      case 'init':
      case 'segment': {
        const take = log.takeNamed(path.take)
        const rendition = take?.renditions.find((it) => it.name === path.rendition)
        if (!take || !rendition) return segmentUnknown
        const name = path.kind === 'init' ? 'init.mp4' : `${path.number}.m4s`
        const file = join(folder.renditionPath(take, rendition.name), name)
        return mediaAnswer({ file }, path.kind === 'segment' ? types.segment : types.init)
      }
    }
  }

  async #send(
    request: IncomingMessage,
    response: ServerResponse,
    { kind, live, answer }: Asked,
    signal: AbortSignal,
  ): Promise<void> {
    if (!answer) {
      // The asking side is still there: it is we who go.
      await this.#sendBytes(request, response, kind, stopping, stopping.body)
    } else if (Buffer.isBuffer(answer.body)) {
      await this.#sendBytes(request, response, kind, answer, answer.body)
    } else if ('segment' in answer.body) {
      await this.#sendSegment(request, response, kind, answer, live!, answer.body.segment, signal)
    } else {
      const file = await open(answer.body.file).catch(() => undefined)
      if (file) await this.#sendFile(request, response, kind, answer, file)
      else await this.#sendBytes(request, response, kind, segmentUnknown, segmentUnknown.body)
    }
  }

  async #sendBytes(
    request: IncomingMessage,
    response: ServerResponse,
    kind: string,
    answer: Answer,
    body: Buffer,
  ): Promise<void> {
    const isHead = request.method === 'HEAD'
    writeHead(response, answer, body.length)
    this.#options.metrics.served(kind, answer.status, isHead ? 0 : body.length)
    response.end(isHead ? undefined : body)
  }

  async #sendFile(
    request: IncomingMessage,
    response: ServerResponse,
    kind: string,
    answer: Answer,
    file: FileHandle,
  ): Promise<void> {
    try {
      const { size } = await file.stat()
      const isHead = request.method === 'HEAD'
      writeHead(response, answer, size)
      this.#options.metrics.served(kind, answer.status, isHead ? 0 : size)
      if (isHead) response.end()
      else {
        const stream = createReadStream('', { fd: file, autoClose: false, end: size - 1 })
        await pipeline(stream, response)
      }
    } finally {
      await file.close()
    }
  }

  async #sendSegment(
    request: IncomingMessage,
    response: ServerResponse,
    kind: string,
    answer: Answer,
    live: LiveStream,
    segment: SegmentName,
    signal: AbortSignal,
  ): Promise<void> {
    const { take, rendition, number } = segment
    const now = live.broadcast.segment(take, rendition, number)
    writeHead(response, answer, now && !now.isOpen ? now.sizeBytes : undefined)
    let bytes = 0
    try {
      if (request.method === 'HEAD') response.end()
      else {
        const waits = this.#live.waits(live.broadcast)
        bytes = await streamSegment(response, { live, waits, segment, waitMs: partWaitMs, signal })
      }
    } finally {
      this.#options.metrics.served(kind, answer.status, bytes)
    }
  }
}

const stopping = refused(503, 'stopping', 'This stream is no longer made on this node.')

/** `length` is undefined while the end of the body is not known. */
function writeHead(response: ServerResponse, answer: Answer, length: number | undefined): void {
  response.writeHead(answer.status, {
    'content-type': answer.type,
    'cache-control': answer.cacheControl,
    ...(length !== undefined && { 'content-length': length }),
    'access-control-allow-origin': '*',
    'x-content-type-options': 'nosniff',
  })
}

function replayAnswer(body: string | undefined, type: string): Answer {
  return body === undefined ? renditionUnknown : manifestAnswer(Buffer.from(body), type)
}
