// One live id whose home is this gateway: its broadcast, and the feed of whoever has its lease.
//
//   followed ──first change──► fed ──feed breaks──► gone ──feed is back──► fed
//
// While the feed is gone nothing is taken away. Where it stays away for as long as a playlist may stand still, time
// goes on in gaps. It is over a while after the end was told, or when nobody has come back.
import type { Clock, Timer } from '../../../common/clock.ts'
import type { Holder } from '../../../common/contract/placement.ts'
import type { ResumePoint } from '../../../common/contract/resume-point.ts'
import type { HttpClient } from '../../../common/http-client.ts'
import type { FeedFrame } from '../../../common/live/feed-frames.ts'
import type { Logger } from '../../../common/log.ts'
import { FeedClient, type FeedSource } from './feed-client.ts'
import { HomeBroadcast, type HomeBroadcastOptions, type Verdict } from './home-broadcast.ts'

/** What a grant says of the transcoder that makes a stream. */
export interface FollowedGrant extends Holder {
  liveId: string
  broadcastId: string
  transcoder: { url: string }
}

export interface HomeOptions {
  http: HttpClient
  authorize: () => Promise<string>
  clock: Clock
  log: Logger
  onRefused: HomeBroadcastOptions['onRefused']
  /** It holds so much more than before. It may be disposed of by this. */
  onBytes: (delta: number) => void
  /** Nothing of it will be asked for any more. */
  onOver: () => void
}

/** A playlist must have changed by then (RFC 8216bis §6.2.2). */
const targetDurationsOfSilence = 1.5
/** After the end players still fetch the last window, and the end itself. */
const afterglowMs = 60_000
/** Longer than a publisher is waited for. */
const abandonedMs = 90_000

export class Home implements AsyncDisposable {
  readonly broadcastId: string
  /** When this gateway was told last, by a grant, that it is the home. */
  followedAtMs = 0
  readonly #options: HomeOptions
  #source: FeedSource | undefined
  #client: FeedClient | undefined
  #broadcast: HomeBroadcast | undefined
  #bytes = 0
  #hasChanged = false
  #isLeft = false
  #mediaAtMs = 0
  #gapTimer: Timer | undefined
  #overTimer: Timer | undefined
  #closing: Promise<unknown> = Promise.resolve()

  constructor(broadcastId: string, options: HomeOptions) {
    this.broadcastId = broadcastId
    this.#options = options
  }

  /** Undefined until there is something in it. */
  get broadcast(): HomeBroadcast | undefined {
    return this.#hasChanged ? this.#broadcast : undefined
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Whom it believes, or is about to. */
  get holder(): Holder | undefined {
    return this.#source
  }

  /** By which it is followed again after it was given up; undefined where there is nothing to come any more. */
  get grant(): FollowedGrant | undefined {
    if (!this.#source || this.#broadcast?.isEnded) return undefined
    const { url, ...source } = this.#source
    return { ...source, broadcastId: this.broadcastId, transcoder: { url } }
  }

  follow({ liveId, epoch, instance, transcoder }: FollowedGrant): 'following' | Verdict {
    const now = this.#source
    if (now && epoch < now.epoch) return 'fenced'
    if (now?.epoch === epoch && now.instance !== instance) return 'conflict'
    this.followedAtMs = this.#options.clock.monotonic()
    if (now?.epoch === epoch || this.#broadcast?.isEnded) return 'following'
    const source = { liveId, epoch, instance, url: transcoder.url }
    this.#source = source
    this.#leaveFeed()
    if (this.#gapTimer) this.#endIn(abandonedMs)
    else this.#onGone()
    const { http, authorize, clock, log } = this.#options
    this.#client = new FeedClient({
      ...{ source, http, authorize, clock, log },
      onFrame: (frame) => this.#onFrame(frame, source),
      onGone: () => this.#onGone(),
    })
    this.#client.start()
    return 'following'
  }

  /** Somebody else is about to go on: nothing more is heard of whoever had it. Answers from where on. */
  handOver(epoch: number): ResumePoint | undefined {
    const now = this.#source
    if (!now || epoch <= now.epoch) return undefined
    if (this.#client) {
      this.#leaveFeed()
      if (!this.#gapTimer) this.#onGone()
    }
    return this.#broadcast?.resumePoint
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isLeft = true
    this.#gapTimer?.cancel()
    this.#overTimer?.cancel()
    this.#leaveFeed()
    await this.#closing
  }

  #leaveFeed(): void {
    const client = this.#client
    this.#client = undefined
    if (client) this.#closing = Promise.all([this.#closing, client[Symbol.asyncDispose]()])
  }

  #onFrame(frame: FeedFrame, source: FeedSource): Verdict {
    const verdict = this.#accept(frame, source)
    const bytes = this.#broadcast?.bytes ?? 0
    const delta = bytes - this.#bytes
    this.#bytes = bytes
    if (delta !== 0) this.#options.onBytes(delta)
    // What else has arrived is for nobody.
    return this.#isLeft ? 'fenced' : verdict
  }

  #accept(frame: FeedFrame, { epoch, instance }: FeedSource): Verdict {
    const { head } = frame
    if (head.kind === 'open' && !this.#broadcast) {
      if (head.facts.broadcastId !== this.broadcastId) return 'malformed'
      const { onRefused } = this.#options
      this.#broadcast = new HomeBroadcast({ facts: head.facts, onRefused })
    }
    const broadcast = this.#broadcast
    const verdict = broadcast?.accept(frame, { epoch, instance }) ?? 'malformed'
    if (!broadcast || verdict !== 'accepted' || head.kind !== 'change') return verdict
    this.#hasChanged = true
    this.#overTimer?.cancel()
    // A transcoder that has nothing yet cannot tell of gaps either.
    if (head.segments.length > 0) {
      this.#mediaAtMs = this.#options.clock.monotonic()
      this.#gapTimer?.cancel()
      this.#gapTimer = undefined
    }
    if (broadcast.isEnded) {
      this.#gapTimer?.cancel()
      this.#endIn(afterglowMs)
    }
    return verdict
  }

  #onGone(): void {
    const { clock } = this.#options
    if (this.#broadcast?.isEnded) return
    this.#endIn(abandonedMs)
    const settings = this.#broadcast?.settings
    if (!settings) return
    const silenceMs = targetDurationsOfSilence * settings.targetDurationSeconds * 1000
    this.#gapIn(this.#mediaAtMs + silenceMs - clock.monotonic())
  }

  #gapIn(ms: number): void {
    this.#gapTimer?.cancel()
    this.#gapTimer = this.#options.clock.setTimeout(() => {
      this.#broadcast!.addGap()
      this.#gapIn(this.#broadcast!.settings!.segmentSeconds * 1000)
    }, ms)
  }

  #endIn(ms: number): void {
    this.#overTimer?.cancel()
    this.#overTimer = this.#options.clock.setTimeout(() => this.#options.onOver(), ms)
  }
}
