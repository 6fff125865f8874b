// The homes that were given up for want of memory: which of them come back, and when.
//
// - Newest grants first, as many as fit below three quarters of the limit. A home is reckoned to need the most that it
//   has ever held here, from the moment in which it is followed again.
// - Not to and fro: whoever was given up stays out for a while, each time twice as long, and needs more room than the
//   last time, since it was given up with more.
// - Only what is still relayed from here comes back, by the routes that the coordinator pushes; without news of it
//   what was so last.
import type { Clock, Timer } from '../../../common/clock.ts'
import type { ClusterSnapshot } from '../../../common/contract/membership.ts'
import type { FollowedGrant } from './home.ts'

export interface GivenUpHomesOptions {
  gatewayId: string
  limitBytes: number
  clock: Clock
  /** What all homes hold now. */
  heldBytes: () => number
  /** Of a home that has been followed again and has not its window yet, what it holds; undefined of any other. */
  arrivingBytes: (liveId: string) => number | undefined
  /** There is room for it. */
  takeBack: (grant: FollowedGrant, neededBytes: number) => void
}

interface Entry {
  grant: FollowedGrant
  grantedAtMs: number
  /** The most that it has held here. */
  neededBytes: number
  times: number
  notBeforeMs: number
  /** It has been followed again since. */
  isBack: boolean
  /** No route says any more that it is relayed from here. */
  awaySinceMs: number | undefined
}

const lookMs = 5_000
const shortestOutMs = 30_000
const longestOutMs = 480_000
/** Of the limit, what homes that come back may fill. */
const share = 3 / 4
/** A coordinator that is back may have yet to hear of it. */
const forgottenMs = 90_000

export class GivenUpHomes implements Disposable {
  readonly #options: GivenUpHomesOptions
  readonly #entries = new Map<string, Entry>()
  #timer: Timer | undefined

  constructor(options: GivenUpHomesOptions) {
    this.#options = options
  }

  /** How many wait. */
  get waiting(): number {
    return this.#entries
      .values()
      .filter((it) => !it.isBack && it.awaySinceMs === undefined)
      .toArray().length
  }

  add(grant: FollowedGrant, grantedAtMs: number, heldBytes: number): void {
    const { clock } = this.#options
    const known = this.#entries.get(grant.liveId)
    const times = (known?.times ?? 0) + 1
    const outMs = Math.min(longestOutMs, shortestOutMs * 2 ** (times - 1))
    this.#entries.set(grant.liveId, {
      grant,
      grantedAtMs: known?.grantedAtMs ?? grantedAtMs,
      neededBytes: Math.max(heldBytes, known?.neededBytes ?? 0),
      times,
      notBeforeMs: clock.monotonic() + outMs,
      isBack: false,
      awaySinceMs: undefined,
    })
    this.#timer ??= clock.setInterval(() => this.#look(), lookMs)
  }

  /** It is followed by a grant of its own. */
  granted(grant: FollowedGrant): void {
    const { liveId, broadcastId } = grant
    const entry = this.#entries.get(liveId)
    if (!entry) return
    if (entry.grant.broadcastId !== broadcastId) {
      this.forget(liveId)
      return
    }
    entry.isBack = true
    entry.grant = grant
    entry.grantedAtMs = this.#options.clock.monotonic()
  }

  /** Its home is elsewhere, or nobody's any more. */
  forget(liveId: string): void {
    this.#entries.delete(liveId)
    if (this.#entries.size > 0) return
    this.#timer?.cancel()
    this.#timer = undefined
  }

  update({ routes }: Pick<ClusterSnapshot, 'routes'>): void {
    if (this.#entries.size === 0) return
    const { gatewayId, clock } = this.#options
    const byLiveId = new Map(routes.map((route) => [route.liveId, route]))
    for (const [liveId, entry] of this.#entries) {
      const route = byLiveId.get(liveId)
      const isOurs = route?.home === null || route?.home === gatewayId
      const isSame = isOurs && route.epoch === entry.grant.epoch
      entry.awaySinceMs = isSame ? undefined : (entry.awaySinceMs ?? clock.monotonic())
    }
  }

  [Symbol.dispose](): void {
    for (const liveId of [...this.#entries.keys()]) this.forget(liveId)
  }

  #look(): void {
    const { limitBytes, heldBytes, takeBack } = this.#options
    for (const { grant, neededBytes } of this.#candidates()) {
      const taken = heldBytes() + this.#promisedBytes()
      // One that needs nearly all of it can only be alone.
      const room = taken === 0 ? limitBytes : limitBytes * share - taken
      if (neededBytes > room) continue
      this.#entries.get(grant.liveId)!.isBack = true
      takeBack(grant, neededBytes)
    }
  }

  /** The newest grants first. */
  #candidates(): Entry[] {
    const nowMs = this.#options.clock.monotonic()
    for (const [liveId, { isBack, awaySinceMs = nowMs }] of this.#entries) {
      if (!isBack && nowMs - awaySinceMs >= forgottenMs) this.forget(liveId)
    }
    return [...this.#entries.values()]
      .filter((it) => !it.isBack && it.awaySinceMs === undefined && it.notBeforeMs <= nowMs)
      .sort((a, b) => b.grantedAtMs - a.grantedAtMs)
  }

  /** What those will hold besides whose windows have yet to come. */
  #promisedBytes(): number {
    let sum = 0
    for (const [liveId, { isBack, neededBytes }] of this.#entries) {
      const arriving = isBack ? this.#options.arrivingBytes(liveId) : undefined
      if (arriving !== undefined) sum += Math.max(0, neededBytes - arriving)
    }
    return sum
  }
}
