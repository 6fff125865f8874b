// The publishes that edges relay to this gateway: the coordinator authorises and places each one, then its
// media goes to the transcoder that holds the lease.

import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Clock } from '../../common/clock.ts'
import type { CoordinatorClient } from '../../common/cluster/coordinator-client.ts'
import type { PublishGrant } from '../../common/contract/placement.ts'
import { refusal } from '../../common/contract/refusal.ts'
import type { Logger } from '../../common/log.ts'
import { LogBudget } from '../../common/log-budget.ts'
import type { IngestMetrics } from '../../common/relay/ingest-metrics.ts'
import { type PublishIntent, PublishRelay } from '../../common/relay/publish-relay.ts'
import { RefusalMemory } from '../../common/relay/refusal-memory.ts'
import { digestOfKey, fingerprintOf } from '../../common/relay/stream-key.ts'
import { type UpstreamOutcome, UpstreamPublisher } from '../../common/relay/upstream-publisher.ts'
import type { GatewayConfig } from '../../config/schema.ts'

export interface RelayedPublisher {
  /** The encoder's address, as the edge told it. */
  clientAddress: string
  pop: string | null
}

export interface GatewayIngestOptions {
  gatewayId: string
  config: Pick<GatewayConfig, 'ingest'>
  coordinator: Pick<CoordinatorClient, 'publish'>
  /** True while no new publisher is taken. */
  isDraining: () => boolean
  clock: Clock
  log: Logger
  metrics: IngestMetrics
}

const nonceForm = /^[A-Za-z0-9_-]{16,64}$/
const refusalMemoryMs = 15_000

export class GatewayIngest implements AsyncDisposable {
  readonly #options: GatewayIngestOptions
  readonly #verdicts: RefusalMemory
  readonly #refusalLines: LogBudget
  readonly #relays = new Map<PublishRelay, Promise<unknown>>()
  #bytesIn = 0

  constructor(options: GatewayIngestOptions) {
    this.#options = options
    this.#verdicts = new RefusalMemory(options.clock, refusalMemoryMs)
    this.#refusalLines = new LogBudget(options)
  }

  get streams(): number {
    return this.#relays.size
  }

  /** Bytes of media relayed since the start. */
  get bytesIn(): number {
    return this.#bytesIn
  }

  handle(socket: Socket, publisher: RelayedPublisher): void {
    const { clock, config, metrics } = this.#options
    const acceptedAt = clock.monotonic()
    let log = this.#options.log.child({ pop: publisher.pop, address: publisher.clientAddress })
    let nonce = ''
    let keyDigest = ''
    const relay = new PublishRelay({
      socket,
      clock,
      log,
      limits: config.ingest,
      openUpstream: async (intent) => {
        nonce = nonceOf(intent)
        keyDigest = digestOfKey(intent.name)
        log = log.child({ publisher: nonce })
        const placed = await this.#place(keyDigest, nonce, publisher)
        if ('refused' in placed) return placed
        log = log.child({ liveId: placed.granted.liveId, epoch: placed.granted.epoch })
        const outcome = await this.#dial(placed.granted, nonce)
        if ('failed' in outcome) {
          log.warn(
            { transcoder: placed.granted.transcoder.id, detail: outcome.failed },
            'transcoder away',
          )
          return { refused: refusal('no-transcoder') }
        }
        return outcome
      },
      onRefused: (refused, stage) => {
        metrics.refused(refused, stage)
        if (stage === 'after-start') this.#verdicts.remember(keyDigest, refused)
        if (stage === 'before-start' && !this.#refusalLines.take()) return
        log.warn({ reason: refused.code, stage }, refused.message)
      },
      onLive: () => {
        metrics.live(clock.monotonic() - acceptedAt)
        log.info({ keyFingerprint: fingerprintOf(keyDigest) }, 'live')
      },
      onMedia: (message) => {
        this.#bytesIn += message.payload.length
      },
    })
    const ended = relay.run().then((end) => {
      this.#relays.delete(relay)
      metrics.ended(end.wasLive, end.bytesIn)
      const facts = { reason: end.reason, bytesIn: end.bytesIn, liveMs: Math.round(end.liveMs) }
      // Whoever never was live has its line already, if it needs one.
      log[end.wasLive ? 'info' : 'debug'](facts, 'left')
    })
    this.#relays.set(relay, ended)
  }

  async #place(keyDigest: string, nonce: string, publisher: RelayedPublisher) {
    if (this.#options.isDraining()) return { refused: refusal('maintenance') }
    const verdict = this.#verdicts.recall(keyDigest)
    if (verdict) return { refused: verdict }
    return await this.#options.coordinator.publish({
      keyDigest,
      nonce,
      gateway: this.#options.gatewayId,
      pop: publisher.pop,
      clientAddress: publisher.clientAddress,
    })
  }

  #dial(grant: PublishGrant, nonce: string): Promise<UpstreamOutcome> {
    const { clock, config } = this.#options
    const url = new URL(grant.transcoder.rtmp)
    return UpstreamPublisher.open(
      {
        host: url.hostname.replace(/^\[|\]$/g, ''),
        port: Number(url.port || 1935),
        app: 'live',
        streamName: `${nonce}?ticket=${grant.ticket}`,
      },
      {
        clock,
        connectTimeoutMs: config.ingest.connectTimeoutMs,
        publishTimeoutMs: config.ingest.publishTimeoutMs,
      },
    )
  }

  /** Lets every publisher go with the reason `maintenance`. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const relay of this.#relays.keys()) relay.close(refusal('maintenance'))
    await Promise.all(this.#relays.values())
  }
}

/** The nonce that the edge gave this connection; one of our own where there is none. */
function nonceOf(intent: PublishIntent): string {
  const given = new URLSearchParams(intent.query).get('nonce') ?? ''
  return nonceForm.test(given) ? given : randomBytes(12).toString('base64url')
}
