// The publishers of this POP: each gets a relay to a gateway, and to another one when that is lost.
import { randomBytes } from 'node:crypto'
import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import type { ConnectionOptions } from 'node:tls'
import type { Clock } from '../../common/clock.ts'
import { bandwidthTestMs } from '../../common/contract/bandwidth-test.ts'
import type { ProgressSource } from '../../common/contract/progress.ts'
import { type Refusal, refusal } from '../../common/contract/refusal.ts'
import type { MutualTls } from '../../common/net/mutual-tls.ts'
import { encodeProxyHeader } from '../../common/net/proxy-protocol.ts'
import { type BandwidthTests, isBandwidthTest } from '../../common/relay/bandwidth-tests.ts'
import { proxyTlv } from '../../common/relay/proxy-tlvs.ts'
import type { HopRequest, RelayHost } from '../../common/relay/relay-host.ts'
import {
  againLimits,
  type UpstreamOutcome,
  UpstreamPublisher,
} from '../../common/relay/upstream-publisher.ts'
import type { RoadOutcome } from '../../common/relay/upstream-road.ts'
import type { EdgeConfig } from '../../config/schema.ts'
import type { Admission } from '../admission/admission.ts'
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
  relays: RelayHost
  /** Without it everybody may try. */
  admission?: Pick<Admission, 'publish'>
  gateways: GatewayPicker
  tests: BandwidthTests
  /** Hears of each refusal; the digest is empty where no key had been named. */
  onRefused?: (keyDigest: string, refused: Refusal) => void
  /** Tells how far media has got at the gateway with this base URL; without it only a closed connection is a loss. */
  progressOf?: (gatewayUrl: string) => ProgressSource
  nodeToken: () => Promise<string>
  /** Towards gateways that are reached by mutual TLS. */
  tls?: MutualTls | undefined
  clock: Clock
}

/** One publisher's own connection, however many gateways it goes over. */
interface Connection {
  id: string
  info: PublisherInfo
  gateway?: Gateway
  /** Set while it is only measured. */
  test?: { pathLost(): void }
}

export class PublishIngest {
  readonly #options: PublishIngestOptions

  constructor(options: PublishIngestOptions) {
    this.#options = options
  }

  handle(socket: Duplex, info: PublisherInfo): void {
    const connection: Connection = { id: randomBytes(12).toString('base64url'), info }
    this.#options.relays.handle(
      socket,
      { publisher: connection.id, address: info.remoteAddress },
      (request) => {
        const open = () =>
          isBandwidthTest(request.intent.query)
            ? this.#test(request, connection, socket)
            : this.#open(request, connection)
        // Once it is let in it stays so, however often its media has to go another way.
        if (request.attempt.number > 1) return open()
        return this.#options.admission?.publish(socket, info.remoteAddress, request, open) ?? open()
      },
      this.#options.onRefused,
    )
  }

  /** By one gateway and no other: what came over two would be no measure of either. */
  async #test(request: HopRequest, connection: Connection, socket: Duplex): Promise<RoadOutcome> {
    const { tests } = this.#options
    if (connection.test) {
      connection.test.pathLost()
      return { refused: refusal('path-lost') }
    }
    const result = tests.recall(request.keyDigest)
    if (result) return { refused: result }
    const outcome = await this.#open(request, connection)
    if (!('started' in outcome)) return outcome
    connection.test = tests.run(connection.id, socket, request, bandwidthTestMs)
    return { started: outcome.started }
  }

  /** Asks the gateways in order; the first that answers decides. */
  async #open(request: HopRequest, connection: Connection): Promise<RoadOutcome> {
    const { gateways, progressOf } = this.#options
    const { attempt, signal, annotate } = request
    const log = annotate({})
    // It goes to the end of the order, and is asked again when nobody else answers: it may have been started anew.
    if (attempt.lost && connection.gateway) gateways.reportFailure(connection.gateway.id)
    const token = await this.#options.nodeToken()
    for (const gateway of gateways.forPublish(request.keyDigest)) {
      if (signal.aborted) break
      const outcome = await this.#dial(gateway, request, connection, token)
      if ('started' in outcome) {
        connection.gateway = gateway
        const progress = progressOf?.(gateway.http)
        if (!progress) return outcome
        return {
          ...outcome,
          watch: (listener) =>
            progress.watch(connection.id, (it) => {
              gateways.learned(request.keyDigest, it.liveId)
              listener(it)
            }),
        }
      }
      if ('refused' in outcome) {
        if (outcome.refused.code === 'maintenance') gateways.reportFailure(gateway.id)
        return outcome
      }
      gateways.reportFailure(gateway.id)
      log.warn({ gateway: gateway.id, detail: outcome.failed }, 'gateway cannot be reached')
    }
    const { problem } = gateways
    if (problem) log.error({ problem }, 'no gateway')
    return { refused: refusal('no-gateway') }
  }

  #dial(
    gateway: Gateway,
    { intent, attempt }: HopRequest,
    { id, info }: Connection,
    token: string,
  ): Promise<UpstreamOutcome> {
    const { clock, config, tls } = this.#options
    const connectTimeoutMs = config.upstream.connectTimeoutMs
    const publishTimeoutMs = config.ingest.publishTimeoutMs
    const query = new URLSearchParams({
      connection: id,
      attempt: String(attempt.number),
      ...(attempt.ageMs > 0 && { age: String(attempt.ageMs) }),
      ...(isBandwidthTest(intent.query) && { bandwidthtest: 'true' }),
    })
    return UpstreamPublisher.open(
      {
        host: gateway.host,
        port: gateway.rtmpPort,
        app: 'live',
        streamName: `${intent.name}?${query}`,
        preface: this.#preface(gateway, info, token),
        ...(gateway.isSecure && tls && { tls: tlsTo(gateway, tls) }),
      },
      {
        clock,
        ...(attempt.number === 1 ? { connectTimeoutMs, publishTimeoutMs } : againLimits),
      },
    )
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
}

/** An address is no server name (RFC 6066 §3); the certificate is checked against it all the same. */
function tlsTo({ host }: Gateway, tls: MutualTls): ConnectionOptions {
  return { ...tls, ...(isIP(host) === 0 && { servername: host }) }
}
