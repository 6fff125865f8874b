// Keeps the lease of one stream: renews it on a beat, stops the stream when it is lost, keeps it on an error.
//
// A process that stood still, as one that was frozen, may have lost the lease without having heard: because it did not
// renew it, or because a node that does not answer is taken for gone. Until a renewal that was sent after that is
// answered, or fails, it is not sure.
import type { Clock, Timer } from '../../common/clock.ts'
import type { LeaseAnswer, LeaseRelease, LeaseRenewal } from '../../common/contract/placement.ts'
import type { Refusal } from '../../common/contract/refusal.ts'
import type { Logger } from '../../common/log.ts'

/** The only thing a stream asks of the coordinator. */
export interface LeaseClient {
  renewLease(
    liveId: string,
    renewal: LeaseRenewal,
  ): Promise<LeaseAnswer | { outcome: 'error'; error: string }>
  releaseLease(liveId: string, release: LeaseRelease): Promise<unknown>
}

export interface LeaseKeeperOptions {
  liveId: string
  client: LeaseClient
  clock: Clock
  log: Logger
  /** Read at each renewal. */
  renewal: () => LeaseRenewal
  /** With why its publisher may not have the channel, where that is so. */
  onLost: (epoch: number, refused?: Refusal) => void
  /** The operator asked for the end of the broadcast. */
  onStop: (refused?: Refusal) => void
  /** The publisher may not have the channel; the stream is ours still. */
  onRefused: (refused: Refusal) => void
  /** The doubt after a standstill is over: the stream is ours. */
  onSure: () => void
}

const renewEveryMs = 2_000
/** Timers are never so late in a process that runs. */
const standstillMs = 3_000

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions
  #timer: Timer | undefined
  #isRenewing = false
  #isStopped = false
  #isFailing = false
  /** When the process was last seen running. */
  #runningMs: number
  /** Since when it is not sure whose the stream is. */
  #doubtedMs: number | undefined

  constructor(options: LeaseKeeperOptions) {
    this.#options = options
    this.#runningMs = options.clock.monotonic()
  }

  start(): void {
    this.#timer = this.#options.clock.setInterval(() => {
      if (this.isSure()) void this.renew()
    }, renewEveryMs)
  }

  /** False: nothing may be listed now. Call it before anything is, and a few times per second. */
  isSure(): boolean {
    if (this.#isStopped) return true
    const nowMs = this.#options.clock.monotonic()
    const stoodMs = nowMs - this.#runningMs
    this.#runningMs = nowMs
    if (stoodMs > standstillMs) {
      this.#options.log.warn({ stoodMs: Math.round(stoodMs) }, 'stood still; asking for the lease')
      this.#doubtedMs = nowMs
      void this.renew()
    }
    return this.#doubtedMs === undefined
  }

  /** Renews out of turn, when something changed that others wait for. */
  async renew(): Promise<void> {
    if (this.#isRenewing || this.#isStopped) return
    this.#isRenewing = true
    const { client, liveId, log, renewal } = this.#options
    const sent = renewal()
    const sentMs = this.#options.clock.monotonic()
    const answer = await client.renewLease(liveId, sent)
    this.#isRenewing = false
    if (this.#isStopped) return
    if (answer.outcome !== 'lost') this.#settle(sentMs)
    if (answer.outcome === 'error') {
      if (!this.#isFailing) log.warn({ liveId, error: answer.error }, 'lease not renewed')
      this.#isFailing = true
      return
    }
    this.#isFailing = false
    // Of a publisher who has come since it says nothing.
    const isOfPublisher = sent.nonce !== null && renewal().nonce === sent.nonce
    const refused = isOfPublisher ? answer.refused : undefined
    // An answer to an epoch that has been replaced since says nothing about the new one.
    if (answer.outcome === 'lost' && renewal().epoch === sent.epoch) {
      this.stop()
      this.#options.onLost(answer.epoch, refused)
    } else if (answer.outcome === 'held' && answer.stop) {
      this.stop()
      this.#options.onStop(refused)
    } else if (answer.outcome === 'held' && refused) {
      this.#options.onRefused(refused)
    }
  }

  /** An answer to what was asked before the standstill is as old as that. */
  #settle(sentMs: number): void {
    if (this.#doubtedMs === undefined) return
    if (sentMs < this.#doubtedMs) {
      void this.renew()
      return
    }
    this.#doubtedMs = undefined
    this.#options.onSure()
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }
}
