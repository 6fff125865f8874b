// The publishers of this POP: each gets a relay to a gateway, and the first gateway that answers takes it.
import { randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { Clock } from '../../common/clock.ts'
import { refusal } from '../../common/contract/refusal.ts'
import type { Logger } from '../../common/log.ts'
import { LogBudget } from '../../common/log-budget.ts'
import { encodeProxyHeader } from '../../common/net/proxy-protocol.ts'
import type { IngestMetrics } from '../../common/relay/ingest-metrics.ts'
import { proxyTlv } from '../../common/relay/proxy-tlvs.ts'
import { type PublishIntent, PublishRelay } from '../../common/relay/publish-relay.ts'
import { RefusalMemory } from '../../common/relay/refusal-memory.ts'
import { digestOfKey, fingerprintOf } from '../../common/relay/stream-key.ts'
import { type UpstreamOutcome, UpstreamPublisher } from '../../common/relay/upstream-publisher.ts'
import type { EdgeConfig } from '../../config/schema.ts'
import type { Gateway, GatewayPicker } from './gateway-picker.ts'

export interface PublisherInfo {
  remoteAddress: string
  remotePort: number
  localAddress: string
  localPort: number
  /** SNI of the TLS connection, where there was one. */
  serverName?: string | undefined
}

export interface PublishIngestOptions {
  popId: string
  config: Pick<EdgeConfig, 'ingest' | 'upstream'>
  gateways: GatewayPicker
  nodeToken: () => Promise<string>
  /** True while no new publisher is taken. */
  isDraining: () => boolean
  clock: Clock
  log: Logger
  metrics: IngestMetrics
}

export class PublishIngest implements AsyncDisposable {
  readonly #options: PublishIngestOptions
  readonly #verdicts: RefusalMemory
  readonly #refusalLines: LogBudget
  readonly #relays = new Map<PublishRelay, Promise<unknown>>()
  #bytesIn = 0

  constructor(options: PublishIngestOptions) {
    this.#options = options
    this.#verdicts = new RefusalMemory(options.clock, options.config.ingest.refusalMemoryMs)
    this.#refusalLines = new LogBudget(options)
  }

  get streams(): number {
    return this.#relays.size
  }

  /** Bytes of media relayed since the start. */
  get bytesIn(): number {
    return this.#bytesIn
  }

  handle(socket: Duplex, info: PublisherInfo): void {
    const { clock, config, metrics } = this.#options
    const nonce = randomBytes(12).toString('base64url')
    const log = this.#options.log.child({ publisher: nonce, address: info.remoteAddress })
    const acceptedAt = clock.monotonic()
    let keyDigest = ''
    const relay = new PublishRelay({
      socket,
      clock,
      log,
      limits: config.ingest,
      openUpstream: (intent, signal) => {
        keyDigest = digestOfKey(intent.name)
        return this.#open(intent, keyDigest, nonce, info, log, signal)
      },
      onRefused: (refused, stage) => {
        metrics.refused(refused, stage)
        if (stage === 'after-start') this.#verdicts.remember(keyDigest, refused)
        if (stage === 'before-start' && !this.#refusalLines.take()) return
        log.warn({ reason: refused.code, stage, key: undefined }, refused.message)
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
      const facts = { reason: end.reason, bytesIn: end.bytesIn, liveMs: Math.round(end.liveMs) }
      // Whoever never was live has its line already, if it needs one.
      log[end.wasLive ? 'info' : 'debug'](facts, 'left')
    })
    this.#relays.set(relay, ended)
  }

  /** Asks the gateways in order; the first that answers decides. */
  async #open(
    intent: PublishIntent,
    keyDigest: string,
    nonce: string,
    info: PublisherInfo,
    log: Logger,
    signal: AbortSignal,
  ): Promise<UpstreamOutcome> {
    const { config, clock, gateways } = this.#options
    if (intent.name === '') return { refused: refusal('key-missing') }
    if (this.#options.isDraining()) return { refused: refusal('maintenance') }
    // A test must never go live.
    if (new URLSearchParams(intent.query).has('bandwidthtest')) {
      return { refused: refusal('bandwidth-test-unavailable') }
    }
    const verdict = this.#verdicts.recall(keyDigest)
    if (verdict) return { refused: verdict }
    const token = await this.#options.nodeToken()
    for (const gateway of gateways.forPublish()) {
      if (signal.aborted) break
      const outcome = await UpstreamPublisher.open(
        {
          host: gateway.host,
          port: gateway.rtmpPort,
          app: 'live',
          streamName: `${intent.name}?nonce=${nonce}`,
          preface: this.#preface(gateway, info, token),
        },
        {
          clock,
          connectTimeoutMs: config.upstream.connectTimeoutMs,
          publishTimeoutMs: config.ingest.publishTimeoutMs,
        },
      )
      if (!('failed' in outcome)) return outcome
      gateways.reportFailure(gateway.id)
      log.warn({ gateway: gateway.id, detail: outcome.failed }, 'gateway cannot be reached')
    }
    const { problem } = gateways
    if (problem) log.error({ problem }, 'no gateway')
    return { refused: refusal('no-gateway') }
  }

  #preface(gateway: Gateway, info: PublisherInfo, token: string): Buffer {
    return encodeProxyHeader({
      source: { address: info.remoteAddress, port: info.remotePort },
      destination: { address: info.localAddress || gateway.host, port: info.localPort },
      tlvs: [
        ...(info.serverName
          ? [{ type: proxyTlv.serverName, value: Buffer.from(info.serverName) }]
          : []),
        { type: proxyTlv.popId, value: Buffer.from(this.#options.popId) },
        { type: proxyTlv.nodeToken, value: Buffer.from(token) },
      ],
    })
  }

  /** Lets every publisher go with the reason `maintenance`. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const relay of this.#relays.keys()) relay.close(refusal('maintenance'))
    await Promise.all(this.#relays.values())
  }
}
