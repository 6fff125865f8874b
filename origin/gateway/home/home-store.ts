// The live ids whose home is this gateway.
//
// What they hold together is bounded. Over that, the home that came last is given up: its stream is served from its
// transcoder until there is room again, and begins a new take at the next transcoder; the others notice nothing.
import type { Clock } from '../../../common/clock.ts'
import type { ClusterSnapshot } from '../../../common/contract/membership.ts'
import type { Holder } from '../../../common/contract/placement.ts'
import { messageOf } from '../../../common/errors.ts'
import { HttpClient } from '../../../common/http-client.ts'
import type { Logger } from '../../../common/log.ts'
import { LogBudget } from '../../../common/log-budget.ts'
import type { Metrics } from '../../../common/metrics.ts'
import { memoryBudgetBytes } from '../../../common/relay/memory-budget.ts'
import { GivenUpHomes } from './given-up.ts'
import { type FollowedGrant, Home } from './home.ts'
import type { HomeBroadcast, Verdict } from './home-broadcast.ts'

export interface HomeStoreOptions {
  gatewayId: string
  /** A node token for transcoders. */
  authorize: () => Promise<string>
  clock: Clock
  log: Logger
  metrics: Metrics
  /** What all live windows may take together. */
  memoryBytes?: number | undefined
  /** It is served from here no longer. */
  onLeft: (broadcast: HomeBroadcast) => void
}

const connectTimeoutMs = 2_000
/** By then a snapshot is no older than the grant. */
const settledMs = 5_000
/** A publisher's media waits meanwhile. */
const handOverMs = 500

export class HomeStore implements AsyncDisposable {
  readonly #options: HomeStoreOptions
  readonly #http = new HttpClient({ connectTimeoutMs, bodyTimeoutMs: 0 })
  readonly #homes = new Map<string, Home>()
  readonly #leaving = new Set<Promise<void>>()
  readonly #refusalLines: LogBudget
  readonly #refusals
  readonly #givenUpCount
  readonly #takenBackCount
  readonly #limitBytes: number
  readonly #givenUp: GivenUpHomes
  #bytes = 0

  constructor(options: HomeStoreOptions) {
    this.#options = options
    this.#limitBytes = options.memoryBytes ?? memoryBudgetBytes(Infinity)
    this.#givenUp = new GivenUpHomes({
      gatewayId: options.gatewayId,
      limitBytes: this.#limitBytes,
      clock: options.clock,
      heldBytes: () => this.#bytes,
      arrivingBytes: (liveId) => {
        const home = this.#homes.get(liveId)
        return home?.broadcast ? undefined : home?.bytes
      },
      takeBack: (grant, neededBytes) => this.#takeBack(grant, neededBytes),
    })
    this.#refusalLines = new LogBudget(options)
    this.#refusals = options.metrics.counter({
      name: 'home_refused_total',
      help: 'Media that a transcoder told otherwise than it is listed.',
    })
    this.#givenUpCount = options.metrics.counter({
      name: 'home_given_up_total',
      help: 'Broadcasts that are not served from memory here any more, because that is full.',
    })
    this.#takenBackCount = options.metrics.counter({
      name: 'home_taken_back_total',
      help: 'Broadcasts that are served from memory here again, because there is room.',
    })
    options.metrics.gauge(
      { name: 'home_waiting', help: 'Broadcasts for which memory has to become free.' },
      (gauge) => gauge.set(this.#givenUp.waiting),
    )
    options.metrics.gauge(
      { name: 'home_bytes', help: 'Media that is held for the broadcasts served from memory.' },
      (gauge) => gauge.set(this.#bytes),
    )
    options.metrics.gauge(
      { name: 'home_broadcasts', help: 'Broadcasts that are served from memory here.' },
      (gauge) =>
        gauge.set(
          this.#homes
            .values()
            .filter((it) => it.broadcast)
            .toArray().length,
        ),
    )
  }

  /** Undefined also while there is nothing in it yet. */
  home(liveId: string): HomeBroadcast | undefined {
    return this.#homes.get(liveId)?.broadcast
  }

  /** This gateway relays the stream to that transcoder now. */
  follow(grant: FollowedGrant): 'following' | Verdict {
    this.#givenUp.granted(grant)
    return this.#follow(grant)
  }

  #follow(grant: FollowedGrant): 'following' | Verdict {
    const { liveId, broadcastId, epoch } = grant
    let home = this.#homes.get(liveId)
    if (home && home.broadcastId !== broadcastId) {
      if (epoch < (home.holder?.epoch ?? 0)) return 'fenced'
      this.#letGo(liveId)
      home = undefined
    }
    home ??= this.#add(liveId, broadcastId)
    const verdict = home.follow(grant)
    if (verdict !== 'following') {
      this.#options.log.error({ liveId, epoch, verdict }, 'a transcoder is not followed')
    }
    return verdict
  }

  /**
   * Before a stream is published to another transcoder: that one is told where the last one has left it, so that it can
   * go on there. Where it does not hear of it in time, it begins a new take.
   */
  async handOver({ liveId, broadcastId, epoch, transcoder }: FollowedGrant): Promise<void> {
    const { authorize, clock, log } = this.#options
    const home = this.#homes.get(liveId)
    const point = home?.broadcastId === broadcastId ? home.handOver(epoch) : undefined
    if (!point) return
    const late = new AbortController()
    const timer = clock.setTimeout(() => late.abort(new Error('too late')), handOverMs)
    try {
      const token = await authorize()
      const { statusCode, body } = await this.#http.request(
        `${transcoder.url}/internal/v1/broadcasts/${liveId}/resume-point?epoch=${epoch}`,
        {
          method: 'POST',
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          body: JSON.stringify(point),
          signal: late.signal,
        },
      )
      await body.dump()
      if (statusCode !== 204) log.warn({ liveId, epoch, statusCode }, 'resume point refused')
    } catch (err) {
      log.warn({ liveId, epoch, err: messageOf(err) }, 'resume point not handed over')
    } finally {
      timer.cancel()
    }
  }

  /** From there on the media of that publisher is needed again, in its own milliseconds. */
  neededMs(liveId: string, connection: string): number | undefined {
    return this.#homes.get(liveId)?.broadcast?.neededMs(connection)
  }

  /** Whom this gateway has followed last. */
  holderOf(liveId: string): Holder | undefined {
    return this.#homes.get(liveId)?.holder
  }

  /** Leaves what another gateway relays now. */
  update({ routes }: Pick<ClusterSnapshot, 'routes'>): void {
    this.#givenUp.update({ routes })
    const { gatewayId, clock } = this.#options
    for (const { liveId, epoch, home: gateway } of routes) {
      const home = this.#homes.get(liveId)
      if (!home || gateway === null || gateway === gatewayId) continue
      const ownEpoch = home.holder?.epoch ?? 0
      const isSettled = clock.monotonic() - home.followedAtMs >= settledMs
      if (epoch > ownEpoch || (epoch === ownEpoch && isSettled)) this.leave(liveId)
    }
  }

  /** Its home is elsewhere. */
  leave(liveId: string): void {
    this.#givenUp.forget(liveId)
    this.#letGo(liveId)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#givenUp[Symbol.dispose]()
    for (const liveId of [...this.#homes.keys()]) this.leave(liveId)
    await Promise.all(this.#leaving)
    await this.#http[Symbol.asyncDispose]()
  }

  #letGo(liveId: string): void {
    const home = this.#homes.get(liveId)
    if (!home) return
    this.#homes.delete(liveId)
    this.#bytes -= home.bytes
    if (home.broadcast) this.#options.onLeft(home.broadcast)
    const leaving = home[Symbol.asyncDispose]().finally(() => this.#leaving.delete(leaving))
    this.#leaving.add(leaving)
  }

  #enforce(): void {
    while (this.#bytes > this.#limitBytes) {
      const [liveId, { bytes, grant, followedAtMs }] = [...this.#homes].at(-1)!
      const facts = { liveId, bytes, heldBytes: this.#bytes, limitBytes: this.#limitBytes }
      this.#options.log.warn(facts, 'no memory for the home of a stream')
      this.#givenUpCount.inc()
      this.#letGo(liveId)
      if (grant) this.#givenUp.add(grant, followedAtMs, bytes)
      else this.#givenUp.forget(liveId)
    }
  }

  #takeBack(grant: FollowedGrant, neededBytes: number): void {
    const { liveId } = grant
    const facts = { liveId, neededBytes, heldBytes: this.#bytes, limitBytes: this.#limitBytes }
    this.#options.log.info(facts, 'memory for the home of a stream again')
    this.#takenBackCount.inc()
    this.#follow(grant)
  }

  #add(liveId: string, broadcastId: string): Home {
    const { authorize, clock, log } = this.#options
    const home: Home = new Home(broadcastId, {
      ...{ http: this.#http, authorize, clock, log },
      onRefused: (what) => {
        this.#refusals.inc()
        if (this.#refusalLines.take()) log.error({ liveId, ...what }, 'media was refused')
      },
      onBytes: (delta) => {
        if (this.#homes.get(liveId) !== home) return
        this.#bytes += delta
        this.#enforce()
      },
      onOver: () => {
        if (this.#homes.get(liveId) === home) this.leave(liveId)
      },
    })
    this.#homes.set(liveId, home)
    return home
  }
}
