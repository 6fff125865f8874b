// Serves what is published of a broadcast to its home, as it happens: `GET /internal/v1/broadcasts/{liveId}/feed?epoch=E`.
//
// A feed holds no queue: while its connection takes nothing it is told nothing, and then all that has come meanwhile.
import type { ServerResponse } from 'node:http'
import type { Clock } from '../../common/clock.ts'
import { type FeedHead, feedPingMs } from '../../common/contract/feed.ts'
import type { ResumePoint } from '../../common/contract/resume-point.ts'
import { frameBytes } from '../../common/live/feed-frames.ts'
import type { LiveBroadcast } from '../../common/live/live-broadcast.ts'
import { refused } from '../../common/live/playback-answer.ts'
import { FeedWriter } from './feed-writer.ts'

/** A broadcast that is live, or has ended a moment ago. */
export interface FedStream {
  broadcast: LiveBroadcast
  epoch: number
  /** Where another transcoder would go on; undefined where it would begin anew. */
  resumePoint?: ResumePoint | undefined
}

export interface FeedServerOptions {
  /** Of this process. */
  instance: string
  live: (liveId: string) => FedStream | undefined
  clock: Clock
  sent: (bytes: number) => void
}

export interface FeedTarget {
  liveId: string
  epoch: number
}

const grammar =
  /^\/internal\/v1\/broadcasts\/([a-z0-9][a-z0-9_-]{0,62})\/feed\?epoch=([1-9]\d{0,14})$/

export function parseFeedTarget(target: string): FeedTarget | undefined {
  const match = grammar.exec(target)
  return match ? { liveId: match[1]!, epoch: Number(match[2]) } : undefined
}

export class FeedServer implements Disposable {
  readonly #options: FeedServerOptions
  readonly #feeds = new Set<Feed>()

  constructor(options: FeedServerOptions) {
    this.#options = options
  }

  get feeds(): number {
    return this.#feeds.size
  }

  /** For one who has been let in. */
  serve({ liveId, epoch }: FeedTarget, response: ServerResponse): void {
    const { live, instance, clock, sent } = this.#options
    const stream = live(liveId)
    if (stream?.epoch !== epoch) {
      const { status, type, body } = stream ? otherEpoch : offline
      response.writeHead(status, { 'content-type': type, 'content-length': body.length })
      response.end(body)
      return
    }
    const { broadcast } = stream
    const open: FeedHead = { kind: 'open', epoch, instance, facts: broadcast.facts }
    const feed = new Feed(stream, response, { clock, sent })
    this.#feeds.add(feed)
    response.once('close', () => {
      feed.stop()
      this.#feeds.delete(feed)
    })
    feed.start(open)
  }

  /** It goes on elsewhere, or nowhere, without having ended. */
  letGo(broadcast: LiveBroadcast): void {
    for (const feed of [...this.#feeds]) if (feed.broadcast === broadcast) feed.cut()
  }

  [Symbol.dispose](): void {
    for (const feed of [...this.#feeds]) feed.cut()
  }
}

class Feed {
  readonly broadcast: LiveBroadcast
  readonly #response: ServerResponse
  readonly #options: Pick<FeedServerOptions, 'clock' | 'sent'>
  readonly #writer: FeedWriter
  /** Bytes are on their way that the connection has not taken. */
  #isBehind = false
  #stop: (() => void) | undefined

  constructor(
    stream: FedStream,
    response: ServerResponse,
    options: Pick<FeedServerOptions, 'clock' | 'sent'>,
  ) {
    this.broadcast = stream.broadcast
    this.#response = response
    this.#options = options
    this.#writer = new FeedWriter(stream.broadcast, () => stream.resumePoint)
  }

  start(open: FeedHead): void {
    const response = this.#response
    // Until the connection closes: its frames have lengths of their own, and chunks would tear them into pieces.
    response.useChunkedEncodingByDefault = false
    response.shouldKeepAlive = false
    response.writeHead(200, {
      'content-type': 'application/octet-stream',
      'cache-control': 'no-store',
    })
    response.on('drain', () => {
      this.#isBehind = false
      this.#tell()
    })
    const unsubscribe = this.broadcast.onChange(() => this.#tell())
    const pings = this.#options.clock.setInterval(() => {
      if (!this.#isBehind) this.#write(frameBytes({ kind: 'ping' }))
    }, feedPingMs)
    this.#stop = () => {
      this.#stop = undefined
      unsubscribe()
      pings.cancel()
    }
    this.#write(frameBytes(open))
    this.#tell()
  }

  stop(): void {
    this.#stop?.()
  }

  /** Without a change that says so, nobody takes it for the end. */
  cut(): void {
    this.stop()
    this.#response.destroy()
  }

  #tell(): void {
    if (this.#isBehind || !this.#stop) return
    const { bodies, change } = this.#writer.next()
    const pieces = bodies.flatMap((body) => frameBytes({ kind: 'body' }, body))
    this.#write([...pieces, ...frameBytes(change)])
    if (!this.broadcast.isEnded) return
    this.stop()
    this.#response.end()
  }

  /** As one write to the connection. */
  #write(pieces: readonly Buffer[]): void {
    const response = this.#response
    response.cork()
    for (const piece of pieces) {
      if (!response.write(piece)) this.#isBehind = true
      this.#options.sent(piece.length)
    }
    response.uncork()
  }
}

const offline = refused(404, 'offline', 'This stream is not live here.')
const otherEpoch = refused(409, 'other-epoch', 'This stream is here in another epoch.')
