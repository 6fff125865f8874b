// Which gateway this edge turns to, for publishing and for playback.
//
// - By the hash of the live id, so that every edge asks the same gateway for it and one cache serves them all;
//   a gateway more or less moves only the live ids of that gateway.
// - A publisher's live id is not known before the first answer for its key. Until then the least loaded gateway
//   for its weight is chosen.
// - One that failed comes last of all for a while, then takes its place again.

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
// Longer than a gateway's figures are on their way: two heartbeats and the pause before load is pushed.
const handedOutMemoryMs = 6_000
const maxLearned = 10_000

/** A gateway with what it carries: as it last said, and what this edge has sent its way since. */
interface Seat {
  gateway: Gateway
  weight: number
  streams: number
  handedOut: number
  handedOutAt: number
}

export class GatewayPicker {
  readonly #clock: Clock
  readonly #allowPlain: boolean
  readonly #isSecure: boolean
  readonly #failedAt = new Map<string, number>()
  /** Key digest → live id, the one heard of last at the end. */
  readonly #liveIds = new Map<string, string>()
  #seats = new Map<string, Seat>()
  #refusedPlain: string[] = []
  #withoutTls: string[] = []
  #ring = new Ring([])
  /** What the ring was made of: snapshots come far oftener than it changes, and it is dear to make. */
  #ringText = '[]'

  /** `isSecure`: only by mutual TLS. */
  constructor(options: { clock: Clock; allowPlain: boolean; isSecure?: boolean }) {
    this.#clock = options.clock
    this.#isSecure = options.isSecure ?? false
    this.#allowPlain = options.allowPlain
  }

  update(snapshot: ClusterSnapshot): void {
    this.#refusedPlain = []
    this.#withoutTls = []
    const seats = snapshot.nodes
      .filter((node) => node.role === 'gateway' && !node.draining && node.weight > 0)
      .flatMap((node) => this.#toSeat(node) ?? [])
    this.#seats = new Map(seats.map((seat) => [seat.gateway.id, seat]))
    const members = seats.map(({ gateway, weight }) => ({ id: gateway.id, weight }))
    const text = JSON.stringify(members)
    if (text === this.#ringText) return
    this.#ringText = text
    this.#ring = new Ring(members)
  }

  /** Gateways to try in this order, for a publisher whose key has this digest. */
  forPublish(keyDigest = ''): Gateway[] {
    const liveId = this.#liveIds.get(keyDigest)
    if (liveId !== undefined) return this.#byHash(liveId)
    // Equal loads are told apart by the key, so that edges which know no better do not all choose the same one.
    const order = this.#byHash(keyDigest).toSorted(
      (a, b) => this.#penalty(a) - this.#penalty(b) || this.#fill(a) - this.#fill(b),
    )
    this.#handOut(order[0])
    return order
  }

  /** Base URLs to try in this order. */
  forPlayback(liveId: string): string[] {
    return this.#byHash(liveId).map((gateway) => gateway.http)
  }

  /** The live id of a key, once an answer has told it. */
  learned(keyDigest: string, liveId: string): void {
    this.#liveIds.delete(keyDigest)
    this.#liveIds.set(keyDigest, liveId)
    if (this.#liveIds.size <= maxLearned) return
    const [oldest] = this.#liveIds.keys()
    if (oldest !== undefined) this.#liveIds.delete(oldest)
  }

  reportFailure(gatewayId: string): void {
    this.#failedAt.set(gatewayId, this.#clock.monotonic())
  }

  /** For readiness: why there is nothing to turn to, or undefined. */
  get problem(): string | undefined {
    if (this.#seats.size > 0) return undefined
    if (this.#refusedPlain.length > 0) {
      return `gateway ${this.#refusedPlain.join(', ')} has a public address and takes only plain connections; set upstream.allowPlain to use it all the same`
    }
    if (this.#withoutTls.length > 0) {
      return `gateway ${this.#withoutTls.join(', ')} has no port for mutual TLS, and upstream.mutualTls asks for one`
    }
    return 'the coordinator knows no gateway'
  }

  #byHash(id: string): Gateway[] {
    return this.#ring
      .order(id)
      .flatMap((gatewayId) => this.#seats.get(gatewayId)?.gateway ?? [])
      .sort((a, b) => this.#penalty(a) - this.#penalty(b))
  }

  #penalty(gateway: Gateway): number {
    return this.#isRecent(this.#failedAt.get(gateway.id), failureMemoryMs) ? 1 : 0
  }

  #fill(gateway: Gateway): number {
    const { streams, weight, handedOut, handedOutAt } = this.#seats.get(gateway.id)!
    const onTheWay = this.#isRecent(handedOutAt, handedOutMemoryMs) ? handedOut : 0
    return (streams + onTheWay) / weight
  }

  /** Its own figures will tell soon; publishers that come meanwhile must not all choose it. */
  #handOut(gateway: Gateway | undefined): void {
    const seat = gateway && this.#seats.get(gateway.id)
    if (!seat) return
    if (!this.#isRecent(seat.handedOutAt, handedOutMemoryMs)) seat.handedOut = 0
    seat.handedOut += 1
    seat.handedOutAt = this.#clock.monotonic()
  }

  #isRecent(at: number | undefined, memoryMs: number): boolean {
    return at !== undefined && this.#clock.monotonic() - at < memoryMs
  }

  #toSeat(node: NodeInfo): Seat | undefined {
    const gateway = this.#isSecure ? this.#toSecure(node) : this.#toPlain(node)
    if (!gateway) return undefined
    const before = this.#seats.get(node.id)
    const { streams } = node.load
    const isSame = before?.streams === streams
    return {
      gateway,
      weight: node.weight,
      streams,
      handedOut: isSame ? before.handedOut : 0,
      handedOutAt: isSame ? before.handedOutAt : 0,
    }
  }

  #toPlain(node: NodeInfo): Gateway | undefined {
    if (!node.urls.http) return undefined
    const url = new URL(node.urls.http)
    const rtmp = new URL(node.urls.rtmp ?? node.urls.http)
    const host = hostOf(url)
    if (!this.#allowPlain && isPublicAddress(host)) {
      this.#refusedPlain.push(node.id)
      return undefined
    }
    return {
      id: node.id,
      http: node.urls.http.replace(/\/$/, ''),
      host: hostOf(rtmp),
      rtmpPort: Number(rtmp.port || (rtmp.protocol === 'rtmp:' ? 1935 : 80)),
      isSecure: false,
    }
  }

  #toSecure(node: NodeInfo): Gateway | undefined {
    if (!node.urls.https) {
      this.#withoutTls.push(node.id)
      return undefined
    }
    const url = new URL(node.urls.https)
    return {
      id: node.id,
      http: node.urls.https.replace(/\/$/, ''),
      host: hostOf(url),
      rtmpPort: Number(url.port || 443),
      isSecure: true,
    }
  }
}
