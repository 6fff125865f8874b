// One publisher's way up, over as many next hops as it takes: what a next hop has not taken, the next one gets
// again from the memory, and the publisher notices nothing.
//
//   opening → live ⇄ away (asks for a next hop until one takes it, replays in its turn) → leaving → over
//
// A next hop is lost when it closes, resets, refuses with a reason that may pass, or takes nothing of what it was
// sent for 4 s. Any other refusal is the publisher's own, and ends the road. What goes up is always the memory's
// next message: live means no more than that there is none left.

import type { MediaMessage } from '../../media/rtmp/message.ts'
import { type Clock, delay, type Timer } from '../clock.ts'
import type { Progress } from '../contract/progress.ts'
import { isRetryable, type Refusal, refusal } from '../contract/refusal.ts'
import type { Logger } from '../log.ts'
import type { ArrivalTimes } from './arrival-times.ts'
import type { CatchUpTurns } from './catch-up-turns.ts'
import { isFrame, type MediaMemory } from './media-memory.ts'
import { ProgressWatch } from './progress-watch.ts'
import type { LossReason, RelayMetrics } from './relay-metrics.ts'
import type { Road } from './road.ts'
import { refusalOf, type UpstreamStatus } from './upstream-publisher.ts'

/** A publish that a next hop has taken. */
export interface Upstream {
  onDrain: () => void
  onStatus: (status: UpstreamStatus) => void
  readonly closed: Promise<string>
  send(message: MediaMessage): boolean
  unpublish(): void
  destroy(): void
  /** Gives it up for lost: what it has not read yet, it must not read later. */
  abandon(): void
}

export interface Attempt {
  /** Counts the tries of this connection, from 1. */
  number: number
  /** How long ago the first message arrived that is going to be sent. */
  ageMs: number
  /** How the next hop of the last try was lost; absent when that try found none. */
  lost?: LossReason
}

export type RoadOutcome =
  | { started: Upstream; watch?: (listener: (progress: Progress) => void) => Disposable }
  | { refused: Refusal }
  | { failed: string }

export interface UpstreamRoadOptions {
  /** Asks for a next hop. Must not reject. */
  open(attempt: Attempt): Promise<RoadOutcome>
  memory: MediaMemory
  /** Called after each message that was put there and sent on, so that what must go is what was sent. */
  onKept(): void
  arrivals: ArrivalTimes
  turns: CatchUpTurns
  metrics: RelayMetrics
  clock: Clock
  log: () => Logger
  /** Between 0 and 1, for the jitter. */
  random: () => number
  onRefused(refused: Refusal): void
}

const stallMs = 4_000
const giveUpMs = 60_000
const retryMs = [0, 100, 200, 500, 1_000]
const jitterMs = 1_000
/** A replay that takes longer is slow of itself; the others need not wait for it. */
const turnMs = 10_000
/** What a publisher that has left has sent before still goes up, within this time. */
const lingerMs = 5_000

export class UpstreamRoad implements Road {
  readonly #options: UpstreamRoadOptions
  readonly #ended = new AbortController()
  readonly #done = Promise.withResolvers<void>()
  #number = 0
  #upstream: Upstream | undefined
  #isWritable = true
  #watch: ProgressWatch | undefined
  #progress: Disposable | undefined
  #turn: Disposable | undefined
  #turnTimer: Timer | undefined
  /** Runs until a next hop has proved to be one: tries that fail at once count as one absence. */
  #settleTimer: Timer | undefined
  #giveUpTimer: Timer | undefined
  #lingerTimer: Timer | undefined
  #awaySince: number | undefined
  #failures = 0
  #catchUp: { since: number; over(caughtUpMs: number | undefined): void } | undefined
  #isLeaving = false
  #isHurried = false
  #isMoving = false

  constructor(options: UpstreamRoadOptions) {
    this.#options = options
  }

  /** The first try: its refusal is an answer to the publish. */
  async open(): Promise<Refusal | undefined> {
    const outcome = await this.#try({ ageMs: 0 })
    if (this.#ended.signal.aborted) return undefined
    if ('refused' in outcome) return outcome.refused
    if ('failed' in outcome) {
      this.#options.log().warn({ detail: outcome.failed }, 'no next hop for this publisher')
      return refusal('no-gateway')
    }
    this.#settle(outcome)
    return undefined
  }

  push(message: MediaMessage): boolean {
    if (this.#ended.signal.aborted) return true
    const { memory, arrivals, clock, onKept } = this.#options
    // The time of a header or of data may be any, as 0 in the middle of a show.
    const nowMs = clock.monotonic()
    memory.push(message, isFrame(message) ? arrivals.of(message.timestampMs, nowMs) : nowMs)
    this.#pump()
    onKept()
    return true
  }

  /** The publisher has left: what it has sent goes up as far as it can, then the publish ends. */
  finish(isHurried = false): Promise<void> {
    if (this.#ended.signal.aborted || this.#isLeaving) return this.#done.promise
    this.#isLeaving = true
    this.#isHurried = isHurried
    const isAway = this.#awaySince !== undefined && !isHurried
    if (this.#number === 0 || (!this.#upstream && !isAway)) this.#close()
    else {
      this.#lingerTimer = this.#options.clock.setTimeout(() => this.#unpublish(), lingerMs)
      this.#pump()
    }
    return this.#done.promise
  }

  move(): void {
    if (!this.#upstream || this.#isMoving || this.#isLeaving) return
    this.#isMoving = true
    void this.#moveFrom(this.#upstream).finally(() => {
      this.#isMoving = false
    })
  }

  destroy(): void {
    this.#upstream?.destroy()
    this.#close()
  }

  async #moveFrom(before: Upstream): Promise<void> {
    const { turns, metrics } = this.#options
    const { signal } = this.#ended
    const turn = await turns.take(signal)
    if (!turn) return
    const isStill = () => this.#upstream === before && !signal.aborted
    const outcome = isStill() ? await this.#try({ ageMs: this.#ageMs() }) : undefined
    if (!outcome || !('started' in outcome) || !isStill()) {
      // Lost meanwhile: whoever looks for another next hop finds one by itself.
      if (outcome && 'started' in outcome && !signal.aborted) outcome.started.abandon()
      turn[Symbol.dispose]()
      return
    }
    metrics.moved('wanted')
    before.abandon()
    this.#detach()
    this.#replay(outcome, turn)
  }

  async #try(attempt: Omit<Attempt, 'number'>): Promise<RoadOutcome> {
    this.#number++
    const outcome = await this.#options.open({ number: this.#number, ...attempt })
    if (this.#ended.signal.aborted && 'started' in outcome) outcome.started.unpublish()
    return outcome
  }

  #settle({ started, watch }: Extract<RoadOutcome, { started: Upstream }>): void {
    const { clock, memory } = this.#options
    const isCurrent = () => this.#upstream === started
    this.#upstream = started
    this.#isWritable = true
    started.onDrain = () => {
      if (!isCurrent()) return
      this.#isWritable = true
      this.#pump()
    }
    started.onStatus = (status) => {
      if (status.level !== 'error' || !isCurrent()) return
      const refused = refusalOf(status)
      if (isRetryable(refused.code)) this.#lose('refused', refused.code)
      else this.#refuse(refused)
    }
    void started.closed.then((reason) => {
      if (isCurrent()) this.#lose('closed', reason)
    })
    this.#settleTimer = clock.setTimeout(() => this.#arrived(), stallMs)
    if (watch) {
      const onSilent = () => this.#lose('silent', `nothing was taken for ${stallMs} ms`)
      this.#watch = new ProgressWatch({ clock, limitMs: stallMs, onSilent })
      this.#progress = watch((progress) => {
        if (!isCurrent()) return
        this.#watch?.taken(progress.takenMs)
        memory.neededFrom(progress.neededMs)
      })
    }
    this.#pump()
  }

  #pump(): void {
    while (this.#upstream && this.#isWritable) {
      const message = this.#options.memory.next()
      if (!message) {
        this.#caughtUp()
        return
      }
      if (this.#watch && isFrame(message)) this.#watch.sent(message.timestampMs)
      this.#isWritable = this.#upstream.send(message)
    }
  }

  #caughtUp(): void {
    this.#endTurn()
    this.#catchUp?.over(this.#options.clock.monotonic() - this.#catchUp.since)
    this.#catchUp = undefined
    if (this.#isLeaving) this.#unpublish()
  }

  #endTurn(): void {
    this.#turnTimer?.cancel()
    this.#turn?.[Symbol.dispose]()
    this.#turn = undefined
  }

  #arrived(): void {
    this.#failures = 0
    this.#awaySince = undefined
    this.#giveUpTimer?.cancel()
  }

  #lose(why: LossReason, detail: string): void {
    const { clock, log, metrics } = this.#options
    const now = clock.monotonic()
    log().warn({ why, detail }, 'the next hop is lost')
    metrics.moved(why)
    this.#upstream?.abandon()
    this.#detach()
    if (this.#isHurried) {
      this.#close()
      return
    }
    this.#catchUp ??= { since: now, ...metrics.away() }
    if (this.#awaySince === undefined) {
      this.#awaySince = now
      this.#giveUpTimer = clock.setTimeout(() => this.#giveUp(), giveUpMs)
    }
    if (now - this.#awaySince >= giveUpMs) this.#giveUp()
    else void this.#return(why)
  }

  /** While there is a next hop, it is its own loss that decides. */
  #giveUp(): void {
    if (!this.#upstream) this.#refuse(refusal('path-lost'))
  }

  async #return(why: LossReason): Promise<void> {
    const { clock, turns, random } = this.#options
    const { signal } = this.#ended
    let lost: LossReason | undefined = why
    for (;;) {
      const waitMs = retryMs[Math.min(this.#failures, retryMs.length - 1)]!
      const spreadMs = turns.isCrowded ? random() * jitterMs : 0
      this.#failures++
      if (waitMs + spreadMs > 0) await delay(clock, waitMs + spreadMs, signal)
      const turn = await turns.take(signal)
      if (!turn) return
      const outcome = await this.#try({ ageMs: this.#ageMs(), ...(lost && { lost }) })
      lost = undefined
      if (signal.aborted) return turn[Symbol.dispose]()
      if ('started' in outcome) return this.#replay(outcome, turn)
      turn[Symbol.dispose]()
      if ('refused' in outcome && !isRetryable(outcome.refused.code)) {
        return this.#refuse(outcome.refused)
      }
    }
  }

  /** How long ago the message arrived that a replay would begin with. */
  #ageMs(): number {
    const { clock, memory } = this.#options
    const now = clock.monotonic()
    return Math.max(0, Math.round(now - (memory.start?.arrivedMs ?? now)))
  }

  #replay(outcome: Extract<RoadOutcome, { started: Upstream }>, turn: Disposable): void {
    const { clock, memory, log } = this.#options
    this.#turn = turn
    this.#turnTimer = clock.setTimeout(() => this.#endTurn(), turnMs)
    log().info({ attempt: this.#number, ageMs: this.#ageMs() }, 'on another way')
    memory.rewind()
    this.#settle(outcome)
  }

  #refuse(refused: Refusal): void {
    if (!this.#isLeaving) this.#options.onRefused(refused)
    this.destroy()
  }

  #unpublish(): void {
    this.#upstream?.unpublish()
    this.#close()
  }

  #detach(): void {
    this.#upstream = undefined
    this.#settleTimer?.cancel()
    this.#watch?.[Symbol.dispose]()
    this.#watch = undefined
    this.#progress?.[Symbol.dispose]()
    this.#progress = undefined
    this.#endTurn()
  }

  #close(): void {
    if (this.#ended.signal.aborted) return
    this.#ended.abort()
    this.#detach()
    this.#giveUpTimer?.cancel()
    this.#lingerTimer?.cancel()
    this.#catchUp?.over(undefined)
    this.#catchUp = undefined
    this.#options.memory.clear()
    this.#done.resolve()
  }
}
