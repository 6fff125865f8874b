// The publishers of one node: a relay for each, their counts, log lines and verdicts, and their end with the node.
import type { Duplex } from 'node:stream'
import type { Clock } from '../clock.ts'
import { type Refusal, refusal } from '../contract/refusal.ts'
import type { Logger } from '../log.ts'
import { LogBudget } from '../log-budget.ts'
import type { IngestMetrics } from './ingest-metrics.ts'
import { type PublishIntent, PublishRelay, type RelayLimits } from './publish-relay.ts'
import { RefusalMemory } from './refusal-memory.ts'
import { digestOfKey, fingerprintOf } from './stream-key.ts'
import type { UpstreamOutcome } from './upstream-publisher.ts'

export interface RelayHostOptions {
  limits: RelayLimits
  /** How long a verdict on what an encoder sends holds for its next try. */
  refusalMemoryMs: number
  /** True while no new publisher is taken. */
  isDraining: () => boolean
  clock: Clock
  log: Logger
  metrics: IngestMetrics
}

/** A publish that has passed the node's own checks and needs a next hop. */
export interface PublishRequest {
  intent: PublishIntent
  keyDigest: string
  signal: AbortSignal
  /** Ends the publish, also once it is live. */
  refuse(reason: Refusal): void
  /** Adds to every later line about this publisher; answers the log with it. */
  annotate(facts: object): Logger
}

export class RelayHost implements AsyncDisposable {
  readonly #options: RelayHostOptions
  readonly #verdicts: RefusalMemory
  readonly #refusalLines: LogBudget
  readonly #relays = new Map<PublishRelay, Promise<unknown>>()
  #bytesIn = 0

  constructor(options: RelayHostOptions) {
    this.#options = options
    this.#verdicts = new RefusalMemory(options.clock, options.refusalMemoryMs)
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

  /** Takes a connection over; `open` finds its next hop and must not reject. */
  handle(
    socket: Duplex,
    facts: object,
    open: (request: PublishRequest) => Promise<UpstreamOutcome>,
  ): void {
    const { clock, limits, metrics } = this.#options
    const acceptedAt = clock.monotonic()
    let log = this.#options.log.child(facts)
    let keyDigest = ''
    const annotate = (more: object) => {
      log = log.child(more)
      return log
    }
    const relay = new PublishRelay({
      socket,
      clock,
      log,
      limits,
      openUpstream: async (intent, signal) => {
        keyDigest = digestOfKey(intent.name)
        const refused = this.#refusalOf(intent, keyDigest)
        const refuse = (reason: Refusal) => relay.close(reason)
        return refused ? { refused } : await open({ intent, keyDigest, signal, refuse, annotate })
      },
      onRefused: (refused, stage) => {
        metrics.refused(refused, stage)
        if (stage === 'after-start') this.#verdicts.remember(keyDigest, refused)
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
      },
    })
    const ended = relay.run().then((end) => {
      this.#relays.delete(relay)
      metrics.ended(end.wasLive, end.bytesIn)
      const summary = { reason: end.reason, bytesIn: end.bytesIn, liveMs: Math.round(end.liveMs) }
      // Whoever never was live has its line already, if it needs one.
      log[end.wasLive ? 'info' : 'debug'](summary, 'left')
    })
    this.#relays.set(relay, ended)
  }

  #refusalOf(intent: PublishIntent, keyDigest: string): Refusal | undefined {
    if (intent.name === '') return refusal('key-missing')
    if (this.#options.isDraining()) return refusal('maintenance')
    return this.#verdicts.recall(keyDigest)
  }

  /** Lets every publisher go with the reason `maintenance`. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const relay of this.#relays.keys()) relay.close(refusal('maintenance'))
    await Promise.all(this.#relays.values())
  }
}
