// Follows one holder of the lease of one live id: connects to its feed, and again whenever that breaks off, until it
// has told the end, is refused, or is disposed of.
import { type Clock, delay } from '../../../common/clock.ts'
import { feedPingMs } from '../../../common/contract/feed.ts'
import type { Holder } from '../../../common/contract/placement.ts'
import { messageOf } from '../../../common/errors.ts'
import type { HttpClient } from '../../../common/http-client.ts'
import { type FeedFrame, FeedFrameReader } from '../../../common/live/feed-frames.ts'
import type { Logger } from '../../../common/log.ts'
import type { Verdict } from './home-broadcast.ts'

export interface FeedSource extends Holder {
  liveId: string
  /** Base URL of the transcoder. */
  url: string
}

export interface FeedClientOptions {
  source: FeedSource
  http: HttpClient
  /** A node token for transcoders. */
  authorize: () => Promise<string>
  clock: Clock
  log: Logger
  onFrame: (frame: FeedFrame) => Verdict
  /** There was a feed, and there is none now. */
  onGone: () => void
}

const retryMs = [100, 200, 500, 1_000]
/** Three pings that did not come. */
const silenceMs = 3 * feedPingMs

export class FeedClient implements AsyncDisposable {
  readonly #options: FeedClientOptions
  readonly #stop = new AbortController()
  #running: Promise<void> | undefined

  constructor(options: FeedClientOptions) {
    this.#options = options
  }

  start(): void {
    this.#running ??= this.#run()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { clock, log, source, onGone } = this.#options
    const { signal } = this.#stop
    let failures = 0
    while (!signal.aborted) {
      let frames = 0
      let end: string
      try {
        end = await this.#follow(() => frames++)
      } catch (err) {
        end = messageOf(err)
      }
      if (signal.aborted) return
      if (frames > 0) {
        failures = 0
        onGone()
      }
      if (end === 'ended') return
      const { liveId, epoch, url } = source
      if (failures === 0) log.warn({ liveId, epoch, transcoder: url, end }, 'no feed of the stream')
      if (end === 'fenced' || end === 'conflict') return
      await delay(clock, retryMs[Math.min(failures++, retryMs.length - 1)]!, signal)
    }
  }

  /** Answers why it is over. */
  async #follow(onFrame: () => void): Promise<string> {
    const { source, http, authorize, clock } = this.#options
    const silence = new AbortController()
    let heardMs = clock.monotonic()
    const watch = clock.setInterval(() => {
      if (clock.monotonic() - heardMs > silenceMs) silence.abort(new Error('silent'))
    }, feedPingMs)
    try {
      const token = await authorize()
      const { statusCode, body } = await http.request(
        `${source.url}/internal/v1/broadcasts/${source.liveId}/feed?epoch=${source.epoch}`,
        {
          headers: { authorization: `Bearer ${token}` },
          signal: AbortSignal.any([this.#stop.signal, silence.signal]),
          bodyTimeoutMs: 0,
        },
      )
      if (statusCode !== 200) {
        await body.dump()
        return `status ${statusCode}`
      }
      const reader = new FeedFrameReader()
      const over = Promise.withResolvers<string>()
      body.on('data', (piece: Buffer) => {
        heardMs = clock.monotonic()
        const end = this.#read(reader, piece, onFrame)
        if (end === undefined) return
        over.resolve(end)
        body.destroy()
      })
      body.on('error', over.reject)
      body.once('close', () => over.resolve('closed'))
      return await over.promise
    } finally {
      watch.cancel()
    }
  }

  /** Answers why nothing more is to be read. */
  #read(reader: FeedFrameReader, piece: Buffer, onFrame: () => void): string | undefined {
    try {
      const { frames, fault } = reader.push(piece)
      for (const frame of frames) {
        const verdict = this.#options.onFrame(frame)
        if (verdict !== 'accepted') return verdict
        onFrame()
        if (frame.head.kind === 'change' && frame.head.isEnded) return 'ended'
      }
      return fault
    } catch (err) {
      // Thrown on, out of an event, it would end the process.
      return messageOf(err)
    }
  }
}
