// The publishers of one node: a relay with a memory for each, their counts, log lines and verdicts, what bounds
// them together, and their end with the node.
import type { Duplex } from 'node:stream'
import { isKeyframe } from '../../media/flv/media-kind.ts'
import type { Clock } from '../clock.ts'
import { type Refusal, refusal } from '../contract/refusal.ts'
import type { Logger } from '../log.ts'
import { LogBudget } from '../log-budget.ts'
import type { Metrics } from '../metrics.ts'
import { ArrivalTimes } from './arrival-times.ts'
import { CatchUpTurns } from './catch-up-turns.ts'
import { Farewell } from './farewell.ts'
import { Gather } from './gather.ts'
import { IngestMetrics } from './ingest-metrics.ts'
import { MediaMemory, relayMemoryLimits } from './media-memory.ts'
import { MemoryBudget, memoryBudgetBytes } from './memory-budget.ts'
import { type PublishIntent, PublishRelay, type RelayLimits } from './publish-relay.ts'
import { RefusalMemory } from './refusal-memory.ts'
import { RelayMetrics } from './relay-metrics.ts'
import { digestOfKey, fingerprintOf } from './stream-key.ts'
import type { Attempt, RoadOutcome } from './upstream-road.ts'

export interface RelayHostOptions {
  limits: RelayLimits
  /** How long a verdict on what an encoder sends holds for its next try. */
  refusalMemoryMs: number
  /** True while no new publisher is taken. */
  isDraining: () => boolean
  clock: Clock
  log: Logger
  metrics: Metrics
  /** Publishers are relays themselves. */
  isRelayed?: boolean
  /** Media of all publishers waits for each other a little, so that it costs less. */
  isGathered?: boolean
  /** How many threads share what the memories of publishers may take. */
  threads?: number
  /** For the jitter of retries. */
  random?: () => number
}

/** A publish that has passed the node's own checks and needs a next hop, the first or a further one. */
export interface HopRequest {
  intent: PublishIntent
  keyDigest: string
  attempt: Attempt
  signal: AbortSignal
  /** What this node holds of the publisher's media; undefined before there is any. */
  held(): HeldMedia | undefined
  /** The publisher is a relay that replays: its first message reached it so long ago. */
  startedAgo(ageMs: number): void
  /** Asks for another next hop while the present one serves. */
  move(): void
  /** Ends the publish, also once it is live. */
  refuse(reason: Refusal): void
  /** Adds to every later line about this publisher; answers the log with it. */
  annotate(facts: object): Logger
}

/** Timestamps of the publisher, modulo 2^32. */
export interface HeldMedia {
  newestMs: number
  /** Of the keyframe that a replay would begin with. */
  oldestMs: number
}

const catchUpsAtATime = 2

export class RelayHost implements AsyncDisposable {
  readonly #options: RelayHostOptions
  /** What publishers were refused for after they had started. */
  readonly verdicts: RefusalMemory
  readonly #refusalLines: LogBudget
  readonly #relays = new Map<PublishRelay, Promise<unknown>>()
  readonly #metrics: IngestMetrics
  readonly #relayMetrics: RelayMetrics
  readonly #turns = new CatchUpTurns(catchUpsAtATime)
  readonly #budget: MemoryBudget
  readonly #gather: Gather | undefined
  #farewell: Farewell<PublishRelay> | undefined
  #isHurried = false
  #bytesIn = 0
  /** By publishers that have left. */
  #receivedBefore = 0

  constructor(options: RelayHostOptions) {
    this.#options = options
    this.#gather = options.isGathered ? new Gather(options.clock) : undefined
    this.#budget = new MemoryBudget(memoryBudgetBytes() / (options.threads ?? 1))
    this.#metrics = new IngestMetrics(options.metrics, () => this.#received)
    this.#relayMetrics = new RelayMetrics(options.metrics, () => this.#budget.bytes)
    this.verdicts = new RefusalMemory(options.clock, options.refusalMemoryMs)
    this.#refusalLines = new LogBudget(options)
  }

  /** Connections that publish or are about to. */
  get streams(): number {
    return this.#relays.size
  }

  /** Bytes of media relayed since the start. */
  get bytesIn(): number {
    return this.#bytesIn
  }

  /**
   * Takes a connection over; `open` finds its next hop and must not reject. `onRefused` hears of each refusal, with an
   * empty digest where no key had been named.
   */
  handle(
    socket: Duplex,
    facts: object,
    open: (request: HopRequest) => Promise<RoadOutcome>,
    onRefused?: (keyDigest: string, refused: Refusal) => void,
  ): void {
    const { clock, limits, isRelayed = false, random = Math.random } = this.#options
    const metrics = this.#metrics
    const acceptedAt = clock.monotonic()
    let log = this.#options.log.child(facts)
    let keyDigest = ''
    const annotate = (more: object) => {
      log = log.child(more)
      return log
    }
    const arrivals = new ArrivalTimes()
    const memory = new MediaMemory({
      limits: relayMemoryLimits,
      onLost: (messages) => this.#relayMetrics.lost(messages),
      onBytes: (delta) => this.#budget.count(delta),
    })
    const budgeted = this.#budget.add(memory)
    const held = () => heldIn(memory)
    const startedAgo = (ageMs: number) => {
      const now = clock.monotonic()
      arrivals.startedAt(now - ageMs, now)
    }
    const relay = new PublishRelay({
      socket,
      gather: this.#gather,
      clock,
      log,
      limits,
      memory: {
        memory,
        onKept: () => this.#budget.enforce(),
        arrivals,
        turns: this.#turns,
        metrics: this.#relayMetrics,
        log: () => log,
        isRelayed,
        random,
      },
      openUpstream: async (intent, signal, attempt) => {
        keyDigest = digestOfKey(intent.name)
        const refused = attempt.number === 1 ? this.#refusalOf(intent, keyDigest) : undefined
        if (refused) return { refused }
        const refuse = (reason: Refusal) => relay.close(reason)
        const move = () => relay.move()
        const self = { held, startedAgo, move, refuse, annotate }
        return await open({ intent, keyDigest, attempt, signal, ...self })
      },
      onRefused: (refused, stage) => {
        metrics.refused(refused, stage)
        onRefused?.(keyDigest, refused)
        if (stage === 'after-start') this.verdicts.remember(keyDigest, refused)
        if (stage === 'before-start' && !this.#refusalLines.take()) return
        log.warn({ reason: refused.code, stage }, refused.message)
      },
      onLive: () => {
        const openMs = clock.monotonic() - acceptedAt
        metrics.live(openMs)
        log.info({ keyFingerprint: fingerprintOf(keyDigest), openMs: Math.round(openMs) }, 'live')
      },
      onMedia: (message) => {
        this.#bytesIn += message.payload.length
        const farewell = this.#farewell
        // The keyframe itself is still to be sent on.
        if (farewell && isKeyframe(message)) queueMicrotask(() => farewell.keyframe(relay))
      },
    })
    const ended = relay.run().then((end) => {
      this.#relays.delete(relay)
      budgeted[Symbol.dispose]()
      this.#receivedBefore += end.bytesIn
      metrics.ended(end.wasLive)
      const summary = { reason: end.reason, bytesIn: end.bytesIn, liveMs: Math.round(end.liveMs) }
      // Whoever never was live has its line already, if it needs one.
      log[end.wasLive ? 'info' : 'debug'](summary, 'left')
    })
    this.#relays.set(relay, ended)
  }

  get #received(): number {
    return this.#relays.keys().reduce((sum, relay) => sum + relay.bytesIn, this.#receivedBefore)
  }

  #refusalOf(intent: PublishIntent, keyDigest: string): Refusal | undefined {
    if (intent.name === '') return refusal('key-missing')
    if (this.#options.isDraining()) return refusal('maintenance')
    return this.verdicts.recall(keyDigest)
  }

  /** Resolves when no publisher is left: until `letGo`, when all have left by themselves. */
  async left(): Promise<void> {
    while (this.#relays.size > 0) await Promise.race(this.#relays.values())
  }

  /**
   * Lets publishers go with the reason `maintenance`, at most 5 % of them a second (one at least), each right after a
   * keyframe. `isHurried`: this process waits for nobody's next hop any more.
   */
  letGo(isHurried: boolean): void {
    this.#isHurried ||= isHurried
    this.#farewell ??= new Farewell<PublishRelay>({
      clock: this.#options.clock,
      publishers: () => this.#relays.keys(),
      dismiss: (relay) => relay.dismiss(refusal('maintenance'), this.#isHurried),
    })
  }

  /** Lets every publisher go at once with the reason `maintenance`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#farewell?.[Symbol.dispose]()
    for (const relay of this.#relays.keys()) relay.close(refusal('maintenance'))
    await Promise.all(this.#relays.values())
  }
}

function heldIn(memory: MediaMemory): HeldMedia | undefined {
  const newestMs = memory.newestTimestampMs
  return newestMs === undefined
    ? undefined
    : { newestMs, oldestMs: memory.start?.timestampMs ?? newestMs }
}
