// The publishes that edges relay to this gateway: the coordinator authorises and places each one, then its
// media goes to the transcoder that holds the lease.

import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Clock } from '../../common/clock.ts'
import type { CoordinatorClient } from '../../common/cluster/coordinator-client.ts'
import type { PublishGrant } from '../../common/contract/placement.ts'
import { refusal } from '../../common/contract/refusal.ts'
import { hostOf } from '../../common/net/addresses.ts'
import type { PublishIntent } from '../../common/relay/publish-relay.ts'
import type { PublishRequest, RelayHost } from '../../common/relay/relay-host.ts'
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
  relays: RelayHost
  coordinator: Pick<CoordinatorClient, 'publish'>
  clock: Clock
}

const nonceForm = /^[A-Za-z0-9_-]{16,64}$/

export class GatewayIngest {
  readonly #options: GatewayIngestOptions

  constructor(options: GatewayIngestOptions) {
    this.#options = options
  }

  handle(socket: Socket, publisher: RelayedPublisher): void {
    this.#options.relays.handle(
      socket,
      { pop: publisher.pop, address: publisher.clientAddress },
      (request) => this.#open(request, publisher),
    )
  }

  async #open(
    { intent, keyDigest, annotate }: PublishRequest,
    publisher: RelayedPublisher,
  ): Promise<UpstreamOutcome> {
    const nonce = nonceOf(intent)
    annotate({ publisher: nonce })
    const placed = await this.#options.coordinator.publish({
      keyDigest,
      nonce,
      gateway: this.#options.gatewayId,
      pop: publisher.pop,
      clientAddress: publisher.clientAddress,
    })
    if ('refused' in placed) return placed
    const { liveId, epoch, transcoder } = placed.granted
    const log = annotate({ liveId, epoch })
    const outcome = await this.#dial(placed.granted, nonce)
    if (!('failed' in outcome)) return outcome
    log.warn({ transcoder: transcoder.id, detail: outcome.failed }, 'transcoder away')
    return { refused: refusal('no-transcoder') }
  }

  #dial(grant: PublishGrant, nonce: string): Promise<UpstreamOutcome> {
    const { clock, config } = this.#options
    const url = new URL(grant.transcoder.rtmp)
    return UpstreamPublisher.open(
      {
        host: hostOf(url),
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
}

/** The nonce that the edge gave this connection; one of our own where there is none. */
function nonceOf(intent: PublishIntent): string {
  const given = new URLSearchParams(intent.query).get('nonce') ?? ''
  return nonceForm.test(given) ? given : randomBytes(12).toString('base64url')
}
