// The publishers of this POP: each gets a relay to a gateway, and the first gateway that answers takes it.
import { randomBytes } from 'node:crypto'
import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import type { ConnectionOptions } from 'node:tls'
import type { Clock } from '../../common/clock.ts'
import { refusal } from '../../common/contract/refusal.ts'
import type { MutualTls } from '../../common/net/mutual-tls.ts'
import { encodeProxyHeader } from '../../common/net/proxy-protocol.ts'
import { proxyTlv } from '../../common/relay/proxy-tlvs.ts'
import type { PublishRequest, RelayHost } from '../../common/relay/relay-host.ts'
import { type UpstreamOutcome, UpstreamPublisher } from '../../common/relay/upstream-publisher.ts'
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
  nodeToken: () => Promise<string>
  /** Towards gateways that are reached by mutual TLS. */
  tls?: MutualTls | undefined
  clock: Clock
}

export class PublishIngest {
  readonly #options: PublishIngestOptions

  constructor(options: PublishIngestOptions) {
    this.#options = options
  }

  handle(socket: Duplex, info: PublisherInfo): void {
    const nonce = randomBytes(12).toString('base64url')
    this.#options.relays.handle(
      socket,
      { publisher: nonce, address: info.remoteAddress },
      (request) => {
        const open = () => this.#open(request, nonce, info)
        const { admission } = this.#options
        return admission?.publish(socket, info.remoteAddress, request, open) ?? open()
      },
    )
  }

  /** Asks the gateways in order; the first that answers decides. */
  async #open(
    { intent, signal, annotate }: PublishRequest,
    nonce: string,
    info: PublisherInfo,
  ): Promise<UpstreamOutcome> {
    const { config, clock, gateways } = this.#options
    // A test must never go live.
    if (new URLSearchParams(intent.query).has('bandwidthtest')) {
      return { refused: refusal('bandwidth-test-unavailable') }
    }
    const log = annotate({})
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
          ...(gateway.isSecure && this.#options.tls && { tls: tlsTo(gateway, this.#options.tls) }),
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
}

/** An address is no server name (RFC 6066 §3); the certificate is checked against it all the same. */
function tlsTo({ host }: Gateway, tls: MutualTls): ConnectionOptions {
  return { ...tls, ...(isIP(host) === 0 && { servername: host }) }
}
