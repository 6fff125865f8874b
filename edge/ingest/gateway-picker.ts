// Which gateway this edge turns to: for a publish the healthiest and least loaded, since the live id is not
// known yet; for playback the one that the hash of the live id gives, so that its cache serves all edges.

import type { Clock } from '../../common/clock.ts'
import type { ClusterSnapshot, NodeInfo } from '../../common/contract/membership.ts'
import { hostOf } from '../../common/net/addresses.ts'
import { isPublicAddress } from '../../common/net/allowed-networks.ts'
import { Ring } from '../../common/ring.ts'

export interface Gateway {
  id: string
  /** Base URL for HTTP, without a trailing slash. */
  http: string
  host: string
  rtmpPort: number
  /** By mutual TLS, RTMP and HTTP at one port. */
  isSecure: boolean
}

const failureMemoryMs = 5_000

export class GatewayPicker {
  readonly #clock: Clock
  readonly #allowPlain: boolean
  readonly #isSecure: boolean
  readonly #failedAt = new Map<string, number>()
  #gateways: { gateway: Gateway; load: number }[] = []
  #refusedPlain: string[] = []
  #withoutTls: string[] = []
  #ring: Ring | undefined

  /** `isSecure`: only by mutual TLS. */
  constructor(options: { clock: Clock; allowPlain: boolean; isSecure?: boolean }) {
    this.#clock = options.clock
    this.#isSecure = options.isSecure ?? false
    this.#allowPlain = options.allowPlain
  }

  update(snapshot: ClusterSnapshot): void {
    const nodes = snapshot.nodes.filter((node) => node.role === 'gateway')
    this.#refusedPlain = []
    this.#withoutTls = []
    this.#gateways = nodes
      .filter((node) => !node.draining)
      .flatMap((node) => this.#toGateway(node) ?? [])
    this.#ring = new Ring(this.#gateways.map(({ gateway }) => ({ id: gateway.id, weight: 1 })))
  }

  /** Gateways to try in this order. */
  forPublish(): Gateway[] {
    return [...this.#gateways]
      .sort((a, b) => this.#penalty(a.gateway) - this.#penalty(b.gateway) || a.load - b.load)
      .map(({ gateway }) => gateway)
  }

  /** Base URLs to try in this order. */
  forPlayback(liveId: string): string[] {
    const order = this.#ring?.order(liveId, this.#gateways.length) ?? []
    return order
      .flatMap((id) => this.#gateways.find(({ gateway }) => gateway.id === id)?.gateway ?? [])
      .sort((a, b) => this.#penalty(a) - this.#penalty(b))
      .map((gateway) => gateway.http)
  }

  reportFailure(gatewayId: string): void {
    this.#failedAt.set(gatewayId, this.#clock.monotonic())
  }

  /** For readiness: why there is nothing to turn to, or undefined. */
  get problem(): string | undefined {
    if (this.#gateways.length > 0) return undefined
    if (this.#refusedPlain.length > 0) {
      return `gateway ${this.#refusedPlain.join(', ')} has a public address and takes only plain connections; set upstream.allowPlain to use it all the same`
    }
    if (this.#withoutTls.length > 0) {
      return `gateway ${this.#withoutTls.join(', ')} has no port for mutual TLS, and upstream.mutualTls asks for one`
    }
    return 'the coordinator knows no gateway'
  }

  #penalty(gateway: Gateway): number {
    const failedAt = this.#failedAt.get(gateway.id)
    return failedAt !== undefined && this.#clock.monotonic() - failedAt < failureMemoryMs ? 1 : 0
  }

  #toGateway(node: NodeInfo): { gateway: Gateway; load: number } | undefined {
    if (this.#isSecure) return this.#toSecure(node)
    if (!node.urls.http) return undefined
    const url = new URL(node.urls.http)
    const rtmp = new URL(node.urls.rtmp ?? node.urls.http)
    const host = hostOf(url)
    if (!this.#allowPlain && isPublicAddress(host)) {
      this.#refusedPlain.push(node.id)
      return undefined
    }
    return {
      gateway: {
        id: node.id,
        http: node.urls.http.replace(/\/$/, ''),
        host: hostOf(rtmp),
        rtmpPort: Number(rtmp.port || (rtmp.protocol === 'rtmp:' ? 1935 : 80)),
        isSecure: false,
      },
      load: node.load.streams,
    }
  }

  #toSecure(node: NodeInfo): { gateway: Gateway; load: number } | undefined {
    if (!node.urls.https) {
      this.#withoutTls.push(node.id)
      return undefined
    }
    const url = new URL(node.urls.https)
    return {
      gateway: {
        id: node.id,
        http: node.urls.https.replace(/\/$/, ''),
        host: hostOf(url),
        rtmpPort: Number(url.port || 443),
        isSecure: true,
      },
      load: node.load.streams,
    }
  }
}
